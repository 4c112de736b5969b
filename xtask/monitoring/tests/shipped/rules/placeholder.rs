//! The address of the runbook, which is a placeholder until an operator puts theirs in its place.

use std::path::Path;
use std::process::Command;

use da_monitoring::rules;

use super::files::{PROMETHEUS, alerts};
use crate::files::{root, text, yaml_files};

/// Where the workspace says that its repository is.
const PLACEHOLDER: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");
const OWN: &str = "https://wiki.example/actors/";

/// The command for that, as a comment of Prometheus' configuration has it.
fn command() -> String {
    let lines = text(PROMETHEUS);
    let mut lines = lines.lines().filter_map(|line| line.strip_prefix("#   "));
    let command = lines.find(|line| line.contains("sed -i")).expect("the command");
    command.replace("https://…/", OWN)
}

#[test]
fn every_alert_leads_to_the_same_place() {
    for alert in alerts() {
        assert!(alert.annotations["runbook_url"].starts_with(PLACEHOLDER), "{}", alert.alert);
    }
}

#[test]
fn the_documented_command_replaces_it_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("deploy");
    run(Command::new("cp").arg("-r").arg(root().join("deploy")).arg(&copy));
    run(Command::new("sh").args(["-euc", &command()]).current_dir(copy.join("prometheus")));

    let read = |file: &Path| std::fs::read_to_string(file).unwrap();
    for file in yaml_files("deploy") {
        let (before, after) = (text(&file), read(&folder.path().join(&file)));
        // The command is in there, too.
        if file != PROMETHEUS {
            assert_eq!(after, before.replace(PLACEHOLDER, OWN), "{file}");
        }
    }
    let kept = read(&rules::place(&copy));
    assert!(kept == rules::resource(&copy).unwrap(), "the copy for Kubernetes is not the same");
    assert!(kept.contains(OWN));
}

fn run(command: &mut Command) {
    assert!(command.status().expect("it starts").success(), "{command:?}");
}
