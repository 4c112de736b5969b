//! Panels that stack parts of a time, and draw that time as a line over them.

use std::time::Duration;

use da_monitoring::dashboards::shipped::{Question, list, text};
use da_testkit::prometheus::Prometheus;
use serde_json::Value;

/// What is looked at: about as long as the demo has run.
const RANGE: Duration = Duration::from_secs(60);
/// By how much stack and line may differ. They count the same calls, but not at the same moment: a
/// call is cut into phases a little after it has ended, and few calls are made in so short a time.
const TOLERANCE: f64 = 0.1;

/// The stacks that are not what their lines say.
pub fn stacks_beside_their_lines(prometheus: &Prometheus) -> Vec<String> {
    let (mut seen, mut beside) = (0, Vec::new());
    for board in crate::dashboards::all() {
        for panel in board.panels() {
            let overrides = list(&panel["fieldConfig"]["overrides"]);
            let unstacked = |one: &&Value| one["properties"][0]["id"] == "custom.stacking";
            let Some(line) = overrides.iter().find(unstacked) else { continue };
            seen += 1;
            let line = text(&line["matcher"]["options"]);
            let sum = |of_line: bool| -> f64 {
                let targets = list(&panel["targets"]).iter();
                targets
                    .filter(|target| (text(&target["legendFormat"]) == line) == of_line)
                    .map(|target| value(prometheus, text(&target["expr"])))
                    .sum()
            };
            let (stack, line) = (sum(false), sum(true));
            let said = format!("{}: stack {stack:.4} s, line {line:.4} s", text(&panel["title"]));
            eprintln!("{said}");
            // Where both are nothing their ratio is no number, and no agreement either.
            let agree = (stack / line - 1.0).abs() < TOLERANCE;
            if !agree {
                beside.push(said);
            }
        }
    }
    assert!(seen > 0, "no panel has a stack with a line");
    beside
}

/// The sum of what a query answers about the whole run.
fn value(prometheus: &Prometheus, promql: &str) -> f64 {
    let question = Question { from: String::new(), promql: promql.to_owned() };
    let answer = prometheus.query(&question.with_all_chosen(RANGE, RANGE)).expect("an answer");
    answer.iter().map(|series| series.values[0].value).sum()
}
