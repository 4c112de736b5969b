//! That no query counts a socket twice: a game server with a kernel view and a collector on the same host,
//! which are two jobs, both see it.

use std::convert::Infallible;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{AggregateExpr, Expr, LabelModifier, parse};
use promql_parser::util::{ExprVisitor, walk_expr};

use crate::files::{root, text};
use crate::promql::selected;
use crate::rules::files::shipped;

/// How the names of families begin that both a game server and a collector export about the host.
const OF_THE_HOST: [&str; 3] =
    ["digital_actors_socket_", "digital_actors_syscall_", "digital_actors_ebpf_"];
/// Aggregations that choose among values and add none up.
const CHOOSE: [&str; 5] = ["min", "max", "group", "topk", "bottomk"];

/// The metrics about sockets that an aggregation in `expression` takes together over several jobs.
pub fn counted_over_jobs(expression: &Expr) -> Vec<String> {
    let mut found = Found(Vec::new());
    let Ok(_) = walk_expr(&mut found, expression);
    found.0
}

struct Found(Vec<String>);

impl ExprVisitor for Found {
    type Error = Infallible;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, Infallible> {
        let Expr::Aggregate(aggregate) = expression else { return Ok(true) };
        if !is_taken_apart(aggregate) {
            let inside = selected(&aggregate.expr).into_iter();
            let of_any_job = inside.filter(|one| {
                let is_one = |of: &Matcher| of.name == "job" && of.op == MatchOp::Equal;
                OF_THE_HOST.iter().any(|beginning| one.name.starts_with(beginning))
                    && !one.matchers.iter().any(is_one)
            });
            self.0.extend(of_any_job.map(|one| one.name));
        }
        Ok(true)
    }
}

/// Whether the values of different jobs, or of different targets, stay apart, or are not added up.
fn is_taken_apart(aggregate: &AggregateExpr) -> bool {
    let adds_up = !CHOOSE.contains(&aggregate.op.to_string().as_str());
    let keeps = |label: &str| match &aggregate.modifier {
        Some(LabelModifier::Include(labels)) => labels.labels.iter().any(|one| one == label),
        Some(LabelModifier::Exclude(labels)) => labels.labels.iter().all(|one| one != label),
        None => false,
    };
    !adds_up || keeps("job") || keeps("instance")
}

#[test]
fn what_is_added_up_over_jobs_is_found() {
    let found = |promql: &str| counted_over_jobs(&parse(promql).expect("parses"));
    let sent = "rate(digital_actors_socket_sent_bytes_total[5m])";
    for twice in [
        format!("sum({sent})"),
        format!("sum by (provider) ({sent}) / 2"),
        format!("sum without (job, instance) ({sent})"),
        format!("1 + avg({sent})"),
        format!("topk(5, sum by (process) ({sent}))"),
        format!("max(sum by (provider) ({sent}))"),
        "sum(rate(digital_actors_socket_sent_bytes_total{job=~\".+\"}[5m]))".to_owned(),
    ] {
        assert_eq!(found(&twice), ["digital_actors_socket_sent_bytes_total"], "{twice}");
    }
    for once in [
        format!("sum by (job, provider) ({sent})"),
        format!("sum without (provider) ({sent})"),
        format!("max(sum by (job) ({sent}))"),
        "sum by (instance) (digital_actors_ebpf_tier_shed)".to_owned(),
        "min(digital_actors_ebpf_up)".to_owned(),
        format!("topk(5, sum by (job, process) ({sent}))"),
        "sum(rate(digital_actors_socket_sent_bytes_total{job=\"digital-actors\"}[5m]))".to_owned(),
        "sum(rate(digital_actors_requests_total[5m]))".to_owned(),
    ] {
        assert!(found(&once).is_empty(), "{once}");
    }
}

#[test]
fn neither_rules_nor_documents_count_sockets_twice() {
    let rules = shipped().into_iter().map(|rule| (rule.name().to_owned(), rule.expr().to_owned()));
    let pages = std::fs::read_dir(root().join("docs")).expect("listed");
    let pages = pages.map(|page| page.expect("an entry").file_name().into_string().expect("UTF-8"));
    let asked = pages.filter(|page| page.ends_with(".md")).flat_map(|page| {
        let queries = queries(&text(&format!("docs/{page}")));
        queries.into_iter().map(move |query| (page.clone(), query))
    });
    let mut looked_at = 0;
    let mut twice = Vec::new();
    for (origin, promql) in rules.chain(asked) {
        looked_at += 1;
        let expression = parse(&promql).unwrap_or_else(|why| panic!("{origin}: {why}\n{promql}"));
        if !counted_over_jobs(&expression).is_empty() {
            twice.push(format!("{origin}: {promql}"));
        }
    }
    assert!(looked_at > 120, "{looked_at} queries");
    assert!(twice.is_empty(), "{}", twice.join("\n\n"));
}

/// The queries in the blocks of a document, with empty lines between them and comments among them.
fn queries(markdown: &str) -> Vec<String> {
    let blocks = markdown.split("```promql\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split("```").next());
    let all = blocks.flat_map(|block| block.split("\n\n")).map(|query| {
        let lines = query.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.collect::<Vec<_>>().join("\n")
    });
    all.filter(|query| !query.trim().is_empty()).collect()
}
