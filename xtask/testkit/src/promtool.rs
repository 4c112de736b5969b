//! What Prometheus' own tool thinks of an exposition.

use std::io::{Seek, Write};
use std::path::PathBuf;
use std::process::Command;

use crate::programs::skip;

/// Fails if promtool finds anything to complain about; says so where it is not installed.
pub fn finds_nothing_in(exposition: &str) {
    let Some(promtool) = installed() else {
        return skip("promtool is not installed: `cargo xtask setup` does it");
    };
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(exposition.as_bytes()).expect("written");
    file.rewind().expect("at its beginning");
    let check = Command::new(promtool).args(["check", "metrics"]).stdin(file).output();
    let check = check.expect("ran");
    let said = [check.stdout, check.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(check.status.success() && said.is_empty(), "{said}");
}

fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("promtool")).find(|file| file.exists())
}
