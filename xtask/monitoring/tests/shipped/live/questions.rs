//! What dashboards and rules ask, as it is asked.

use std::collections::BTreeSet;
use std::time::Duration;

use da_testkit::prometheus::{Prometheus, Rule};
use promql_parser::parser::parse;

use super::stage::INTERVAL;
use crate::promql::selected;

/// What Grafana makes of `$__rate_interval`: four scrapes.
const RATE_INTERVAL: Duration = INTERVAL.saturating_mul(4);
/// What is shown, `$__range`.
const RANGE: Duration = Duration::from_secs(60);
/// How far back an answer may lie.
const BACK: Duration = Duration::from_secs(20);

/// A question, and who asks.
#[derive(Clone, Debug)]
pub struct Asked {
    /// A dashboard's panel, or a rule.
    pub from: String,
    /// The question.
    pub promql: String,
}

/// All that dashboards ask and that rules record; of alerts, which are silent while all is well, each
/// series that they look at.
pub fn all(prometheus: &Prometheus) -> Vec<Asked> {
    let mut all = Vec::new();
    for board in crate::dashboards::all() {
        for question in board.questions() {
            let promql = question.with_all_chosen(RATE_INTERVAL, RANGE);
            all.push(Asked { from: question.from, promql });
        }
    }
    for rule in rules(prometheus) {
        if rule.kind == "recording" {
            all.push(Asked { from: format!("rule {}", rule.name), promql: rule.query });
            continue;
        }
        let expression = parse(&rule.query).expect("Prometheus has parsed it");
        for (at, selected) in selected(&expression).into_iter().enumerate() {
            all.push(Asked {
                from: format!("alert {} {}", rule.name, at + 1),
                promql: selected.text,
            });
        }
    }
    all
}

/// All rules.
pub fn rules(prometheus: &Prometheus) -> Vec<Rule> {
    let groups = prometheus.rules().expect("Prometheus knows its rules");
    groups.into_iter().flat_map(|group| group.rules).collect()
}

/// What must hold for an alert.
pub fn condition(prometheus: &Prometheus, alert: &str) -> Asked {
    let rule = rules(prometheus).into_iter().find(|rule| rule.name == alert);
    let rule = rule.unwrap_or_else(|| panic!("there is no alert {alert}"));
    Asked { from: format!("condition of {alert}"), promql: rule.query }
}

/// The names of all series there are.
pub fn metrics_of(prometheus: &Prometheus) -> BTreeSet<String> {
    let names: Vec<String> =
        prometheus.api().get("/api/v1/label/__name__/values", &[]).expect("names");
    names.into_iter().collect()
}

impl Asked {
    /// The names of the metrics that it asks for.
    pub fn metrics(&self) -> BTreeSet<String> {
        let expression = parse(&self.promql).unwrap_or_else(|why| panic!("{}: {why}", self.from));
        selected(&expression).into_iter().map(|one| one.name).collect()
    }

    /// Whether there was a number for an answer, a while ago or now. Shares of nothing are none.
    pub fn has_answer(&self, prometheus: &Prometheus) -> bool {
        let answer = prometheus.query_range(&self.promql, BACK, INTERVAL);
        let answer = answer.unwrap_or_else(|why| panic!("{}: {why:#}", self.from));
        answer.iter().any(|series| series.values.iter().any(|sample| sample.value.is_finite()))
    }
}
