//! The crates of the workspace: libraries, programs, tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::modules::Modules;

/// The repository's top folder.
fn top() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.parent().expect("the package is in a folder of the repository").to_owned()
}

/// The file of each crate's root, from the top folder on.
pub fn roots() -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(top());
    let answer = cargo.output().expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    let list = |value: &Value, key| value[key].as_array().cloned().unwrap_or_default();
    let targets = list(&metadata, "packages").into_iter().flat_map(|of| list(&of, "targets"));
    let root = |target: Value| {
        let path = Path::new(target["src_path"].as_str()?).strip_prefix(top()).ok()?;
        path.to_str().map(ToOwned::to_owned)
    };
    let roots: Vec<String> = targets.filter_map(root).collect();
    assert!(roots.iter().any(|root| root == "xtask/src/main.rs"), "{roots:?}");
    roots
}

/// The crate with this root.
pub fn read(root: &str) -> Modules {
    Modules::read(&top().join(root), &top())
}
