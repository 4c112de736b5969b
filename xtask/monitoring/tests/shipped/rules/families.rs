//! The metrics that the servers export, as docs/METRICS.md has them: tests of da-server hold that
//! against the code.

use std::collections::{BTreeMap, BTreeSet};

/// What stands before every name in the tables.
const PREFIX: &str = "digital_actors_";

/// All that is documented.
pub struct Families {
    families: BTreeMap<String, Family>,
    text: String,
}

/// One family of metrics.
#[derive(Debug, Default, PartialEq)]
pub struct Family {
    /// Whether it is a histogram.
    pub is_histogram: bool,
    /// The labels of all its series.
    pub labels: Vec<String>,
    /// Where its buckets end, as far as the document lists that.
    pub edges: Vec<f64>,
}

impl Families {
    /// Reads the tables of the document.
    pub fn of(markdown: &str) -> Self {
        let edges = edges(markdown);
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        for line in markdown.lines() {
            let cells: Vec<_> = line.trim_start_matches('|').split('|').map(str::trim).collect();
            let [names, kind, labels, ..] = cells.as_slice() else { continue };
            if !["counter", "gauge", "histogram"].iter().any(|known| kind.starts_with(known)) {
                continue;
            }
            let list = |text: &str| {
                let entries = text.split(", ").map(|entry| entry.trim().trim_matches('`'));
                entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect::<Vec<_>>()
            };
            let footnote = kind.strip_prefix("histogram ").unwrap_or_default();
            for name in list(names) {
                let family = families.entry(format!("{PREFIX}{name}")).or_default();
                family.is_histogram = kind.starts_with("histogram");
                family.labels = list(labels);
                // The table that is written from the code comes last, and has no footnotes.
                family.edges.extend(edges.get(footnote).into_iter().flatten());
            }
        }
        Self { families, text: markdown.to_owned() }
    }

    /// The family that a series of this name belongs to. In OpenMetrics a histogram with buckets below
    /// 0 has neither count nor sum.
    pub fn of_series(&self, name: &str) -> Option<&Family> {
        let of_histogram = || {
            let ends = ["_bucket", "_count", "_sum"];
            let family = ends.iter().find_map(|end| name.strip_suffix(end))?;
            let family = self.families.get(family).filter(|family| family.is_histogram)?;
            let has_all = family.edges.iter().all(|edge| *edge >= 0.0);
            (has_all || name.ends_with("_bucket")).then_some(family)
        };
        let plain = self.families.get(name).filter(|family| !family.is_histogram);
        plain.or_else(of_histogram)
    }

    /// The labels of all of them.
    pub fn labels(&self) -> BTreeSet<&str> {
        self.families.values().flat_map(|family| &family.labels).map(String::as_str).collect()
    }

    /// Whether the document has this value of a label.
    pub fn has_value(&self, value: &str) -> bool {
        self.text.contains(&format!("`{value}`"))
    }
}

/// The lists of edges by their footnotes: `¹ 0.1 0.5 1 · ² …`.
fn edges(markdown: &str) -> BTreeMap<String, Vec<f64>> {
    let section = markdown.split("\n## Buckets\n").nth(1).unwrap_or_default();
    let lists = section.split("\n## ").next().unwrap_or_default().replace('\n', " ");
    let list = |text: &str| {
        let (footnote, edges) = text.trim().split_once(' ')?;
        let edges = edges.replace('−', "-");
        let edges =
            edges.split_whitespace().map_while(|edge| edge.trim_end_matches('.').parse().ok());
        Some((footnote.to_owned(), edges.collect()))
    };
    lists.split('·').filter_map(list).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "
| family | type | labels | meaning |
|---|---|---|---|
| `a_seconds` | histogram ² | scene, stage | of `x`, or `y` |
| `b_entries`, `b_room` | gauge | | both |

## Buckets

¹ 1 2 · ² −1 0.5
10 (some standard's). Never removed.

## More

| `a_seconds` | histogram | scene, stage | from the code |
";

    #[test]
    fn tables_and_footnotes_are_read() {
        let families = Families::of(DOCUMENT);
        let expected = Family {
            is_histogram: true,
            labels: vec!["scene".into(), "stage".into()],
            edges: vec![-1.0, 0.5, 10.0],
        };
        assert_eq!(families.of_series("digital_actors_a_seconds_bucket"), Some(&expected));
        assert_eq!(families.of_series("digital_actors_a_seconds"), None, "no series of its own");
        assert_eq!(families.of_series("digital_actors_a_seconds_count"), None, "in OpenMetrics");
        assert!(families.of_series("digital_actors_b_room").unwrap().labels.is_empty());
        assert_eq!(families.of_series("digital_actors_b_room_count"), None);
        assert!(families.has_value("y") && !families.has_value("z"));
    }
}
