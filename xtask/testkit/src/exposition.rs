//! Reads what a Prometheus server would scrape: the text format, version 0.0.4.

use std::collections::BTreeMap;

/// The text of one scrape. Lines that are not understood are left out.
#[derive(Debug, Default)]
pub struct Exposition(pub String);

#[derive(Debug, PartialEq)]
struct Sample {
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Cumulative buckets, summed over all series that a question matched.
#[derive(Debug, Default, PartialEq)]
pub struct Histogram {
    /// Upper edge and how many observations are at most that large, by rising edge.
    buckets: Vec<(f64, f64)>,
}

impl Exposition {
    /// The sum of all series of `name` that have `labels`; `None` if there is no such series.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut matching = self.matching(name, labels).peekable();
        matching.peek()?;
        Some(matching.map(|sample| sample.value).sum())
    }

    /// The same, and 0 if there is no such series.
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.sum(name, labels).unwrap_or(0.0)
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.0.lines().filter(|line| !line.starts_with('#')).count()
    }

    /// The histogram `name`, summed over all series that have `labels`.
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Histogram {
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in self.matching(&format!("{name}_bucket"), labels) {
            let Some(edge) = sample.labels.get("le").and_then(|edge| edge.parse().ok()) else {
                continue;
            };
            match buckets.iter_mut().find(|(known, _)| *known == edge) {
                Some((_, count)) => *count += sample.value,
                None => buckets.push((edge, sample.value)),
            }
        }
        buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        Histogram { buckets }
    }

    /// The values that `label` has among the series of `name` that have `labels` and are not 0,
    /// sorted.
    pub fn values_of(&self, name: &str, labels: &[(&str, &str)], label: &str) -> Vec<String> {
        let series = self.matching(name, labels).filter(|sample| sample.value != 0.0);
        let mut values: Vec<_> =
            series.filter_map(|mut sample| sample.labels.remove(label)).collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    fn matching(&self, name: &str, labels: &[(&str, &str)]) -> impl Iterator<Item = Sample> {
        let samples =
            self.0.lines().filter_map(move |line| Sample::parse(line.strip_prefix(name)?));
        samples.filter(move |sample| {
            labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        })
    }
}

impl Sample {
    /// What follows a name: `{label="value",…} value`, with or without the braces. Timestamps are not
    /// read.
    fn parse(mut rest: &str) -> Option<Self> {
        let mut labels = BTreeMap::new();
        match rest.strip_prefix('{') {
            Some(inside) => (labels, rest) = parse_labels(inside)?,
            // The name goes on, and is another one.
            None if !rest.starts_with(' ') => return None,
            None => {}
        }
        let value = rest.split_whitespace().next()?.parse().ok()?;
        Some(Self { labels, value })
    }
}

/// Labels up to the closing brace, and what follows it.
fn parse_labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        rest = loop {
            match characters.next()? {
                (at, '"') => break &quoted[at + 1..],
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    escaped => value.push(escaped),
                },
                (_, character) => value.push(character),
            }
        };
        labels.insert(name.to_owned(), value);
    }
}

impl Histogram {
    /// How many observations there are.
    pub fn count(&self) -> f64 {
        self.buckets.last().map_or(0.0, |(_, count)| *count)
    }

    /// The value that a share of `quantile` of the observations do not exceed, as PromQL's
    /// `histogram_quantile` estimates it: evenly spread within their bucket. `None` without
    /// observations.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let rank = quantile * self.count();
        if self.count() == 0.0 {
            return None;
        }
        let at = self.buckets.iter().position(|(_, count)| *count >= rank)?;
        let (lower_edge, below) = match at.checked_sub(1) {
            Some(before) => self.buckets[before],
            None => (0.0, 0.0),
        };
        let (edge, count) = self.buckets[at];
        // Nothing is known about what lies beyond the last edge, except that it does.
        if edge.is_infinite() {
            return Some(lower_edge);
        }
        Some(lower_edge + (edge - lower_edge) * (rank - below) / (count - below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = r#"
# HELP calls_total Calls.
# TYPE calls_total counter
calls_total{outcome="ok",note="a \"b\", {c} = \\d"} 3
calls_total{outcome="failed",note=""} 1
up 1
took_seconds_bucket{who="a",le="0.1"} 2
took_seconds_bucket{who="a",le="1"} 6
took_seconds_bucket{who="a",le="+Inf"} 8
took_seconds_bucket{who="b",le="0.1"} 0
took_seconds_bucket{who="b",le="1"} 2
took_seconds_bucket{who="b",le="+Inf"} 2
took_seconds_sum{who="a"} 9.5
nonsense
"#;

    #[test]
    fn series_are_summed_by_the_labels_asked_for() {
        let scrape = Exposition(SCRAPE.to_owned());
        assert_eq!(scrape.sum("calls_total", &[]), Some(4.0));
        assert_eq!(scrape.sum("calls_total", &[("outcome", "ok")]), Some(3.0));
        assert_eq!(scrape.sum("calls_total", &[("note", "a \"b\", {c} = \\d")]), Some(3.0));
        assert_eq!(scrape.sum("calls_total", &[("outcome", "lost")]), None);
        assert_eq!(scrape.sum("up", &[]), Some(1.0));
        assert_eq!(scrape.sum("u", &[]), None, "another one's name begins like that");
        assert_eq!(scrape.total("calls_total", &[("outcome", "lost")]), 0.0);
        assert_eq!(scrape.values_of("calls_total", &[], "outcome"), ["failed", "ok"]);
    }

    #[test]
    fn quantiles_are_those_of_promql() {
        let scrape = Exposition(SCRAPE.to_owned());
        let a = scrape.histogram("took_seconds", &[("who", "a")]);
        assert_eq!(a.count(), 8.0);
        // Rank 4 is halfway between the 2nd and the 6th, which lie between 0.1 and 1.
        assert_eq!(a.quantile(0.5), Some(0.1 + 0.9 * 2.0 / 4.0));
        assert_eq!(a.quantile(0.125), Some(0.05));
        assert_eq!(a.quantile(0.95), Some(1.0), "beyond the last edge");
        let both = scrape.histogram("took_seconds", &[]);
        assert_eq!(both.count(), 10.0);
        assert_eq!(both.quantile(0.5), Some(0.1 + 0.9 * 3.0 / 6.0));
    }

    #[test]
    fn nothing_observed_has_no_quantile() {
        let scrape = Exposition("x_bucket{le=\"1\"} 0\nx_bucket{le=\"+Inf\"} 0\n".to_owned());
        assert_eq!(scrape.histogram("x", &[]).quantile(0.5), None);
        assert_eq!(scrape.histogram("y", &[]).quantile(0.5), None);
        assert_eq!(scrape.histogram("y", &[]).count(), 0.0);
    }
}
