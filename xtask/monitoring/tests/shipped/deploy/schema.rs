//! Nothing is in the files that their readers do not know, or want otherwise.

use std::fs;

use da_testkit::programs::has_module;
use serde_json::{Value, json};

use super::kubernetes::with_kernel_view;
use crate::files::{documents, judged, python, root, yaml_files};

/// What that program imports.
const MODULES: [&str; 4] =
    ["jsonschema", "kubernetes_validate", "yaml", "cloudcoil.models.prometheus_operator"];
const PROGRAM: &str = "xtask/monitoring/tests/shipped/deploy/schema.py";
const COMPOSE: &str = "deploy/docker-compose.yml";
const COLLECTOR: &str = "deploy/kubernetes/collector/daemonset.yaml";
const MONITORS: &str = "deploy/kubernetes/monitoring/podmonitors.yaml";

/// What is broken, in which file, where, and the word that the complaint must name.
fn breaches() -> [(&'static str, &'static str, &'static str, &'static str, Value); 6] {
    let container = "/spec/template/spec/containers/0";
    [
        ("compose", COMPOSE, "/services/grafana", "cap_dropped", json!(["ALL"])),
        ("compose", COMPOSE, "/services/grafana", "healthcheck", json!("none")),
        ("kubernetes", COLLECTOR, container, "capabilities", json!({})),
        ("kubernetes", COLLECTOR, container, "args", json!("collect")),
        ("kubernetes", MONITORS, "/spec/podMetricsEndpoints/0", "ports", json!("metrics")),
        ("kubernetes", MONITORS, "/spec/podMetricsEndpoints/0", "interval", json!("often")),
    ]
}

/// What the schemas say of the files of one kind, and of copies that are broken.
struct Judged {
    said: String,
    /// The broken copies, each with the word that is wrong in it.
    broken: Vec<(String, &'static str)>,
}

/// All in one run of the program, which reads its schemas for seconds.
fn judge(kind: &str, files: &[String]) -> Option<Judged> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut broken = Vec::new();
    for (at, (of, file, place, word, value)) in breaches().into_iter().enumerate() {
        if of != kind {
            continue;
        }
        let mut document = documents(file).remove(0);
        document.pointer_mut(place).expect("a place")[word] = value;
        let path = folder.path().join(format!("{at}.yaml"));
        fs::write(&path, document.to_string()).expect("written");
        broken.push((path.to_str().expect("a path").to_owned(), word));
    }
    let mut arguments = vec![PROGRAM, kind];
    arguments.extend(files.iter().map(String::as_str));
    arguments.extend(broken.iter().map(|(path, _)| path.as_str()));
    if !MODULES.iter().all(|module| has_module(&python(), module)) {
        return None;
    }
    let (_, said) = judged("python", &arguments)?;
    Some(Judged { said, broken })
}

impl Judged {
    fn only_what_is_broken_is_complained_of(&self) {
        let is_broken =
            |line: &&str| self.broken.iter().any(|(path, _)| line.starts_with(path.as_str()));
        let others: Vec<_> = self.said.lines().filter(|line| !is_broken(line)).collect();
        assert!(others.is_empty(), "\n{}", others.join("\n"));
        assert!(!self.broken.is_empty());
        for (path, word) in &self.broken {
            let mut about_it = self.said.lines().filter(|line| line.starts_with(path.as_str()));
            assert!(about_it.any(|line| line.contains(word)), "{word}: {}", self.said);
        }
    }
}

#[test]
fn compose_knows_every_word_and_no_other() {
    let Some(judged) = judge("compose", &[COMPOSE.to_owned()]) else { return };
    judged.only_what_is_broken_is_complained_of();
}

#[test]
fn kubernetes_and_the_operator_know_every_word_and_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    // The patches are pieces, and are judged with what they are laid over.
    let whole = folder.path().join("with-kernel-view.yaml");
    fs::write(&whole, with_kernel_view().to_string()).expect("written");
    let mut files = yaml_files("deploy/kubernetes");
    files.retain(|file| !file.starts_with("deploy/kubernetes/game-kernel-view/d"));
    files.push(whole.to_str().expect("a path").to_owned());
    let Some(judged) = judge("kubernetes", &files) else { return };
    judged.only_what_is_broken_is_complained_of();
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
