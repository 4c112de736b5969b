//! Panels that stack parts of a time, and draw that time as a line over them.

use std::time::Duration;

use da_monitoring::dashboards::shipped::{Question, list, text};
use da_monitoring::prometheus::Prometheus;

/// What is looked at: about as long as the demo has run.
const RANGE: Duration = Duration::from_secs(60);
/// By how much stack and line may differ. They count the same calls, but not at the same moment: a
/// call is cut into phases a little after it has ended, and few calls are made in so short a time.
const TOLERANCE: f64 = 0.1;

/// Fails if a stack is not what its line says.
pub fn assert_stacks_sum_to_their_lines(prometheus: &Prometheus) {
    let mut seen = 0;
    for board in crate::dashboards::all() {
        for panel in board.panels() {
            let overrides = list(&panel["fieldConfig"]["overrides"]);
            let unstacked =
                |one: &&serde_json::Value| one["properties"][0]["id"] == "custom.stacking";
            let Some(line) = overrides.iter().find(unstacked) else { continue };
            let line = text(&line["matcher"]["options"]);
            let sum = |of_line: bool| -> f64 {
                let targets = list(&panel["targets"]).iter();
                targets
                    .filter(|target| (text(&target["legendFormat"]) == line) == of_line)
                    .map(|target| value(prometheus, text(&target["expr"])))
                    .sum()
            };
            let (stack, line_at) = (sum(false), sum(true));
            let title = text(&panel["title"]);
            eprintln!("{title}: the stack is {stack:.4} s high, the line at {line_at:.4} s");
            assert!(line_at > 0.0, "{}: {title} has no line", board.file);
            assert!((stack / line_at - 1.0).abs() < TOLERANCE, "{title}: {stack} is not {line_at}");
            seen += 1;
        }
    }
    assert!(seen > 0, "no panel has a stack with a line");
}

/// The sum of what a query answers about the whole run.
fn value(prometheus: &Prometheus, promql: &str) -> f64 {
    let question = Question { from: String::new(), promql: promql.to_owned() };
    let answer = prometheus.query(&question.with_all_chosen(RANGE, RANGE)).expect("an answer");
    answer.iter().map(|series| series.values[0].value).sum()
}
