//! The files of `deploy/`, and programs that judge them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use da_testkit::programs::skip;
use serde_json::Value;

/// The repository's top folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of a file, by its path from there.
pub fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The documents of a YAML file, aliases and merges resolved.
pub fn documents(file: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The only document of a YAML file.
pub fn document(file: &str) -> Value {
    let [document] = <[Value; 1]>::try_from(documents(file)).expect("one document");
    document
}

/// The YAML files below a folder.
pub fn yaml_files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = format!("{folder}/{}", entry.file_name().to_str().expect("a name"));
            match entry.file_type().expect("a type").is_dir() {
                true => folders.push(path),
                false if path.ends_with(".yaml") || path.ends_with(".yml") => found.push(path),
                false => {}
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has no YAML");
    found.sort();
    found
}

/// The texts in a list of JSON.
pub fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The Python of the tests' own environment.
pub fn python() -> PathBuf {
    root().join("target/tools/test-python/bin/python")
}

/// What a program of the tests' Python environment says of `arguments`, and whether it is content; none
/// where it is not installed, which in CI is a failure.
pub fn judged(program: &str, arguments: &[&str]) -> Option<(bool, String)> {
    let program = root().join("target/tools/test-python/bin").join(program);
    let is_there = program.exists();
    if !is_there {
        skip(&format!("{} is not installed: `cargo xtask setup` does it", program.display()));
        return None;
    }
    let answer = Command::new(program).args(arguments).current_dir(root()).output().expect("runs");
    let said = [answer.stdout, answer.stderr].concat();
    Some((answer.status.success(), String::from_utf8_lossy(&said).into_owned()))
}
