//! Metric families labelled `endpoint, kind`, with the handle of each endpoint resolved once.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use super::endpoints::{EndpointId, EndpointLabels};
use crate::metrics::buckets::SOCKET_SECONDS;

/// A histogram of seconds per endpoint.
#[derive(Debug)]
pub struct EndpointHistogram {
    family: HistogramVec,
    handles: HashMap<EndpointId, Histogram>,
}

impl EndpointHistogram {
    /// Registers the family, without series: an endpoint that is never talked to has none.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let opts = HistogramOpts::new(name, help).buckets(SOCKET_SECONDS.to_vec());
        let family = HistogramVec::new(opts, &["endpoint", "kind"])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self { family, handles: HashMap::new() })
    }

    /// One sample, ns.
    pub fn observe_ns(&mut self, id: EndpointId, labels: &EndpointLabels, sample_ns: u64) {
        let family = &self.family;
        self.handles
            .entry(id)
            .or_insert_with(|| {
                family.with_label_values(&[labels.name.as_str(), labels.kind.as_str()])
            })
            .observe(Duration::from_nanos(sample_ns).as_secs_f64());
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

/// A counter per endpoint and outcome; the outcome is a closed enum's value.
#[derive(Debug)]
pub struct OutcomeCounter {
    family: IntCounterVec,
    handles: HashMap<(EndpointId, &'static str), IntCounter>,
}

impl OutcomeCounter {
    /// Registers the family, without series.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: &Registry, name: &str, help: &str) -> prometheus::Result<Self> {
        let family = IntCounterVec::new(Opts::new(name, help), &["endpoint", "kind", "outcome"])?;
        registry.register(Box::new(family.clone()))?;
        Ok(Self { family, handles: HashMap::new() })
    }

    /// Adds one.
    pub fn count(&mut self, id: EndpointId, labels: &EndpointLabels, outcome: &'static str) {
        let family = &self.family;
        self.handles
            .entry((id, outcome))
            .or_insert_with(|| {
                family.with_label_values(&[labels.name.as_str(), labels.kind.as_str(), outcome])
            })
            .inc();
    }
}
