//! The dashboards as they are shipped, and what they ask.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::present;

/// A dashboard as Grafana takes it.
#[derive(Clone)]
pub struct Dashboard {
    /// The name of its file.
    pub file: String,
    /// What is in it.
    pub json: Value,
}

/// What a dashboard asks Prometheus.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose question it is: file, panel or annotation, and its letter.
    pub from: String,
    /// The question, with Grafana's variables.
    pub promql: String,
}

impl Dashboard {
    /// All that are in the folder `dashboards`.
    ///
    /// # Errors
    /// If one can't be read, or is no JSON.
    pub fn read_all(dashboards: &Path) -> Result<Vec<Self>> {
        let read = |(file, text): (String, String)| {
            let json = serde_json::from_str(&text).with_context(|| format!("in {file}"))?;
            Ok(Self { file, json })
        };
        present(dashboards)?.into_iter().map(read).collect()
    }

    /// Its panels, without the headings.
    pub fn panels(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["panels"]).iter().filter(|panel| panel["type"] != "row")
    }

    /// Its variables.
    pub fn variables(&self) -> &[Value] {
        list(&self.json["templating"]["list"])
    }

    /// Its annotations from Prometheus.
    pub fn annotations(&self) -> impl Iterator<Item = &Value> {
        let all = list(&self.json["annotations"]["list"]).iter();
        all.filter(|annotation| annotation["builtIn"] != 1)
    }

    /// What its panels and annotations ask.
    pub fn questions(&self) -> Vec<Question> {
        let panels = self.panels().flat_map(|panel| {
            list(&panel["targets"]).iter().map(|target| Question {
                from: format!(
                    "{}: {} {}",
                    self.file,
                    text(&panel["title"]),
                    text(&target["refId"])
                ),
                promql: text(&target["expr"]).to_owned(),
            })
        });
        let annotations = self.annotations().map(|annotation| Question {
            from: format!("{}: annotation {}", self.file, text(&annotation["name"])),
            promql: text(&annotation["expr"]).to_owned(),
        });
        panels.chain(annotations).collect()
    }
}

impl Question {
    /// The question as Grafana asks it with All chosen everywhere, a `rate_interval`, and `range`
    /// shown.
    pub fn with_all_chosen(&self, rate_interval: Duration, range: Duration) -> String {
        fill(&self.promql, rate_interval, range)
    }
}

/// `promql` with values for Grafana's variables.
fn fill(promql: &str, rate_interval: Duration, range: Duration) -> String {
    let mut parts = promql.split('$');
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = part.split_at(end.unwrap_or(part.len()));
        match name {
            "__rate_interval" => filled.push_str(&format!("{}ms", rate_interval.as_millis())),
            "__range" => filled.push_str(&format!("{}ms", range.as_millis())),
            _ => filled.push_str(".+"),
        }
        filled.push_str(rest);
    }
    filled
}

/// What is in a list; nothing, if it is none.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty, if it is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_get_values() {
        let asked = r#"rate(x{job=~"$job"}[$__rate_interval]) > max_over_time(y[$__range])"#;
        let filled = fill(asked, Duration::from_secs(4), Duration::from_secs(60));
        assert_eq!(filled, r#"rate(x{job=~".+"}[4000ms]) > max_over_time(y[60000ms])"#);
    }
}
