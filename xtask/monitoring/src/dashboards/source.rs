//! What a person writes about the dashboards: `dashboards/source/*.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The file with what all dashboards share.
const COMMON: &str = "common.toml";

/// All that is written about the dashboards.
pub struct Source {
    /// What all of them share.
    pub common: Common,
    /// Each by the name of its file, without `.toml`.
    pub boards: BTreeMap<String, Board>,
}

/// What all dashboards share.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// Put before every title, as in `PREFIX / Overview`.
    pub prefix: String,
    /// The tag by which the dashboards find each other.
    pub tag: String,
    /// What the dashboards are refreshed after, as Grafana writes it.
    pub refresh: String,
    /// What they show at first, as Grafana writes it.
    pub from: String,
    /// Text that queries stand `@NAME` for.
    pub shorthand: BTreeMap<String, String>,
    /// The variables besides the data source, in their order.
    pub variable: Vec<Variable>,
    /// What is marked on every time axis.
    pub annotation: Vec<Annotation>,
}

/// A choice at the top of a dashboard.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// As queries say it: `$NAME`.
    pub name: String,
    /// As the reader sees it.
    pub label: String,
    /// Where its values come from.
    pub query: String,
}

/// A mark on every time axis.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotation {
    /// What it marks.
    pub name: String,
    /// Its colour, as Grafana names it.
    pub color: String,
    /// Above 0 where there is a mark.
    pub promql: String,
    /// Whether the mark is rather where its value says, in milliseconds since the epoch.
    #[serde(default)]
    pub value_is_time: bool,
    /// What the mark says, with labels as `{{label}}`.
    pub text: String,
}

/// One dashboard.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Its address in Grafana: never changed, or links to it break.
    pub uid: String,
    /// What it is called.
    pub title: String,
    /// Which question it answers.
    pub description: String,
    /// Which of the shared variables it has.
    pub variables: Vec<String>,
    /// Those of them of which one value is chosen at a time, and never all.
    #[serde(default)]
    pub one_of: Vec<String>,
    /// Its parts, from top to bottom.
    pub row: Vec<Row>,
}

/// Panels under one heading.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The heading.
    pub title: String,
    /// From left to right, on as many lines as they need.
    pub panel: Vec<Panel>,
}

/// One panel.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    /// What is shown, in a few words.
    pub title: String,
    /// What it means, and what to look for.
    pub description: String,
    /// How it is shown.
    pub kind: Kind,
    /// The unit, as Grafana names it.
    pub unit: String,
    /// Columns of 24.
    pub width: u32,
    /// Units of Grafana's grid, 30 pixels each; as usual for the kind if there is none.
    pub height: Option<u32>,
    /// Whether values are stacked on each other.
    pub stack: Option<Stack>,
    /// The legend of what is drawn as a line over the stack: what it is to sum to.
    pub line: Option<String>,
    /// The end of the value axis, where it has one.
    pub max: Option<f64>,
    /// Above this it is bad.
    pub limit: Option<f64>,
    /// Below this it is bad.
    pub floor: Option<f64>,
    /// Words for values.
    #[serde(default)]
    pub words: BTreeMap<String, String>,
    /// What a label's value leads to, by the label; `${__value.text}` is the value.
    #[serde(default)]
    pub link: BTreeMap<String, Link>,
    /// What is asked.
    pub query: Vec<Query>,
}

/// How a panel shows its values.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The latest value, large.
    Stat,
    /// Lines over time.
    Timeseries,
    /// The buckets of a histogram over time.
    Heatmap,
    /// The labels of the series there are.
    Table,
}

/// How values are stacked.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Stack {
    /// They sum.
    Normal,
    /// As shares of their sum.
    Percent,
}

/// Where a label's value leads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What it is called.
    pub title: String,
    /// Where it leads.
    pub url: String,
}

/// One question to Prometheus.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// The question, with shorthands.
    pub promql: String,
    /// What a series of the answer is called, with labels as `{{label}}`.
    #[serde(default)]
    pub legend: String,
    /// Asked once for each, as `@quantile`; `@p` in the legend is `p95` for 0.95.
    #[serde(default)]
    pub quantiles: Vec<f64>,
}

impl Source {
    /// Reads what is in `folder`.
    ///
    /// # Errors
    /// If a file is missing or not understood: which one, and where in it.
    pub fn read(folder: &Path) -> Result<Self> {
        let common = read(&folder.join(COMMON))?;
        let mut boards = BTreeMap::new();
        let entries =
            fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "toml")
                || path.ends_with(COMMON)
            {
                continue;
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            boards.insert(name, read(&path)?);
        }
        ensure!(!boards.is_empty(), "there is no dashboard in {}", folder.display());
        Ok(Self { common, boards })
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("in {}", path.display()))
}
