//! The dashboards have no field that Grafana does not know.

use std::path::{Path, PathBuf};
use std::process::Command;

use da_testkit::programs::has_module;

/// Reads dashboards with Grafana's own model of them, and says what it does not know.
const PROGRAM: &str = "tests/shipped/dashboards/schema.py";

/// The Python for which `cargo xtask test` has installed that model.
fn python() -> Option<PathBuf> {
    let python =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/test-python/bin/python");
    has_module(&python, "grafana_foundation_sdk").then_some(python)
}

/// What the program says of `files`, and whether it is content.
fn judged(python: &Path, files: &[PathBuf]) -> (bool, String) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
    let answer = Command::new(python).arg(program).args(files).output().expect("Python runs");
    let said = [answer.stdout, answer.stderr].concat();
    (answer.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn grafana_knows_every_field() {
    let Some(python) = python() else { return };
    let files: Vec<_> =
        super::all().iter().map(|board| super::folder().join(&board.file)).collect();
    let (content, said) = judged(&python, &files);
    assert!(content, "\n{said}");
}

#[test]
fn an_unknown_field_or_word_is_seen() {
    let Some(python) = python() else { return };
    let whole = super::all().into_iter().find(|board| board.file == "time.json").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let breaches = [
        ("", "colour", "blue"),
        ("/panels/1", "describtion", "how"),
        ("/panels/1/options/legend", "where", "below"),
        ("/panels/1/options/legend", "placement", "below"),
        ("/panels/1/fieldConfig/defaults/custom", "lineWeight", "bold"),
        ("/panels/1/fieldConfig/defaults/custom", "drawStyle", "curve"),
        ("/panels/1/targets/0", "query", "up"),
        ("/templating/list/1", "any", "yes"),
    ];
    let broken = |(at, (place, name, value)): (usize, &(&str, &str, &str))| {
        let mut json = whole.json.clone();
        json.pointer_mut(place).unwrap()[*name] = (*value).into();
        let file = folder.path().join(format!("{at}.json"));
        std::fs::write(&file, json.to_string()).unwrap();
        file
    };
    let files: Vec<_> = breaches.iter().enumerate().map(broken).collect();
    let (_, said) = judged(&python, &files);
    for (file, (place, name, value)) in files.iter().zip(breaches) {
        let file = file.display().to_string();
        let about_it: Vec<_> = said.lines().filter(|line| line.starts_with(&file)).collect();
        let [complaint] = about_it[..] else { panic!("{name} at {place}: {about_it:?}") };
        assert!(
            [name, value].iter().any(|word| complaint.contains(word)),
            "{name} at {place}: {complaint}"
        );
    }
}
