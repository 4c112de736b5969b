//! OpenMetrics 1.0, which the metrics library doesn't write: counters, gauges and histograms.
//!
//! <https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md>

use std::fmt::Write;

use prometheus::Error;
use prometheus::proto::{Metric, MetricFamily, MetricType};

/// What a counter's samples end in, and its family does not.
const TOTAL: &str = "_total";

/// Last words of names that are units.
const UNITS: [&str; 3] = ["seconds", "bytes", "usd"];

/// Families in text, without the end of the exposition.
///
/// # Errors
/// A family is of a type that is not written here.
pub(super) fn encode(families: &[MetricFamily]) -> prometheus::Result<String> {
    let mut text = String::new();
    for family in families {
        write_family(&mut text, family)?;
    }
    Ok(text)
}

fn write_family(out: &mut String, family: &MetricFamily) -> prometheus::Result<()> {
    let kind = family.get_field_type();
    let (name, kind_name) = match kind {
        MetricType::COUNTER => (family.name().strip_suffix(TOTAL), "counter"),
        MetricType::GAUGE => (None, "gauge"),
        MetricType::HISTOGRAM => (None, "histogram"),
        other => return Err(Error::Msg(format!("{other:?} {} can't be written", family.name()))),
    };
    let name = name.unwrap_or(family.name());
    line(out, format_args!("# TYPE {name} {kind_name}"));
    if let Some((_, unit)) = name.rsplit_once('_').filter(|(_, unit)| UNITS.contains(unit)) {
        line(out, format_args!("# UNIT {name} {unit}"));
    }
    if !family.help().is_empty() {
        line(out, format_args!("# HELP {name} {}", escaped(family.help())));
    }
    for metric in family.get_metric() {
        let labels = labels(metric);
        match kind {
            MetricType::COUNTER => {
                let value = metric.get_counter().value();
                sample(out, name, TOTAL, &labels, number(value));
            }
            MetricType::GAUGE => {
                sample(out, name, "", &labels, number(metric.get_gauge().value()));
            }
            _ => histogram(out, name, &labels, metric),
        }
    }
    Ok(())
}

fn histogram(out: &mut String, name: &str, labels: &str, metric: &Metric) {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count();
    let edges = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let buckets = edges.clone().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let comma = if labels.is_empty() { "" } else { "," };
    for (edge, count) in buckets.chain([(f64::INFINITY, count)]) {
        let labels = format!("{labels}{comma}le=\"{}\"", edge_label(edge));
        sample(out, name, "_bucket", &labels, count);
    }
    // A sum is a counter: where samples may be below zero there must be none, and without it no count.
    if edges.clone().all(|bucket| bucket.upper_bound() >= 0.0) {
        sample(out, name, "_sum", labels, number(histogram.get_sample_sum()));
        sample(out, name, "_count", labels, count);
    }
}

fn labels(metric: &Metric) -> String {
    let pair = |pair: &prometheus::proto::LabelPair| {
        format!("{}=\"{}\"", pair.name(), escaped(pair.value()))
    };
    metric.get_label().iter().map(pair).collect::<Vec<_>>().join(",")
}

fn sample(out: &mut String, name: &str, suffix: &str, labels: &str, value: impl std::fmt::Display) {
    if labels.is_empty() {
        line(out, format_args!("{name}{suffix} {value}"));
    } else {
        line(out, format_args!("{name}{suffix}{{{labels}}} {value}"));
    }
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a string can't fail.
    let _ = out.write_fmt(text);
    out.push('\n');
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"")
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

/// An edge as label value. There it is text, and the same everywhere only if all write it alike: as Go
/// does (`%g`), with `.0` behind what would look like an integer.
fn edge_label(edge: f64) -> String {
    let magnitude = edge.abs();
    if edge.is_infinite() || magnitude == 0.0 || (1e-4..1e6).contains(&magnitude) {
        let text = number(edge);
        let is_integer = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        return if is_integer { text + ".0" } else { text };
    }
    let text = format!("{edge:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests;
