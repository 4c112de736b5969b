//! Metric families labelled `kind, provider` and, where callers are told apart, `process, workload`, with the
//! handle of each series resolved once.

use std::hash::Hash;
use std::time::Duration;

use da_ebpf_common::histogram::Histogram;
use foldhash::HashMap;
use prometheus::core::{
    Atomic, AtomicF64, AtomicU64, Collector, GenericCounter, GenericCounterVec, MetricVec,
    MetricVecBuilder,
};
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

    /// Takes out a series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId) {
        self.0.forget(|key| *key == id);
    }
}

/// A histogram of seconds per endpoint and one more label, whose value is that of a closed enum.
#[derive(Debug)]
pub struct DetailHistogram(HistogramFamily<(SeriesId, &'static str)>);

impl DetailHistogram {
    /// Registers the family, without series, with some of the programs' edges.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(
        registry: SocketRegistry<'_>,
        name: &str,
        help: &str,
        detail: &str,
        edges_ns: &'static [u64],
    ) -> prometheus::Result<Self> {
        let names = registry.label_names(&[detail]);
        HistogramFamily::with_edges(registry.registry, name, help, &names, edges_ns).map(Self)
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

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId) {
        self.0.forget(|(key, _)| *key == id);
    }
}

fn values(labels: &SeriesLabels) -> Vec<String> {
    labels.values().into_iter().map(str::to_owned).collect()
}

fn detailed(labels: &SeriesLabels, detail: &'static str) -> Vec<String> {
    let mut values = values(labels);
    values.push(detail.to_owned());
    values
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

    /// Takes out the series of these keys; `values` are the labels of each.
    fn forget(&mut self, is_gone: impl Fn(&K) -> bool, values: impl Fn(&K) -> Vec<String>)
    where
        F: Forget,
    {
        for (key, _) in self.handles.extract_if(|key, _| is_gone(key)) {
            self.family.forget(&values(&key));
        }
    }

    /// The series of `key`; `resolve` finds it the first time.
    fn of(&mut self, key: K, resolve: impl FnOnce(&F) -> M) -> &M {
        self.handles.entry(key).or_insert_with(|| resolve(&self.family))
    }
}

/// A family of the metrics library that can do without a series.
trait Forget {
    fn forget(&self, values: &[String]);
}

impl<B: MetricVecBuilder> Forget for MetricVec<B> {
    fn forget(&self, values: &[String]) {
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        // Where there is none there is nothing to take out.
        let _ = self.remove_label_values(&values);
    }
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

    /// Takes out a series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.0.forget(|key| *key == id, |_| values(labels));
    }
}

/// The same per endpoint and one more label, whose value is that of a closed enum.
#[derive(Debug)]
pub struct DetailDistribution(
    Resolved<(SeriesId, &'static str), HistogramVec, prometheus::Histogram>,
);

impl DetailDistribution {
    /// Registers the family, without series.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(
        registry: SocketRegistry<'_>,
        name: &str,
        help: &str,
        detail: &str,
        edges: &[f64],
    ) -> prometheus::Result<Self> {
        let opts = HistogramOpts::new(name, help).buckets(edges.to_vec());
        let names = registry.label_names(&[detail]);
        Resolved::register(registry, HistogramVec::new(opts, &names)?).map(Self)
    }

    /// One sample.
    pub fn observe(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        detail: &'static str,
        sample: f64,
    ) {
        let values = || detailed(labels, detail);
        self.0.of((id, detail), |family| family.with_label_values(&values())).observe(sample);
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.0.forget(|(key, _)| *key == id, |(_, detail)| detailed(labels, detail));
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

    /// Takes out a series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.0.forget(|key| *key == id, |_| values(labels));
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

    /// Takes out a series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.0.forget(|key| *key == id, |_| values(labels));
    }
}

/// A counter per endpoint and one more label, whose value is that of a closed enum.
#[derive(Debug)]
pub struct Detail<P: Atomic>(
    Resolved<(SeriesId, &'static str), GenericCounterVec<P>, GenericCounter<P>>,
);

/// One that counts.
pub type DetailCounter = Detail<AtomicU64>;

/// One of seconds.
pub type DetailSeconds = Detail<AtomicF64>;

impl<P: Atomic + 'static> Detail<P> {
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
        Resolved::register(registry, GenericCounterVec::new(opts, &names)?).map(Self)
    }

    /// Adds to a counter; 0 where it only has to be there, so that a rate sees the first one.
    pub fn add(&mut self, id: SeriesId, labels: &SeriesLabels, detail: &'static str, amount: P::T) {
        let values = || detailed(labels, detail);
        self.0.of((id, detail), |family| family.with_label_values(&values())).inc_by(amount);
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.0.forget(|(key, _)| *key == id, |(_, detail)| detailed(labels, detail));
    }
}

impl DetailCounter {
    /// Adds one.
    pub fn count(&mut self, id: SeriesId, labels: &SeriesLabels, detail: &'static str) {
        self.add(id, labels, detail, 1);
    }
}

impl DetailSeconds {
    /// Adds to the time, ns.
    pub fn add_ns(&mut self, id: SeriesId, labels: &SeriesLabels, detail: &'static str, ns: u64) {
        self.add(id, labels, detail, Duration::from_nanos(ns).as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;
    use crate::kernel::endpoints::catalogue::EndpointKind;
    use crate::metrics::Registry;

    #[test]
    fn what_is_forgotten_is_not_exposed_any_more_and_what_is_not_is() {
        let registry = Registry::prefixed("da").expect("a registry");
        let sockets = SocketRegistry { registry: &registry, by_caller: false };
        let mut histogram = EndpointHistogram::register(sockets, "a", "A.").expect("a family");
        let mut causes =
            DetailHistogram::register(sockets, "b", "B.", "cause", &[1_000_000]).expect("a family");
        let mut spread =
            EndpointDistribution::register(sockets, "c", "C.", &[1.0]).expect("a family");
        let mut idle =
            DetailDistribution::register(sockets, "g", "G.", "how", &[1.0]).expect("a family");
        let mut gauge = EndpointGauge::register(sockets, "d", "D.").expect("a family");
        let mut counter = EndpointCounter::register(sockets, "e", "E.").expect("a family");
        let mut details = DetailCounter::register(sockets, "f", "F.", "how").expect("a family");
        let mut seconds = DetailSeconds::register(sockets, "h", "H.", "how").expect("a family");
        let labels = ["gone", "stays"].map(|provider| SeriesLabels {
            kind: EndpointKind::Llm,
            provider: provider.to_owned(),
            caller: None,
        });
        let ids = [SeriesId::for_test(0), SeriesId::for_test(1)];
        for (id, labels) in ids.into_iter().zip(&labels) {
            histogram.observe_ns(id, labels, 1);
            causes.observe_ns(id, labels, "one", 1);
            spread.observe(id, labels, 1.0);
            idle.observe(id, labels, "one", 1.0);
            gauge.add(id, labels, 1);
            counter.add(id, labels, 1);
            details.count(id, labels, "one");
            details.count(id, labels, "two");
            seconds.add_ns(id, labels, "one", 1);
        }
        let (gone, labels) = (ids[0], &labels[0]);
        histogram.forget(gone);
        causes.forget(gone);
        spread.forget(gone, labels);
        idle.forget(gone, labels);
        gauge.forget(gone, labels);
        counter.forget(gone, labels);
        details.forget(gone, labels);
        seconds.forget(gone, labels);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
        assert!(!text.contains("gone"), "{text}");
        for family in ["a_count", "b_count", "c_count", "d", "e", "f", "g_count", "h"] {
            assert!(text.contains(&format!("\nda_{family}{{")), "{family}: {text}");
        }
        // It counts from 0 when it is back.
        counter.add(gone, labels, 1);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
        assert!(text.contains("da_e{kind=\"llm\",provider=\"gone\"} 1"), "{text}");
    }
}
