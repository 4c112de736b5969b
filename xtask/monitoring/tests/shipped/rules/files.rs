//! The shipped rules and their unit tests, as their files have them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

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

/// Where the repository's top folder is.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where what is shipped for Prometheus is.
pub fn folder() -> PathBuf {
    repository().join("deploy/prometheus")
}

/// The YAML files of a folder, in the order of their names.
///
/// # Errors
/// If it can't be read.
pub fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {folder:?}"))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yml"));
    files.sort();
    Ok(files)
}

/// What a YAML file holds.
///
/// # Errors
/// If it can't be read, or is not a `T`.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<T> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file:?}"))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{file:?}"))
}

/// All rules that are shipped.
///
/// # Errors
/// If a file can't be read, or a rule lacks what is read here.
pub fn shipped() -> Result<Vec<Rule>> {
    #[derive(Deserialize)]
    struct Rules {
        groups: Vec<Group>,
    }
    #[derive(Deserialize)]
    struct Group {
        rules: Vec<Rule>,
    }
    let mut rules = Vec::new();
    for file in yaml_files(&folder().join("rules"))? {
        rules.extend(read::<Rules>(&file)?.groups.into_iter().flat_map(|group| group.rules));
    }
    Ok(rules)
}
