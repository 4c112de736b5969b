//! The dashboards keep the linter's rules, and a breach of each would be seen.

use da_monitoring::dashboards::shipped::Dashboard;
use serde_json::{Value, json};

use super::linter::complaints;

#[test]
fn the_dashboards_keep_the_rules() {
    let all: Vec<_> = super::all()
        .iter()
        .flat_map(|board| {
            let of_file = |complaint| format!("{}: {complaint}", board.file);
            complaints(board).into_iter().map(of_file).collect::<Vec<_>>()
        })
        .collect();
    assert!(all.is_empty(), "\n{}\n", all.join("\n"));
}

/// A place in a dashboard, what is put there, and a part of the complaint about it.
type Breach = (&'static str, Value, &'static str);

#[test]
fn a_breach_of_each_rule_is_seen() {
    let breaches: [Breach; 23] = [
        ("/editable", json!(true), "can be edited"),
        ("/templating/list/0/label", json!("DS"), "can't be chosen"),
        ("/templating/list/1/name", json!("jobs"), "no variable job"),
        ("/templating/list/1/multi", json!(true), "sockets are counted twice"),
        ("/templating/list/2/multi", json!(false), "only one can be chosen"),
        ("/templating/list/2/allValue", json!(".*"), "All is not"),
        ("/templating/list/1/refresh", json!(1), "not read again"),
        ("/templating/list/1/query/query", json!("label_values(x{, job)"), "can't be parsed"),
        ("/templating/list/1/datasource/uid", json!("P1"), "fixed data source"),
        ("/annotations/list/1/datasource/uid", json!("P1"), "an annotation"),
        ("/panels/1/title", json!(""), "no title"),
        ("/panels/1/description", json!(""), "description"),
        ("/panels/1/datasource/uid", json!("P1"), "fixed data source"),
        ("/panels/1/targets", json!([]), "asks nothing"),
        ("/panels/1/targets/0/datasource/uid", json!("P1"), "so has a query"),
        ("/panels/1/fieldConfig/defaults/unit", json!("secs"), "unit"),
        ("/panels/1/targets/0/expr", json!("sum("), "can't be parsed"),
        ("/panels/1/targets/0/expr", json!("up{job=~\"$job\"}"), "the chosen instance"),
        ("/panels/1/targets/0/expr", json!("up{instance=~\"$instance\"}"), "the chosen job"),
        ("/panels/1/targets/0/expr", json!("sum(x_total)"), "without its rate"),
        ("/panels/1/targets/0/expr", json!("x_bucket"), "without its rate"),
        ("/panels/1/targets/0/expr", json!("rate(x[5m])"), "not $__rate_interval"),
        (
            "/panels/1/targets/0/expr",
            json!("histogram_quantile(0.5, rate(x_bucket[$__rate_interval]))"),
            "without sum by (le)",
        ),
    ];
    let mut whole = super::all().into_iter().find(|board| board.file == "time.json").unwrap();
    // Each breach has all queries parsed again: of the panels three are enough.
    let mut panels = whole.json["panels"].as_array().unwrap().clone();
    let is_heatmap = |panel: &&Value| panel["type"] == "heatmap";
    let heatmap = panels.iter().find(is_heatmap).unwrap().clone();
    panels.truncate(2);
    panels.push(heatmap);
    whole.json["panels"] = panels.clone().into();
    for (place, broken, complaint) in breaches {
        assert_seen(&whole, place, broken, complaint);
    }
    let heatmap = panels.len() - 1;
    for (place, broken, complaint) in [
        ("options/yAxis/unit", json!("secs"), "unit"),
        ("options/calculate", json!(true), "made anew"),
        ("targets/0/format", json!("time_series"), "aren't read"),
        ("targets/0/expr", json!("sum by (le) (increase(x_bucket[5m]))"), "not $__rate_interval"),
    ] {
        assert_seen(&whole, &format!("/panels/{heatmap}/{place}"), broken, complaint);
    }
}

/// Fails unless the linter finds `broken` at `place`.
fn assert_seen(whole: &Dashboard, place: &str, broken: Value, complaint: &str) {
    let mut board = whole.clone();
    let there = board.json.pointer_mut(place).unwrap_or_else(|| panic!("there is no {place}"));
    *there = broken.clone();
    let found = complaints(&board);
    let seen = found.iter().any(|one| one.contains(complaint));
    assert!(seen, "{broken} at {place} is taken as good: {found:?}");
}
