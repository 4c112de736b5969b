//! That each alert is whole: whose it is, what it says, where to read on, and that it is tested.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::files::{Alert, Rule, TestGroup, Tests, folder, read, repository, shipped, yaml_files};

fn alerts() -> Vec<Alert> {
    let alert = |rule| match rule {
        Rule::Alert(alert) => Some(alert),
        Rule::Record(_) => None,
    };
    shipped().expect("rules").into_iter().filter_map(alert).collect()
}

/// The anchors of a page's headings, as code hosts make them of ours, which have letters, digits,
/// spaces and hyphens.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .collect()
}

#[test]
fn every_alert_says_what_there_is_to_say() {
    let runbook = fs::read_to_string(repository().join("docs/RUNBOOK.md")).unwrap();
    let anchors = anchors(&runbook);
    let alerts = alerts();
    assert!(alerts.len() > 25, "{} alerts", alerts.len());
    for Alert { alert, labels, annotations, .. } in alerts {
        assert!(alert.starts_with("DigitalActors"), "{alert}");
        let severity = labels["severity"].as_str();
        assert!(["critical", "warning"].contains(&severity), "{alert} is {severity}");
        let signal = labels["signal"].as_str();
        assert!(["symptom", "cause"].contains(&signal), "{alert} is a {signal}");
        assert!(
            !annotations["summary"].contains("{{"),
            "{alert}: what is grouped needs one summary"
        );
        assert!(!annotations["description"].is_empty(), "{alert}");
        let (page, anchor) = annotations["runbook_url"].split_once('#').unwrap();
        assert!(page.ends_with("/docs/RUNBOOK.md"), "{alert}: {page}");
        assert_eq!(anchor, alert.to_lowercase());
        assert!(anchors.contains(anchor), "RUNBOOK.md has no section {alert}");
    }
}

#[test]
fn the_runbook_has_no_section_for_an_alert_that_is_not() {
    let runbook = fs::read_to_string(repository().join("docs/RUNBOOK.md")).unwrap();
    let alerts: BTreeSet<_> = alerts().iter().map(|alert| alert.alert.to_lowercase()).collect();
    for anchor in anchors(&runbook).into_iter().filter(|name| name.starts_with("digitalactors")) {
        assert!(alerts.contains(&anchor), "{anchor}");
    }
}

/// The tests that fire are exact: promtool compares all labels and annotations.
#[test]
fn every_alert_is_tested_to_fire_and_not_to() {
    let files = yaml_files(&folder().join("tests")).unwrap();
    let groups: Vec<TestGroup> =
        files.iter().flat_map(|file| read::<Tests>(file).unwrap().tests).collect();
    for alert in alerts() {
        let tests = |wanted: &dyn Fn(&TestGroup) -> bool| {
            let groups = groups.iter().filter(|group| wanted(group));
            let tests = groups.flat_map(|group| &group.alert_rule_test);
            tests.filter(|test| test.alertname == alert.alert).collect::<Vec<_>>()
        };
        let same_window =
            |labels: &BTreeMap<String, String>| labels.get("window") == alert.labels.get("window");
        let fires = tests(&|_| true).into_iter().flat_map(|test| &test.exp_alerts);
        let mut fires = fires.filter(|expected| same_window(&expected.exp_labels));
        assert!(
            fires.any(|expected| expected.exp_annotations.keys().eq(alert.annotations.keys())),
            "{} {:?} is not tested to fire",
            alert.alert,
            alert.labels
        );
        let quiet = tests(&|group| group.name != "no series");
        assert!(quiet.iter().any(|test| test.exp_alerts.is_empty()), "{}: quiet", alert.alert);
        let absent = tests(&|group| group.name == "no series");
        assert!(!absent.is_empty(), "{} is not tested without series", alert.alert);
    }
}
