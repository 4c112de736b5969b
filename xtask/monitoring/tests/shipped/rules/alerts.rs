//! That each alert is whole: whose it is, what it says, where to read on, and that it is tested.

use std::collections::BTreeMap;

use super::files::{Alert, RUNBOOK, TESTS, TestGroup, Tests, WATCHDOG, alerts, read};
use super::runbook::anchors;
use crate::files::yaml_files;

#[test]
fn every_alert_says_what_there_is_to_say() {
    let anchors = anchors(RUNBOOK);
    let alerts = alerts();
    assert!(alerts.len() > 25, "{} alerts", alerts.len());
    for Alert { alert, labels, annotations, .. } in alerts {
        assert!(alert.starts_with("DigitalActors"), "{alert}");
        let (severity, signal) = (labels["severity"].as_str(), labels["signal"].as_str());
        let is_known = match alert.as_str() {
            WATCHDOG => (severity, signal) == ("none", "heartbeat"),
            _ => {
                ["critical", "warning"].contains(&severity)
                    && ["symptom", "cause"].contains(&signal)
            }
        };
        assert!(is_known, "{alert} is a {severity} {signal}");
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

/// The tests that fire are exact: promtool compares all labels and annotations.
#[test]
fn every_alert_is_tested_to_fire_and_not_to() {
    let files = yaml_files(TESTS);
    let groups: Vec<TestGroup> = files.iter().flat_map(|file| read::<Tests>(file).tests).collect();
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
        let is_quiet = quiet.iter().any(|test| test.exp_alerts.is_empty());
        assert!(is_quiet || alert.alert == WATCHDOG, "{}: quiet", alert.alert);
        let absent = tests(&|group| group.name == "no series");
        assert!(!absent.is_empty(), "{} is not tested without series", alert.alert);
    }
}
