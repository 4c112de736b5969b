//! What Prometheus' and Alertmanager's own tools say.

use std::process::Command;

use super::files::{ALERTMANAGER, PROMETHEUS, RULES, TESTS};
use crate::files::{root, yaml_files};

/// What `program` says, if it is content.
fn content(program: &str, arguments: &[&str], files: &[String]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .args(files)
        .current_dir(root())
        .output()
        .expect("the program starts");
    let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?} {files:?}\n{out}{err}");
    out + &err
}

#[test]
fn promtool_takes_configuration_and_rules() {
    if !crate::needs::prometheus_is_here() {
        return;
    }
    let said = content(
        "promtool",
        &["check", "config", "--lint=all", "--lint-fatal"],
        &[PROMETHEUS.to_owned()],
    );
    let files = yaml_files(RULES);
    assert!(said.contains(&format!("{} rule files found", files.len())), "{said}");
    content("promtool", &["check", "rules", "--lint=all", "--lint-fatal"], &files);
}

#[test]
fn the_unit_tests_of_the_rules_pass() {
    if !crate::needs::prometheus_is_here() {
        return;
    }
    let files = yaml_files(TESTS);
    assert!(files.len() > 4, "{files:?}");
    std::thread::scope(|scope| {
        for file in files {
            scope.spawn(move || content("promtool", &["test", "rules"], &[file]));
        }
    });
}

#[test]
fn alerts_go_where_their_severity_says() {
    if !crate::needs::alertmanager_is_here() {
        return;
    }
    content("amtool", &["check-config", ALERTMANAGER], &[]);
    let flag = format!("--config.file={ALERTMANAGER}");
    for (labels, receiver) in [
        ("severity=critical", "page"),
        ("severity=warning", "ticket"),
        ("severity=other", "nobody"),
        ("alertname=DigitalActorsWatchdog", "dead-mans-switch"),
    ] {
        let said = content("amtool", &["config", "routes", "test", &flag, labels], &[]);
        assert_eq!(said.lines().next(), Some(receiver), "{labels}");
    }
}
