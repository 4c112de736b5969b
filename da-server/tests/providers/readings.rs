//! Reads metrics the way a scrape would.

use da_server::metrics::Registry;
use da_server::provider::AdmissionMetrics;
use prometheus::proto::Metric;

/// A registry with the server's prefix, and what its series say.
pub struct Readings {
    pub registry: Registry,
}

impl Readings {
    pub fn new() -> Self {
        let registry = Registry::prefixed("digital_actors");
        Self { registry: registry.expect("a registry") }
    }

    /// The families of limits and circuit breakers, registered here.
    pub fn gates(&self) -> AdmissionMetrics {
        AdmissionMetrics::register(&self.registry).expect("metrics")
    }

    /// The series of a family whose labels include `labels`; none is an error of the test.
    fn series(&self, family: &str, labels: &[(&str, &str)]) -> Vec<Metric> {
        let families = self.registry.gather();
        let name = format!("digital_actors_{family}");
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.unwrap_or_else(|| panic!("no family {name}")).get_metric();
        let matches = |metric: &&Metric| {
            labels.iter().all(|(name, value)| {
                metric.get_label().iter().any(|pair| pair.name() == *name && pair.value() == *value)
            })
        };
        let series: Vec<_> = metrics.iter().filter(matches).cloned().collect();
        assert!(!series.is_empty(), "{name} has no series with {labels:?}");
        series
    }

    /// Whether a family has any series.
    pub fn has(&self, family: &str) -> bool {
        let name = format!("digital_actors_{family}");
        self.registry.gather().iter().any(|family| family.name() == name)
    }

    /// The value of a counter, summed over the series that match.
    pub fn counter(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(family, labels).iter().map(|metric| metric.get_counter().value()).sum()
    }

    /// The value of a gauge, summed over the series that match.
    pub fn gauge(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        self.series(family, labels).iter().map(|metric| metric.get_gauge().value()).sum()
    }

    /// The number of samples of a histogram, summed over the series that match.
    pub fn samples(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        let series = self.series(family, labels);
        series.iter().map(|metric| metric.get_histogram().get_sample_count()).sum()
    }

    /// The seconds in a histogram, summed over the series that match.
    pub fn seconds(&self, family: &str, labels: &[(&str, &str)]) -> f64 {
        let series = self.series(family, labels);
        series.iter().map(|metric| metric.get_histogram().get_sample_sum()).sum()
    }
}
