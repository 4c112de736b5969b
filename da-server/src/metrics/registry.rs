//! Where modules register their families: Prometheus' registry, which also remembers what families there
//! are. Of those that have no series yet an exposition says nothing.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::proto::{MetricFamily, MetricType};

/// A registry, and a list of all that was ever registered there. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    registered: prometheus::Registry,
    prefix: Option<String>,
    families: Arc<Mutex<Vec<Family>>>,
}

/// What is known of a family before it has a series.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// Its name in an exposition.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels, as they are sorted in an exposition.
    pub labels: Vec<String>,
    /// What it means.
    pub help: String,
}

impl Registry {
    /// One that leaves names as they are.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that puts `prefix` and an underscore before every name.
    ///
    /// # Errors
    /// The prefix is empty.
    pub fn prefixed(prefix: &str) -> prometheus::Result<Self> {
        Ok(Self {
            registered: prometheus::Registry::new_custom(Some(prefix.to_owned()), None)?,
            prefix: Some(prefix.to_owned()),
            families: Arc::default(),
        })
    }

    /// Takes in the families of a collector.
    ///
    /// # Errors
    /// One of them is registered already.
    pub fn register(&self, collector: Box<dyn Collector>) -> prometheus::Result<()> {
        let families = self.describe(&*collector);
        self.registered.register(collector)?;
        self.families.lock().unwrap_or_else(PoisonError::into_inner).extend(families);
        Ok(())
    }

    /// All families that have series, as they are now.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        self.registered.gather()
    }

    /// All families.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        self.families.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A collector tells the types of its families, even of those without series, only with what it
    /// collects.
    fn describe(&self, collector: &dyn Collector) -> Vec<Family> {
        let collected = collector.collect();
        let kind_of = |name: &str| collected.iter().find(|family| family.name() == name).map(kind);
        let described = collector.desc().into_iter().filter_map(|desc| {
            let constant = desc.const_label_pairs.iter().map(|pair| pair.name().to_owned());
            let mut labels: Vec<_> = constant.chain(desc.variable_labels.clone()).collect();
            labels.sort();
            let name = match &self.prefix {
                Some(prefix) => format!("{prefix}_{}", desc.fq_name),
                None => desc.fq_name.clone(),
            };
            Some(Family { name, kind: kind_of(&desc.fq_name)?, labels, help: desc.help.clone() })
        });
        described.collect()
    }
}

fn kind(family: &MetricFamily) -> &'static str {
    match family.get_field_type() {
        MetricType::COUNTER => "counter",
        MetricType::GAUGE => "gauge",
        MetricType::HISTOGRAM => "histogram",
        MetricType::SUMMARY => "summary",
        MetricType::UNTYPED => "untyped",
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{HistogramOpts, HistogramVec, IntGauge, Opts};

    use super::*;

    #[test]
    fn a_family_without_a_series_is_known() {
        let registry = Registry::prefixed("da").expect("a prefix");
        let times = HistogramOpts::new("time_seconds", "How long.");
        let times = HistogramVec::new(times, &["b", "a"]).expect("a family");
        registry.register(Box::new(times)).expect("registers");
        let up = IntGauge::with_opts(Opts::new("up", "Whether.")).expect("a family");
        registry.register(Box::new(up.clone())).expect("registers");
        assert!(registry.register(Box::new(up)).is_err(), "registered twice");

        assert_eq!(registry.gather().len(), 1, "one has no series");
        let family = |name: &str, kind, labels: &[&str], help: &str| Family {
            name: name.to_owned(),
            kind,
            labels: labels.iter().map(ToString::to_string).collect(),
            help: help.to_owned(),
        };
        let both = [
            family("da_time_seconds", "histogram", &["a", "b"], "How long."),
            family("da_up", "gauge", &[], "Whether."),
        ];
        assert_eq!(registry.families(), both);
    }
}
