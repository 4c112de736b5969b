//! Nothing is in the files that their readers do not know, or want otherwise.

use std::fs;

use serde_json::json;

use super::kubernetes::with_kernel_view;
use crate::files::{documents, judged, root, yaml_files};

const PROGRAM: &str = "xtask/monitoring/tests/shipped/deploy/schema.py";
const COMPOSE: &str = "deploy/docker-compose.yml";
const COLLECTOR: &str = "deploy/kubernetes/collector/daemonset.yaml";
const MONITORS: &str = "deploy/kubernetes/monitoring/podmonitors.yaml";

fn by_schema(kind: &str, files: &[&str]) -> Option<(bool, String)> {
    let arguments = [&[PROGRAM, kind], files].concat();
    judged("python", &arguments)
}

#[test]
fn compose_knows_every_word() {
    let Some((content, said)) = by_schema("compose", &[COMPOSE]) else { return };
    assert!(content, "\n{said}");
}

#[test]
fn kubernetes_and_the_operator_know_every_word() {
    let folder = tempfile::tempdir().expect("a folder");
    // The patches are pieces, and are judged with what they are laid over.
    let whole = folder.path().join("with-kernel-view.yaml");
    fs::write(&whole, with_kernel_view().to_string()).expect("written");
    let mut files = yaml_files("deploy/kubernetes");
    files.retain(|file| !file.starts_with("deploy/kubernetes/game-kernel-view/d"));
    files.push(whole.to_str().expect("a path").to_owned());
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    let Some((content, said)) = by_schema("kubernetes", &files) else { return };
    assert!(content, "\n{said}");
}

#[test]
fn an_unknown_word_is_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let container = "/spec/template/spec/containers/0";
    let breaches = [
        ("compose", COMPOSE, "/services/grafana", "cap_dropped", json!(["ALL"])),
        ("compose", COMPOSE, "/services/grafana", "healthcheck", json!("none")),
        ("kubernetes", COLLECTOR, container, "capabilities", json!({})),
        ("kubernetes", COLLECTOR, container, "args", json!("collect")),
        ("kubernetes", MONITORS, "/spec/podMetricsEndpoints/0", "ports", json!("metrics")),
        ("kubernetes", MONITORS, "/spec/podMetricsEndpoints/0", "interval", json!("often")),
    ];
    let mut files = Vec::new();
    for (at, (kind, file, place, word, value)) in breaches.iter().enumerate() {
        let mut broken = documents(file).remove(0);
        broken.pointer_mut(place).expect("a place")[*word] = value.clone();
        let path = folder.path().join(format!("{at}.yaml"));
        fs::write(&path, broken.to_string()).expect("written");
        files.push((*kind, path.to_str().expect("a path").to_owned(), *word));
    }
    for kind in ["compose", "kubernetes"] {
        let mut of_kind = files.clone();
        of_kind.retain(|(of, ..)| *of == kind);
        let paths: Vec<_> = of_kind.iter().map(|(_, path, _)| path.as_str()).collect();
        let Some((_, said)) = by_schema(kind, &paths) else { return };
        for (_, path, word) in of_kind {
            let mut about_it = said.lines().filter(|line| line.starts_with(&path));
            assert!(about_it.any(|line| line.contains(word)), "{word}: {said}");
        }
    }
}

#[test]
fn the_files_are_tidy() {
    let mut files = yaml_files("deploy/kubernetes");
    files.extend(yaml_files("deploy/grafana"));
    files.push(COMPOSE.to_owned());
    files.push("dashboards/kustomization.yaml".to_owned());
    // Expressions of rules are as long as they are.
    files.retain(|file| !file.ends_with("/rules.yaml"));
    let rules = "{extends: default, rules: {line-length: {max: 110}, document-start: disable, \
                 comments: {min-spaces-from-content: 1}, braces: {max-spaces-inside: 0}}}";
    let mut arguments = vec!["--strict", "-d", rules];
    arguments.extend(files.iter().map(String::as_str));
    let Some((content, said)) = judged("yamllint", &arguments) else { return };
    assert!(content, "in {}\n{said}", root().display());
}
