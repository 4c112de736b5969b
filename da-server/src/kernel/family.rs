//! Metric families labelled `endpoint, kind` and, where processes are told apart, `process`, with the
//! handle of each series resolved once.

use std::collections::HashMap;

use da_ebpf_common::histogram::Histogram;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

use super::histogram::HistogramFamily;
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// A histogram of seconds per endpoint.
#[derive(Debug)]
pub struct EndpointHistogram(HistogramFamily<SeriesId>);

impl EndpointHistogram {
    /// Registers the family, without series: an endpoint that is never talked to has none.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(
        registry: SocketRegistry<'_>,
        name: &str,
        help: &str,
    ) -> prometheus::Result<Self> {
        let names = registry.label_names(&[]);
        HistogramFamily::register(registry.registry, name, help, &names).map(Self)
    }

    /// One sample, ns.
    pub fn observe_ns(&mut self, id: SeriesId, labels: &SeriesLabels, sample_ns: u64) {
        self.0.observe_ns(id, || values(labels), sample_ns);
    }

    /// All samples of a histogram.
    pub fn merge(&mut self, id: SeriesId, labels: &SeriesLabels, histogram: &Histogram) {
        self.0.merge(id, || values(labels), histogram);
    }
}

fn values(labels: &SeriesLabels) -> Vec<String> {
    labels.values().into_iter().map(str::to_owned).collect()
}

/// A histogram per endpoint, with edges of its own.
#[derive(Debug)]
pub struct EndpointDistribution {
    family: HistogramVec,
    handles: HashMap<SeriesId, prometheus::Histogram>,
}

impl EndpointDistribution {
    /// Registers the family, without series.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(
        registry: SocketRegistry<'_>,
        name: &str,
        help: &str,
        edges: &[f64],
    ) -> prometheus::Result<Self> {
        let opts = HistogramOpts::new(name, help).buckets(edges.to_vec());
        let family = HistogramVec::new(opts, &registry.label_names(&[]))?;
        registry.registry.register(Box::new(family.clone()))?;
        Ok(Self { family, handles: HashMap::new() })
    }

    /// One sample.
    pub fn observe(&mut self, id: SeriesId, labels: &SeriesLabels, sample: f64) {
        let family = &self.family;
        self.handles
            .entry(id)
            .or_insert_with(|| family.with_label_values(&labels.values()))
            .observe(sample);
    }
}

/// A gauge per endpoint.
#[derive(Debug)]
pub struct EndpointGauge {
    family: IntGaugeVec,
    handles: HashMap<SeriesId, IntGauge>,
}

impl EndpointGauge {
    /// Registers the family, without series.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(
        registry: SocketRegistry<'_>,
        name: &str,
        help: &str,
    ) -> prometheus::Result<Self> {
        let family = IntGaugeVec::new(Opts::new(name, help), &registry.label_names(&[]))?;
        registry.registry.register(Box::new(family.clone()))?;
        Ok(Self { family, handles: HashMap::new() })
    }

    /// Adds to the endpoint's gauge, or takes from it.
    pub fn add(&mut self, id: SeriesId, labels: &SeriesLabels, change: i64) {
        let family = &self.family;
        self.handles
            .entry(id)
            .or_insert_with(|| family.with_label_values(&labels.values()))
            .add(change);
    }
}

/// A counter per endpoint.
#[derive(Debug)]
pub struct EndpointCounter {
    family: IntCounterVec,
    handles: HashMap<SeriesId, IntCounter>,
}

impl EndpointCounter {
    /// Registers the family, without series.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(
        registry: SocketRegistry<'_>,
        name: &str,
        help: &str,
    ) -> prometheus::Result<Self> {
        let family = IntCounterVec::new(Opts::new(name, help), &registry.label_names(&[]))?;
        registry.registry.register(Box::new(family.clone()))?;
        Ok(Self { family, handles: HashMap::new() })
    }

    /// Adds to the endpoint's count.
    pub fn add(&mut self, id: SeriesId, labels: &SeriesLabels, amount: u64) {
        let family = &self.family;
        self.handles
            .entry(id)
            .or_insert_with(|| family.with_label_values(&labels.values()))
            .inc_by(amount);
    }
}

/// A counter per endpoint and one more label, whose value is that of a closed enum.
#[derive(Debug)]
pub struct DetailCounter {
    family: IntCounterVec,
    handles: HashMap<(SeriesId, &'static str), IntCounter>,
}

impl DetailCounter {
    /// Registers the family, without series.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(
        registry: SocketRegistry<'_>,
        name: &str,
        help: &str,
        detail: &str,
    ) -> prometheus::Result<Self> {
        let family = IntCounterVec::new(Opts::new(name, help), &registry.label_names(&[detail]))?;
        registry.registry.register(Box::new(family.clone()))?;
        Ok(Self { family, handles: HashMap::new() })
    }

    /// Adds one.
    pub fn count(&mut self, id: SeriesId, labels: &SeriesLabels, detail: &'static str) {
        let family = &self.family;
        self.handles
            .entry((id, detail))
            .or_insert_with(|| {
                family.with_label_values(&[&labels.values()[..], &[detail]].concat())
            })
            .inc();
    }
}
