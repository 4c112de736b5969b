//! Metric families labelled `endpoint, kind`, with the handle of each endpoint resolved once.

use std::collections::HashMap;

use da_ebpf_common::histogram::Histogram;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use super::endpoints::{EndpointId, EndpointLabels};
use super::histogram::HistogramFamily;

/// A histogram of seconds per endpoint.
#[derive(Debug)]
pub struct EndpointHistogram(HistogramFamily<EndpointId>);

impl EndpointHistogram {
    /// Registers the family, without series: an endpoint that is never talked to has none.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        HistogramFamily::register(registry, name, help, &["endpoint", "kind"]).map(Self)
    }

    /// One sample, ns.
    pub fn observe_ns(&mut self, id: EndpointId, labels: &EndpointLabels, sample_ns: u64) {
        self.0.observe_ns(id, || values(labels), sample_ns);
    }

    /// All samples of a histogram.
    pub fn merge(&mut self, id: EndpointId, labels: &EndpointLabels, histogram: &Histogram) {
        self.0.merge(id, || values(labels), histogram);
    }
}

fn values(labels: &EndpointLabels) -> Vec<String> {
    vec![labels.name.clone(), labels.kind.as_str().to_owned()]
}

/// A histogram per endpoint, with edges of its own.
#[derive(Debug)]
pub struct EndpointDistribution {
    family: HistogramVec,
    handles: HashMap<EndpointId, prometheus::Histogram>,
}

impl EndpointDistribution {
    /// Registers the family, without series.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(
        registry: &Registry,
        name: &str,
        help: &str,
        edges: &[f64],
    ) -> prometheus::Result<Self> {
        let opts = HistogramOpts::new(name, help).buckets(edges.to_vec());
        let family = HistogramVec::new(opts, &["endpoint", "kind"])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self { family, handles: HashMap::new() })
    }

    /// One sample.
    pub fn observe(&mut self, id: EndpointId, labels: &EndpointLabels, sample: f64) {
        let family = &self.family;
        self.handles
            .entry(id)
            .or_insert_with(|| {
                family.with_label_values(&[labels.name.as_str(), labels.kind.as_str()])
            })
            .observe(sample);
    }
}

/// A gauge per endpoint.
#[derive(Debug)]
pub struct EndpointGauge {
    family: IntGaugeVec,
    handles: HashMap<EndpointId, IntGauge>,
}

impl EndpointGauge {
    /// Registers the family, without series.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let family = IntGaugeVec::new(Opts::new(name, help), &["endpoint", "kind"])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self { family, handles: HashMap::new() })
    }

    /// Adds to the endpoint's gauge, or takes from it.
    pub fn add(&mut self, id: EndpointId, labels: &EndpointLabels, change: i64) {
        let family = &self.family;
        self.handles
            .entry(id)
            .or_insert_with(|| {
                family.with_label_values(&[labels.name.as_str(), labels.kind.as_str()])
            })
            .add(change);
    }
}

/// A counter per endpoint.
#[derive(Debug)]
pub struct EndpointCounter {
    family: IntCounterVec,
    handles: HashMap<EndpointId, IntCounter>,
}

impl EndpointCounter {
    /// Registers the family, without series.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let family = IntCounterVec::new(Opts::new(name, help), &["endpoint", "kind"])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self { family, handles: HashMap::new() })
    }

    /// Adds to the endpoint's count.
    pub fn add(&mut self, id: EndpointId, labels: &EndpointLabels, amount: u64) {
        let family = &self.family;
        self.handles
            .entry(id)
            .or_insert_with(|| {
                family.with_label_values(&[labels.name.as_str(), labels.kind.as_str()])
            })
            .inc_by(amount);
    }
}

/// A counter per endpoint and one more label, whose value is that of a closed enum.
#[derive(Debug)]
pub struct DetailCounter {
    family: IntCounterVec,
    handles: HashMap<(EndpointId, &'static str), IntCounter>,
}

impl DetailCounter {
    /// Registers the family, without series.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(
        registry: &Registry,
        name: &str,
        help: &str,
        detail: &str,
    ) -> prometheus::Result<Self> {
        let family = IntCounterVec::new(Opts::new(name, help), &["endpoint", "kind", detail])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self { family, handles: HashMap::new() })
    }

    /// Adds one.
    pub fn count(&mut self, id: EndpointId, labels: &EndpointLabels, detail: &'static str) {
        let family = &self.family;
        self.handles
            .entry((id, detail))
            .or_insert_with(|| {
                family.with_label_values(&[labels.name.as_str(), labels.kind.as_str(), detail])
            })
            .inc();
    }
}
