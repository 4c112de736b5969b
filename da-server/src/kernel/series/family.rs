//! Metric families labelled `kind, provider` and, where processes are told apart, `process`, with the
//! handle of each series resolved once.

use std::hash::Hash;

use da_ebpf_common::histogram::Histogram;
use foldhash::HashMap;
use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

use super::histogram::HistogramFamily;
use super::{SeriesId, SeriesLabels, SocketRegistry};

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

/// A family of the metrics library, with the handle of each series resolved once.
#[derive(Debug)]
struct Resolved<K, F, M> {
    family: F,
    handles: HashMap<K, M>,
}

impl<K: Eq + Hash, F: Collector + Clone + 'static, M> Resolved<K, F, M> {
    /// Registers the family, without series.
    ///
    /// # Errors
    /// The family is already registered.
    fn register(registry: SocketRegistry<'_>, family: F) -> prometheus::Result<Self> {
        registry.registry.register(Box::new(family.clone()))?;
        Ok(Self { family, handles: HashMap::default() })
    }

    /// The series of `key`; `resolve` finds it the first time.
    fn of(&mut self, key: K, resolve: impl FnOnce(&F) -> M) -> &M {
        self.handles.entry(key).or_insert_with(|| resolve(&self.family))
    }
}

/// A histogram of seconds per endpoint and one more label, whose value is that of a closed enum.
#[derive(Debug)]
pub struct DetailHistogram(HistogramFamily<(SeriesId, &'static str)>);

impl DetailHistogram {
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
        let names = registry.label_names(&[detail]);
        HistogramFamily::register(registry.registry, name, help, &names).map(Self)
    }

    /// One sample, ns.
    pub fn observe_ns(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        detail: &'static str,
        sample_ns: u64,
    ) {
        self.0.observe_ns((id, detail), || detailed(labels, detail), sample_ns);
    }

    /// All samples of a histogram.
    pub fn merge(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        detail: &'static str,
        histogram: &Histogram,
    ) {
        self.0.merge((id, detail), || detailed(labels, detail), histogram);
    }
}

fn detailed(labels: &SeriesLabels, detail: &'static str) -> Vec<String> {
    let mut values = values(labels);
    values.push(detail.to_owned());
    values
}

/// A histogram per endpoint, with edges of its own.
#[derive(Debug)]
pub struct EndpointDistribution(Resolved<SeriesId, HistogramVec, prometheus::Histogram>);

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
        Resolved::register(registry, HistogramVec::new(opts, &registry.label_names(&[]))?).map(Self)
    }

    /// One sample.
    pub fn observe(&mut self, id: SeriesId, labels: &SeriesLabels, sample: f64) {
        self.0.of(id, |family| family.with_label_values(&labels.values())).observe(sample);
    }
}

/// A gauge per endpoint.
#[derive(Debug)]
pub struct EndpointGauge(Resolved<SeriesId, IntGaugeVec, IntGauge>);

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
        let opts = Opts::new(name, help);
        Resolved::register(registry, IntGaugeVec::new(opts, &registry.label_names(&[]))?).map(Self)
    }

    /// Adds to the endpoint's gauge, or takes from it.
    pub fn add(&mut self, id: SeriesId, labels: &SeriesLabels, change: i64) {
        self.0.of(id, |family| family.with_label_values(&labels.values())).add(change);
    }
}

/// A counter per endpoint.
#[derive(Debug)]
pub struct EndpointCounter(Resolved<SeriesId, IntCounterVec, IntCounter>);

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
        let opts = Opts::new(name, help);
        Resolved::register(registry, IntCounterVec::new(opts, &registry.label_names(&[]))?)
            .map(Self)
    }

    /// Adds to the endpoint's count.
    pub fn add(&mut self, id: SeriesId, labels: &SeriesLabels, amount: u64) {
        self.0.of(id, |family| family.with_label_values(&labels.values())).inc_by(amount);
    }
}

/// A counter per endpoint and one more label, whose value is that of a closed enum.
#[derive(Debug)]
pub struct DetailCounter(Resolved<(SeriesId, &'static str), IntCounterVec, IntCounter>);

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
        let (opts, names) = (Opts::new(name, help), registry.label_names(&[detail]));
        Resolved::register(registry, IntCounterVec::new(opts, &names)?).map(Self)
    }

    /// Adds one.
    pub fn count(&mut self, id: SeriesId, labels: &SeriesLabels, detail: &'static str) {
        let values = || [&labels.values()[..], &[detail]].concat();
        self.0.of((id, detail), |family| family.with_label_values(&values())).inc();
    }
}
