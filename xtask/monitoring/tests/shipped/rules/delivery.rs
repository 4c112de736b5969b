//! From a server that is down to somebody who is told: a real Prometheus with the shipped rules, and a
//! real Alertmanager with the shipped routes. Both run on copies in which only waiting is shorter,
//! addresses are the test's, and the receivers, which are shipped without, have one.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use da_testkit::alertmanager::Alertmanager;
use da_testkit::prometheus::Prometheus;

use super::files::{ALERTMANAGER, PROMETHEUS, RULES, WATCHDOG};
use anyhow::Result;
use serde_json::{Value, json};

use super::webhook::Webhook;
use crate::files::{document, yaml_files};

const PATIENCE: Duration = Duration::from_secs(120);

/// Who is told that alerts are delivered.
const DEAD_MANS_SWITCH: &str = "dead-mans-switch";

/// Where nobody listens.
const NOBODY: &str = "127.0.0.1:1";

/// The shipped configuration of Alertmanager, in which every receiver is one of `webhook`'s.
fn alertmanager(into: &Path, webhook: &Webhook) -> Result<Alertmanager> {
    let mut config = document(ALERTMANAGER);
    for receiver in list(&mut config["receivers"]) {
        let name = receiver["name"].as_str().unwrap_or_default().to_owned();
        assert_eq!(*receiver, json!({ "name": name }), "as shipped it tells nobody");
        receiver["webhook_configs"] = json!([{ "url": webhook.url(&name) }]);
    }
    let route = &mut config["route"];
    (route["group_wait"], route["group_interval"]) = (json!("100ms"), json!("1s"));
    for route in list(&mut route["routes"]) {
        route["group_wait"] = json!("100ms");
        if route["receiver"] == DEAD_MANS_SWITCH {
            (route["group_interval"], route["repeat_interval"]) = (json!("1s"), json!("1s"));
        }
    }
    Alertmanager::start(&write(into.join("alertmanager.yml"), &config)?)
}

/// The shipped configuration of Prometheus and its rules, for a server where nobody is.
fn prometheus(into: &Path, alertmanager: SocketAddr) -> Result<Prometheus> {
    let mut config = document(PROMETHEUS);
    for interval in ["scrape_interval", "scrape_timeout", "evaluation_interval"] {
        config["global"][interval] = json!("200ms");
    }
    let alertmanager = alertmanager.to_string();
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = json!([alertmanager]);
    for job in list(&mut config["scrape_configs"]) {
        let target = if job["job_name"] == "digital-actors" { NOBODY } else { &alertmanager };
        job["static_configs"][0]["targets"] = json!([target]);
    }
    fs::create_dir(into.join("rules"))?;
    for (number, file) in yaml_files(RULES).iter().enumerate() {
        let mut rules = document(file);
        for group in list(&mut rules["groups"]) {
            group["interval"] = json!("200ms");
            for rule in
                list(&mut group["rules"]).iter_mut().filter(|rule| rule["alert"].is_string())
            {
                rule["for"] = json!("1s");
            }
        }
        write(into.join(format!("rules/{number}.yml")), &rules)?;
    }
    Prometheus::start(&write(into.join("prometheus.yml"), &config)?)
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    value.as_array_mut().expect("a list")
}

/// Writes a YAML document; what is JSON is YAML.
fn write(path: PathBuf, document: &Value) -> Result<PathBuf> {
    fs::write(&path, document.to_string())?;
    Ok(path)
}

#[test]
fn somebody_is_woken_when_a_server_is_down() {
    if !crate::needs::prometheus_is_here() || !crate::needs::alertmanager_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let webhook = Webhook::start();
    let alertmanager = alertmanager(folder.path(), &webhook).unwrap();
    let prometheus = prometheus(folder.path(), alertmanager.address()).unwrap();

    let (receiver, alert) = webhook
        .told_of("DigitalActorsTargetDown", PATIENCE)
        .unwrap_or_else(|| panic!("{}\n{}", prometheus.said(), alertmanager.said()));
    assert_eq!((receiver.as_str(), alert["status"].as_str()), ("page", Some("firing")));
    let labels = json!({
        "alertname": "DigitalActorsTargetDown",
        "cluster": "default",
        "environment": "production",
        "instance": NOBODY,
        "job": "digital-actors",
        "severity": "critical",
        "signal": "cause",
    });
    assert_eq!(alert["labels"], labels);
    let description = alert["annotations"]["description"].as_str().unwrap();
    assert!(
        description.starts_with(&format!("{NOBODY} of digital-actors could not")),
        "{description}"
    );

    for group in prometheus.rules().unwrap() {
        for rule in group.rules {
            assert_eq!(
                (rule.health.as_str(), rule.last_error.as_str()),
                ("ok", ""),
                "{}",
                rule.name
            );
        }
    }
    let all = prometheus.alerts().unwrap().into_iter();
    let all: BTreeSet<_> = all.map(|alert| alert.labels["alertname"].clone()).collect();
    let known = ["DigitalActorsTargetDown", WATCHDOG].map(str::to_owned);
    assert_eq!(all, known.into(), "nothing else is known");
}

/// A service that hears of it can tell when it stops.
#[test]
fn the_dead_mans_switch_is_told_over_and_over_that_alerts_are_delivered() {
    if !crate::needs::prometheus_is_here() || !crate::needs::alertmanager_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let webhook = Webhook::start();
    let alertmanager = alertmanager(folder.path(), &webhook).unwrap();
    let prometheus = prometheus(folder.path(), alertmanager.address()).unwrap();
    for _ in 0..3 {
        let (receiver, alert) = webhook
            .told_of(WATCHDOG, PATIENCE)
            .unwrap_or_else(|| panic!("{}\n{}", prometheus.said(), alertmanager.said()));
        assert_eq!((receiver.as_str(), &alert["status"]), (DEAD_MANS_SWITCH, &json!("firing")));
    }
}

#[test]
fn who_is_woken_is_not_told_of_the_causes_too() {
    if !crate::needs::alertmanager_is_here() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let webhook = Webhook::start();
    let alertmanager = alertmanager(folder.path(), &webhook).unwrap();
    let alert = |name: &str, job: &str, severity: &str, signal: &str| {
        json!({"labels": {
            "alertname": name, "cluster": "default", "environment": "production", "job": job,
            "severity": severity, "signal": signal,
        }})
    };
    let symptom = alert("DigitalActorsNoRequests", "digital-actors", "critical", "symptom");
    alertmanager.hand(&json!([symptom])).unwrap();
    let (receiver, _) = webhook.told_of("DigitalActorsNoRequests", PATIENCE).unwrap();
    assert_eq!(receiver, "page");

    let cause = alert("DigitalActorsLlmSlow", "digital-actors", "warning", "cause");
    let elsewhere = alert("DigitalActorsTtsSlow", "digital-actors-other", "warning", "cause");
    alertmanager.hand(&json!([cause, elsewhere])).unwrap();
    let (receiver, _) = webhook.told_of("DigitalActorsTtsSlow", PATIENCE).unwrap();
    assert_eq!(receiver, "ticket");
    // It came with the other, so it has had its turn as well.
    let held = alertmanager.alerts().unwrap();
    let cause = held.iter().find(|alert| alert["labels"]["alertname"] == "DigitalActorsLlmSlow");
    let status = &cause.unwrap()["status"];
    assert_eq!(status["inhibitedBy"].as_array().unwrap().len(), 1, "{status}");
    assert!(webhook.told_of("DigitalActorsLlmSlow", Duration::from_secs(1)).is_none());
}
