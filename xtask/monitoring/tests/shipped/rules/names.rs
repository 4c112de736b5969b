//! What the rules read and record: names, labels, values and edges that exist.

use std::collections::BTreeSet;

use promql_parser::label::Matcher;
use promql_parser::parser::parse;

use super::families::Families;
use super::files::{Record, Rule, shipped};
use super::level::{grouping, level, words};
use crate::files::text;
use crate::promql::selected;

/// What Prometheus and Alertmanager tell of themselves, as far as it is asked for, and by which labels.
const OF_MONITORS: &[(&str, &[&str])] = &[
    ("alertmanager_config_last_reload_successful", &[]),
    ("alertmanager_notifications_failed_total", &["integration"]),
    ("prometheus_config_last_reload_successful", &[]),
    ("prometheus_notifications_dropped_total", &[]),
    ("prometheus_rule_evaluation_failures_total", &["rule_group"]),
];
/// Labels that Prometheus adds, and those of collectors.
const EVERYWHERE: &[&str] = &["job", "instance", "process", "workload"];

/// What there is to read.
pub struct Known {
    families: Families,
    recorded: BTreeSet<String>,
}

impl Known {
    /// What is documented, and what the shipped rules record.
    pub fn new() -> Self {
        let recorded = shipped().iter().map(|rule| rule.name().to_owned()).collect();
        Self { families: Families::of(&text("docs/METRICS.md")), recorded }
    }

    /// Panics if what `promql` reads or groups by does not exist; `origin` is where it is written.
    pub fn check(&self, origin: &str, promql: &str) {
        let expression = parse(promql).unwrap_or_else(|why| panic!("{origin}: {why}"));
        let mut labels: BTreeSet<String> = EVERYWHERE.iter().map(|&label| label.into()).collect();
        for selector in selected(&expression) {
            let name = selector.name.as_str();
            if name == "up" || name.starts_with("process_") {
                continue;
            }
            if let Some((level, _)) = name.split_once(':') {
                assert!(self.recorded.contains(name), "{origin}: nothing records {name}");
                labels.extend(words(level));
                continue;
            }
            if let Some((_, own)) = OF_MONITORS.iter().find(|(known, _)| *known == name) {
                labels.extend(own.iter().map(|&label| label.to_owned()));
                continue;
            }
            let family = self.families.of_series(name);
            let family = family.unwrap_or_else(|| panic!("{origin}: nothing exports {name}"));
            for condition in &selector.matchers {
                let known = family.labels.contains(&condition.name) || condition.name == "le";
                assert!(known, "{origin}: {name} has no label {}", condition.name);
                check_value(&self.families, &family.edges, condition, origin);
            }
            labels.extend(family.labels.iter().cloned());
            labels.extend(name.ends_with("_bucket").then(|| "le".to_owned()));
        }
        let grouping = grouping(&expression);
        let unknown: Vec<_> = grouping.iter().filter(|label| !labels.contains(*label)).collect();
        assert!(unknown.is_empty(), "{origin}: nothing has the labels {unknown:?}");
    }
}

#[test]
fn rules_read_what_is_exported_or_recorded() {
    let known = Known::new();
    for rule in shipped() {
        known.check(rule.name(), rule.expr());
    }
}

/// A condition on a value that never comes is never noticed.
fn check_value(families: &Families, edges: &[f64], condition: &Matcher, origin: &str) {
    if condition.name == "le" {
        // `10(\.0)?`: with and without the zero that some formats add.
        let written = condition.value.trim_end_matches(r"(\.0)?");
        let edge: f64 = written.parse().expect("a number");
        if edge.is_infinite() {
            return;
        }
        let may_have_a_zero = edge.fract() == 0.0;
        assert_eq!(written != condition.value, may_have_a_zero, "{origin}: {}", condition.value);
        assert!(edges.contains(&edge), "{origin}: {edge} is not among {edges:?}");
        return;
    }
    for value in condition.value.split('|').filter(|value| !value.contains('.')) {
        assert!(families.has_value(value), "{origin}: {} is never {value}", condition.name);
    }
}

#[test]
fn records_are_named_by_level_metric_and_operations() {
    for rule in shipped() {
        let Rule::Record(Record { record, expr, labels }) = rule else { continue };
        let parts: Vec<_> = record.split(':').collect();
        let [at, metric, _operations] = parts.as_slice() else { panic!("{record}") };
        assert!(metric.starts_with("digital_actors_"), "{record}");
        if *at == "objective" {
            continue;
        }
        let left = level(&parse(&expr).unwrap());
        let mut left = left.unwrap_or_else(|| panic!("{record}: not aggregated"));
        left.extend(labels.keys().flat_map(|label| words(label)));
        let mut named = words(at);
        left.sort();
        named.sort();
        assert_eq!(left, named, "{record}");
    }
}

/// The objectives are promises: that they are stated once means that nothing else repeats them.
#[test]
fn every_objective_is_used_and_none_repeated() {
    let rules = shipped();
    let objectives: Vec<_> =
        rules.iter().map(Rule::name).filter(|name| name.starts_with("objective:")).collect();
    assert_eq!(objectives.iter().collect::<BTreeSet<_>>().len(), objectives.len());
    assert_eq!(objectives.len(), 3);
    for objective in objectives {
        assert!(rules.iter().any(|rule| rule.expr().contains(objective)), "{objective}");
    }
}
