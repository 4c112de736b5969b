//! The rules of Grafana's dashboard linter, for heatmaps too, which that leaves out; and ours.

use da_monitoring::dashboards::shipped::{Dashboard, Question, list, text};
use promql_parser::label::MatchOp;
use promql_parser::parser::parse;
use serde_json::Value;
use std::time::Duration;

use crate::promql::{Selected, selected};
use crate::sockets::counted_over_jobs;

/// What `$__rate_interval` is while queries are looked at: no query has such a range by itself.
const RATE_INTERVAL: Duration = Duration::from_millis(4_321_001);
/// And `$__range`.
const RANGE: Duration = Duration::from_millis(8_765_001);
/// The units that the dashboards use, of those that Grafana knows.
const UNITS: &[&str] =
    &["none", "short", "s", "ops", "reqps", "percentunit", "bytes", "Bps", "currencyUSD"];

/// What is wrong with a dashboard, in the linter's order.
pub fn complaints(board: &Dashboard) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    say(board.json["editable"] == false, "it can be edited".to_owned());
    let variables = board.variables();
    let data_sources: Vec<_> =
        variables.iter().filter(|variable| variable["type"] == "datasource").collect();
    say(
        matches!(data_sources[..], [only] if only["name"] == "datasource"
            && only["label"] == "Data source" && only["query"] == "prometheus"),
        "the data source can't be chosen".to_owned(),
    );
    for name in ["job", "instance"] {
        say(variables.iter().any(|v| v["name"] == name), format!("there is no variable {name}"));
    }
    let one_job = board.questions().iter().any(|question| {
        parse(&asked(&question.promql)).is_ok_and(|promql| !counted_over_jobs(&promql).is_empty())
    });
    for variable in variables.iter().filter(|variable| variable["type"] != "datasource") {
        for problem in in_variable(variable, one_job) {
            say(false, format!("variable {}: {problem}", text(&variable["name"])));
        }
        let name = format!("${}", text(&variable["name"]));
        let queries = board.questions().into_iter().map(|question| question.promql);
        say(
            queries.into_iter().any(|promql| promql.contains(&name)),
            format!("no query asks for {name}"),
        );
    }
    for panel in board.panels() {
        for problem in in_panel(panel) {
            say(false, format!("panel {}: {problem}", text(&panel["title"])));
        }
    }
    for annotation in board.annotations() {
        say(
            is_chosen(&annotation["datasource"]),
            "an annotation has a fixed data source".to_owned(),
        );
    }
    for question in board.questions() {
        for problem in in_question(&question) {
            say(false, format!("{}: {problem}", question.from));
        }
    }
    found
}

/// Whether the data source is the chosen one.
fn is_chosen(data_source: &Value) -> bool {
    data_source["type"] == "prometheus" && data_source["uid"] == "${datasource}"
}

/// `one_job`: what is asked would count the sockets of a host twice if several jobs were chosen.
fn in_variable(variable: &Value, one_job: bool) -> Vec<&'static str> {
    let query = text(&variable["query"]["query"]);
    let inside = query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(','));
    let selector = inside.map(|(selector, _)| asked(selector));
    let is_one = one_job && variable["name"] == "job";
    let any = variable["multi"] == true && variable["includeAll"] == true;
    let one = variable["multi"] == false && variable["includeAll"] == false;
    let rules = [
        (variable["type"] == "query", "it asks nothing"),
        (is_chosen(&variable["datasource"]), "it has a fixed data source"),
        (!text(&variable["label"]).is_empty(), "it has no label"),
        (is_one || any, "only one can be chosen"),
        (!is_one || one, "several can be chosen, and sockets are counted twice"),
        (is_one || variable["allValue"] == ".+", "All is not .+"),
        (variable["refresh"] == 2, "it is not read again when the time range changes"),
        (selector.is_some_and(|promql| parse(&promql).is_ok()), "it can't be parsed"),
    ];
    rules.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what).collect()
}

fn in_panel(panel: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |holds: bool, what: &str| {
        if !holds {
            found.push(what.to_owned());
        }
    };
    let targets = list(&panel["targets"]);
    say(!text(&panel["title"]).is_empty(), "it has no title");
    let description = text(&panel["description"]);
    say(description.ends_with('.'), "its description is not a sentence");
    say(is_chosen(&panel["datasource"]), "it has a fixed data source");
    say(targets.iter().all(|target| is_chosen(&target["datasource"])), "so has a query");
    say(!targets.is_empty(), "it asks nothing");
    let unit = match text(&panel["type"]) {
        "heatmap" => &panel["options"]["yAxis"]["unit"],
        _ => &panel["fieldConfig"]["defaults"]["unit"],
    };
    say(UNITS.contains(&text(unit)), &format!("its unit {unit} is not known"));
    if panel["type"] == "heatmap" {
        say(targets.iter().all(|target| target["format"] == "heatmap"), "its buckets aren't read");
        say(panel["options"]["calculate"] == false, "its buckets are made anew");
    }
    if panel["type"] == "timeseries" {
        let named = targets.iter().all(|target| !text(&target["legendFormat"]).is_empty());
        say(named, "its legend is a query");
    }
    found
}

fn asked(promql: &str) -> String {
    let question = Question { from: String::new(), promql: promql.to_owned() };
    question.with_all_chosen(RATE_INTERVAL, RANGE)
}

fn in_question(question: &Question) -> Vec<String> {
    let expression = match parse(&question.with_all_chosen(RATE_INTERVAL, RANGE)) {
        Ok(expression) => expression,
        Err(why) => return vec![format!("it can't be parsed: {why}")],
    };
    let mut found = Vec::new();
    for selected in selected(&expression) {
        found.extend(in_selected(&selected));
    }
    if question.promql.contains("histogram_quantile") && !question.promql.contains("sum by (le") {
        found.push("a quantile without sum by (le)".to_owned());
    }
    found
}

fn in_selected(selected: &Selected) -> Vec<String> {
    let name = &selected.name;
    let function = selected.function.as_deref();
    let takes_rate = matches!(function, Some("rate" | "irate" | "increase"));
    let mut found = Vec::new();
    for label in ["job", "instance"] {
        let is_chosen = selected.matchers.iter().any(|matcher| {
            matcher.name == label && matches!(&matcher.op, MatchOp::Re(_)) && matcher.value == ".+"
        });
        if !is_chosen {
            found.push(format!("{name} is not asked of the chosen {label}"));
        }
    }
    if selected.is_counter() && !takes_rate {
        found.push(format!("the counter {name} is taken without its rate"));
    }
    let range_is_grafanas = match function {
        Some("rate" | "irate" | "changes") => selected.range == Some(RATE_INTERVAL),
        Some("increase") => [Some(RATE_INTERVAL), Some(RANGE)].contains(&selected.range),
        _ => true,
    };
    if !range_is_grafanas {
        found.push(format!("the range of {name} is not $__rate_interval"));
    }
    found
}
