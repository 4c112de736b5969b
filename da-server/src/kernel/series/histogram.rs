//! Histograms of seconds, in the buckets of [`EDGES_NS`]: whole histograms that the programs counted
//! are added without loss, which the metrics library's own can't do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use da_ebpf_common::histogram::{BUCKETS, EDGES_NS, Histogram, bucket};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};
use prometheus::{Opts, core::Describer};

use crate::metrics::Registry;

/// A family with one histogram per key; clones share it.
#[derive(Debug)]
pub struct HistogramFamily<K>(Arc<Shared<K>>);

impl<K> Clone for HistogramFamily<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<K> {
    desc: Desc,
    /// Edges that are exposed, ns: some of [`EDGES_NS`], or all.
    edges_ns: &'static [u64],
    names: Vec<String>,
    series: Mutex<BTreeMap<K, Series>>,
}

/// One histogram of a family.
#[derive(Debug)]
pub struct Series {
    /// Its labels.
    pub labels: Vec<LabelPair>,
    /// Sum of all samples, ns.
    pub sum_ns: u64,
    /// Samples per bucket of [`EDGES_NS`].
    pub buckets: [u64; BUCKETS],
}

impl<K: Ord + Copy + Send + 'static> HistogramFamily<K> {
    /// Registers the family, without series, with labels of these names, and all edges.
    ///
    /// # Errors
    /// The family is already registered, or malformed.
    pub fn register(
        registry: &Registry,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<Self> {
        Self::with_edges(registry, name, help, labels, &EDGES_NS)
    }

    /// The same with some of the edges of [`EDGES_NS`] alone.
    ///
    /// # Errors
    /// The family is already registered, or malformed.
    pub fn with_edges(
        registry: &Registry,
        name: &str,
        help: &str,
        labels: &[&str],
        edges_ns: &'static [u64],
    ) -> prometheus::Result<Self> {
        let names: Vec<String> = labels.iter().map(ToString::to_string).collect();
        let desc = Opts::new(name, help).variable_labels(names.clone()).describe()?;
        let family = Self(Arc::new(Shared { desc, edges_ns, names, series: Mutex::default() }));
        registry.register(Box::new(family.clone()))?;
        Ok(family)
    }

    /// Adds one sample, ns; `values` gives the values of the labels the first time.
    pub fn observe_ns(&self, key: K, values: impl FnOnce() -> Vec<String>, sample_ns: u64) {
        self.with(key, values, |series| {
            series.sum_ns += sample_ns;
            series.buckets[bucket(sample_ns)] += 1;
        });
    }

    /// Adds all samples of a histogram.
    pub fn merge(&self, key: K, values: impl FnOnce() -> Vec<String>, histogram: &Histogram) {
        self.with(key, values, |series| {
            series.sum_ns += histogram.sum_ns;
            for (total, count) in series.buckets.iter_mut().zip(histogram.buckets) {
                *total += u64::from(count);
            }
        });
    }

    /// Takes out the histograms of these keys.
    pub fn forget(&self, is_gone: impl Fn(&K) -> bool) {
        let mut all = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|key, _| !is_gone(key));
    }

    fn with(&self, key: K, values: impl FnOnce() -> Vec<String>, change: impl FnOnce(&mut Series)) {
        let mut all = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(key).or_insert_with(|| Series {
            labels: label_pairs(&self.0.names, &values()),
            sum_ns: 0,
            buckets: [0; BUCKETS],
        }));
    }
}

/// Labels of these names and values, by name, as the metrics library has them.
pub fn label_pairs(names: &[String], values: &[String]) -> Vec<LabelPair> {
    let label = |(name, value): (&String, &String)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.clone());
        pair.set_value(value.clone());
        pair
    };
    let mut labels: Vec<_> = names.iter().zip(values).map(label).collect();
    labels.sort_by(|one, other| one.name().cmp(other.name()));
    labels
}

impl Series {
    fn metric(&self, edges_ns: &[u64]) -> proto::Metric {
        let mut cumulative = 0;
        // The encoders add the bucket without an edge by themselves.
        let all = EDGES_NS[..BUCKETS - 1].iter().zip(self.buckets);
        let all = all.map(|(edge_ns, count)| {
            cumulative += count;
            (edge_ns, cumulative)
        });
        let shown = all.filter(|(edge_ns, _)| edges_ns.contains(edge_ns));
        let buckets = shown.map(|(edge_ns, cumulative)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_cumulative_count(cumulative);
            bucket.set_upper_bound(seconds(*edge_ns));
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(self.buckets.iter().sum());
        histogram.set_sample_sum(seconds(self.sum_ns));
        let mut metric = proto::Metric::from_label(self.labels.clone());
        metric.set_histogram(histogram);
        metric
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

impl<K: Ord + Copy + Send + 'static> Collector for HistogramFamily<K> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let all = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        family(&self.0.desc, self.0.edges_ns, all.values())
    }
}

/// The family of these series; without any, what says of which type it is.
pub fn family<'a>(
    desc: &Desc,
    edges_ns: &[u64],
    all: impl IntoIterator<Item = &'a Series>,
) -> Vec<MetricFamily> {
    let metrics: Vec<_> = all.into_iter().map(|series| series.metric(edges_ns)).collect();
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(MetricType::HISTOGRAM);
    family.set_metric(metrics);
    vec![family]
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;
    use crate::metrics::buckets;

    #[test]
    fn samples_and_whole_histograms_come_out_as_text() {
        let registry = Registry::prefixed("da").expect("registry");
        let family = HistogramFamily::register(&registry, "x_seconds", "Help.", &["provider"])
            .expect("family");
        let text = || TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
        assert_eq!(text(), "");
        let mut counted = Histogram::EMPTY;
        (counted.sum_ns, counted.buckets[0], counted.buckets[BUCKETS - 1]) =
            (200_000_005_000, 1, 1);
        family.merge(7, || vec!["a".to_owned()], &counted);
        family.observe_ns(7, || vec!["never asked".to_owned()], 10_001);
        let text = text();
        for line in [
            "# TYPE da_x_seconds histogram",
            "da_x_seconds_bucket{provider=\"a\",le=\"0.00001\"} 1",
            "da_x_seconds_bucket{provider=\"a\",le=\"0.000025\"} 2",
            "da_x_seconds_bucket{provider=\"a\",le=\"100\"} 2",
            "da_x_seconds_bucket{provider=\"a\",le=\"+Inf\"} 3",
            "da_x_seconds_sum{provider=\"a\"} 200.000015001",
            "da_x_seconds_count{provider=\"a\"} 3",
        ] {
            assert_eq!(text.matches(&format!("{line}\n")).count(), 1, "{line}\n{text}");
        }
    }

    #[test]
    fn every_edge_of_the_application_is_one_of_these() {
        let kernels = EDGES_NS.map(seconds);
        for edge in [
            buckets::RESPONSE_SECONDS,
            buckets::LLM_SECONDS,
            buckets::TTS_SECONDS,
            buckets::FIRST_CONTENT_SECONDS,
            buckets::DB_SECONDS,
        ]
        .concat()
        {
            assert!(kernels.contains(&edge), "{edge}");
        }
    }
}
