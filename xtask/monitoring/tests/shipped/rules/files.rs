//! The shipped rules and their unit tests, as their files have them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::files::{document, yaml_files};

/// Prometheus' configuration.
pub const PROMETHEUS: &str = "deploy/prometheus/prometheus.yml";
/// Alertmanager's.
pub const ALERTMANAGER: &str = "deploy/prometheus/alertmanager.yml";
/// The folder of rules.
pub const RULES: &str = "deploy/prometheus/rules";
/// That of their unit tests.
pub const TESTS: &str = "deploy/prometheus/tests";
/// What the alerts link to.
pub const RUNBOOK: &str = "docs/RUNBOOK.md";

/// The dead man's switch: the alert that always fires.
pub const WATCHDOG: &str = "DigitalActorsWatchdog";

/// A recording or an alerting rule.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Rule {
    /// One that alerts.
    Alert(Alert),
    /// One that records.
    Record(Record),
}

/// A rule that alerts.
#[derive(Debug, Deserialize)]
pub struct Alert {
    /// Its name.
    pub alert: String,
    /// What holds while there is something to say.
    pub expr: String,
    /// The labels it adds.
    pub labels: BTreeMap<String, String>,
    /// What the reader is told.
    pub annotations: BTreeMap<String, String>,
}

/// A rule that records.
#[derive(Debug, Deserialize)]
pub struct Record {
    /// The name of what it records: `level:metric:operations`.
    pub record: String,
    /// What it records.
    pub expr: String,
    /// The labels it adds.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Rule {
    /// What is evaluated.
    pub fn expr(&self) -> &str {
        match self {
            Self::Alert(alert) => &alert.expr,
            Self::Record(record) => &record.expr,
        }
    }

    /// What the rule is called.
    pub fn name(&self) -> &str {
        match self {
            Self::Alert(alert) => &alert.alert,
            Self::Record(record) => &record.record,
        }
    }
}

/// A file of unit tests for promtool, as far as is looked at here.
#[derive(Debug, Deserialize)]
pub struct Tests {
    /// Its groups.
    pub tests: Vec<TestGroup>,
}

/// Some series, and what is to become of them.
#[derive(Debug, Deserialize)]
pub struct TestGroup {
    /// What is the case.
    pub name: String,
    /// Which alerts are expected when.
    pub alert_rule_test: Vec<AlertTest>,
}

/// Which alerts of a name are expected at a moment.
#[derive(Debug, Deserialize)]
pub struct AlertTest {
    /// The name.
    pub alertname: String,
    /// The alerts: none, if nothing is to fire.
    #[serde(default)]
    pub exp_alerts: Vec<ExpectedAlert>,
}

/// An alert that is expected.
#[derive(Debug, Deserialize)]
pub struct ExpectedAlert {
    /// Its labels but for its name.
    pub exp_labels: BTreeMap<String, String>,
    /// What the reader is told.
    pub exp_annotations: BTreeMap<String, String>,
}

/// What a YAML file holds, by its path from the repository's top folder.
pub fn read<T: DeserializeOwned>(file: &str) -> T {
    T::deserialize(document(file)).unwrap_or_else(|why| panic!("{file}: {why}"))
}

/// All rules that are shipped.
pub fn shipped() -> Vec<Rule> {
    #[derive(Deserialize)]
    struct Rules {
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        rules: Vec<Rule>,
    }
    let files = yaml_files(RULES);
    let groups = files.iter().flat_map(|file| read::<Rules>(file).groups);
    groups.flat_map(|group| group.rules).collect()
}

/// All alerts that are shipped.
pub fn alerts() -> Vec<Alert> {
    let alert = |rule| match rule {
        Rule::Alert(alert) => Some(alert),
        Rule::Record(_) => None,
    };
    shipped().into_iter().filter_map(alert).collect()
}
