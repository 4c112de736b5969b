//! What Prometheus' own tool thinks of an exposition.

use std::io::{Seek, Write};
use std::process::Command;

use crate::programs::are_there;

/// Fails if promtool finds anything to complain about; says so where it is not installed.
pub fn finds_nothing_in(exposition: &str) {
    if !are_there(&["promtool"]) {
        return;
    }
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(exposition.as_bytes()).expect("written");
    file.rewind().expect("at its beginning");
    let check = Command::new("promtool").args(["check", "metrics"]).stdin(file).output();
    let check = check.expect("ran");
    let said = [check.stdout, check.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(check.status.success() && said.is_empty(), "{said}");
}
