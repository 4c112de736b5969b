//! Dashboards and rules, asked of a real Prometheus that watches a demo with the shipped configuration.

mod empty;
mod questions;
mod stage;
mod sums;

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use da_testkit::prometheus::{Prometheus, Rule};

use crate::needs::live_is_possible;
use crate::rules::files::WATCHDOG;
use questions::Asked;
use stage::{Play, Stage};

/// How long a question may stay without an answer. A turn takes seconds, and some things need several.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the unanswered ones are asked again.
const AGAIN: Duration = Duration::from_secs(2);

/// Alerts about how busy the machine is, which a test's is as it pleases.
const OF_THE_MACHINE: [&str; 6] = [
    "DigitalActorsEventLoopLag",
    "DigitalActorsEventLoopStalls",
    "DigitalActorsJoinCoverageLow",
    "DigitalActorsKernelViewShed",
    "DigitalActorsPickupSlow",
    "DigitalActorsRetransmits",
];
/// Alerts about what Prometheus can't help in its first seconds, in which it knows no Alertmanager.
const OF_THE_START: [&str; 1] = ["DigitalActorsAlertsNotSent"];
/// Alerts about what goes wrong in the demo with faults.
const OF_FAULTS: [&str; 5] = [
    "DigitalActorsCircuitBreakerOpen",
    "DigitalActorsConnectFailures",
    "DigitalActorsFallbackInUse",
    "DigitalActorsProviderErrors",
    "DigitalActorsTtsFailures",
];

#[test]
fn every_question_is_answered_or_has_a_reason() {
    if !live_is_possible() {
        return;
    }
    let reasons = empty::read();

    let mut stage = Stage::start(Play::Healthy).unwrap();
    let asked = questions::all(&stage.prometheus);
    let never = |one: &&Asked| reasons.get(&one.from).is_some_and(|reason| !reason.faults_fill_it);
    let named = asked.iter().filter(|one| !never(one)).flat_map(Asked::metrics);
    let named: BTreeSet<_> = named.collect();
    let nobody_asks = |from: &&String| asked.iter().all(|one| one.from != **from);
    let idle: Vec<_> = reasons.keys().filter(nobody_asks).collect();
    assert!(idle.is_empty(), "empty.toml has reasons for what nobody asks: {idle:?}");
    let open = unanswered(&stage, &asked, |one| !reasons.contains_key(&one.from));
    let without_reason = open.iter().filter(|one| !reasons.contains_key(&one.from));
    let without_reason: Vec<_> = without_reason.collect();
    assert!(without_reason.is_empty(), "no answer while all is well:\n{}", lines(without_reason));
    assert_rules_work(&stage.prometheus);
    soon_nothing(|| alarming(&stage.prometheus));
    soon_nothing(|| sums::stacks_beside_their_lines(&stage.prometheus));

    stage.play_again(Play::Faulty).unwrap();
    let filled = |one: &&Asked| reasons.get(&one.from).is_some_and(|reason| reason.faults_fill_it);
    let mut to_fill: Vec<_> = asked.iter().filter(filled).cloned().collect();
    to_fill.extend(OF_FAULTS.map(|name| questions::condition(&stage.prometheus, name)));
    let open = unanswered(&stage, &to_fill, |_| true);
    assert!(open.is_empty(), "no answer in spite of faults:\n{}", lines(&open));
    assert_rules_work(&stage.prometheus);

    let names = questions::metrics_of(&stage.prometheus);
    let unknown: Vec<_> = named.difference(&names).collect();
    assert!(unknown.is_empty(), "nobody exports {unknown:?}");
}

/// Those of `asked` that have no answer until `PATIENCE` is at its end; earlier, when there are
/// answers to all that are `needed`.
fn unanswered(stage: &Stage, asked: &[Asked], needed: impl Fn(&Asked) -> bool) -> Vec<Asked> {
    let begun = Instant::now();
    let mut open = asked.to_vec();
    while open.iter().any(&needed) && begun.elapsed() < PATIENCE {
        sleep(AGAIN);
        open.retain(|one| !one.has_answer(&stage.prometheus));
    }
    eprintln!("answers to {} after {:.0?}", asked.len() - open.len(), begun.elapsed());
    open
}

/// The alerts whose condition holds now, for however short a time.
fn alarming(prometheus: &Prometheus) -> Vec<String> {
    let holds = |rule: &Rule| {
        let answer = prometheus.query(&rule.query);
        !answer.unwrap_or_else(|why| panic!("{}: {why:#}", rule.name)).is_empty()
    };
    questions::rules(prometheus)
        .into_iter()
        .filter(|rule| rule.kind == "alerting" && rule.name != WATCHDOG)
        .filter(|rule| {
            let name = rule.name.as_str();
            !OF_THE_MACHINE.contains(&name) && !OF_THE_START.contains(&name)
        })
        .filter(holds)
        .map(|rule| format!("{} holds while all is well", rule.name))
        .collect()
}

/// Looks in a row that have to find nothing: what comes and goes is found by one of them.
const QUIET_LOOKS: u32 = 3;

/// Fails with the complaints if there are still some after a while: a scrape may have come late.
fn soon_nothing(complaints: impl Fn() -> Vec<String>) {
    let (begun, mut looks, mut quiet) = (Instant::now(), 0, 0);
    while quiet < QUIET_LOOKS {
        let found = complaints();
        looks += 1;
        quiet = if found.is_empty() { quiet + 1 } else { 0 };
        assert!(found.is_empty() || begun.elapsed() < PATIENCE, "\n{}\n", found.join("\n"));
        sleep(AGAIN);
    }
    eprintln!("{QUIET_LOOKS} looks found nothing, after {}", looks - QUIET_LOOKS);
}

fn lines<'a>(asked: impl IntoIterator<Item = &'a Asked>) -> String {
    asked.into_iter().map(|one| format!("{}\n    {}\n", one.from, one.promql)).collect()
}

/// Fails if a rule could not be evaluated.
fn assert_rules_work(prometheus: &Prometheus) {
    let rules = questions::rules(prometheus);
    assert!(!rules.is_empty(), "there are no rules");
    let broken = rules.iter().filter(|rule| rule.health != "ok");
    let broken: Vec<_> = broken.map(|rule| (&rule.name, &rule.last_error)).collect();
    assert!(broken.is_empty(), "{broken:?}");
}
