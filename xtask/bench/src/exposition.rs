//! Reads what `/metrics` says.

/// The text of one scrape.
pub struct Exposition(pub String);

impl Exposition {
    /// Sum over all series of a family, or of a histogram's `_count`, that have all of `labels`
    /// (each as written: `name="value"`).
    pub fn sum(&self, family: &str, labels: &[&str]) -> f64 {
        self.0.lines().filter_map(|line| value(line, family, labels)).sum()
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.0.lines().filter(|line| !line.starts_with('#')).count()
    }
}

fn value(line: &str, family: &str, labels: &[&str]) -> Option<f64> {
    let rest = line.strip_prefix(family)?;
    let (series, value) = rest.rsplit_once(' ')?;
    let is_family = series.is_empty() || series.starts_with('{');
    (is_family && labels.iter().all(|label| series.contains(label))).then(|| value.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_summed_over_its_own_series_only() {
        let text = "# TYPE a_total counter\n\
            a_total{x=\"1\",y=\"1\"} 3\na_total{x=\"2\",y=\"1\"} 4\na_totals 9\nb 1\n";
        let exposition = Exposition(text.to_owned());
        assert_eq!(exposition.sum("a_total", &[]), 7.0);
        assert_eq!(exposition.sum("a_total", &["x=\"2\"", "y=\"1\""]), 4.0);
        assert_eq!(exposition.sum("b", &[]), 1.0);
        assert_eq!(exposition.series(), 4);
    }
}
