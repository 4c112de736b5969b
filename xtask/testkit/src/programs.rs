//! Programs of others that tests drive, and what becomes of a test where there is none.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::thread;

/// Whether all of `programs` are there: names that `PATH` leads to, or full paths. Where one is not, this
/// says that the test is skipped.
///
/// # Panics
/// If one is missing in continuous integration, where every test must run.
#[must_use]
pub fn are_there(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !is_there(program));
    if let Some(missing) = missing {
        skip(&format!("there is no {missing} on this machine: `cargo xtask setup` installs it"));
    }
    missing.is_none()
}

/// Whether the Python at `python` has a module of that name; says that the test is skipped where it does not.
///
/// # Panics
/// If it does not in continuous integration, where every test must run.
#[must_use]
pub fn has_module(python: &Path, module: &str) -> bool {
    let has = imports(python, module);
    if !has {
        skip(&format!("Python's {module} is not installed: `cargo xtask setup` does it"));
    }
    has
}

/// Whether the Python at `python` can import these modules, with commas between them.
#[must_use]
pub fn imports(python: &Path, modules: &str) -> bool {
    let asked = Command::new(python).args(["-c", &format!("import {modules}")]).output();
    asked.is_ok_and(|answer| answer.status.success())
}

/// Says that a test, or a part of it, is skipped, and why.
///
/// # Panics
/// In continuous integration, where every test must run.
pub fn skip(why: &str) {
    assert!(env::var_os("CI").is_none(), "this test must run here, but can't: {why}");
    // Into what the test has printed, where the summary of all tests finds it.
    eprintln!("SKIPPED: {why}");
    // libtest shows nothing that a passing test has printed, unless it is asked to: so this goes past it.
    let this = thread::current();
    let test = this.name().unwrap_or("a test");
    let _ = writeln!(io::stderr(), "SKIPPED: {test}: {why}");
}

fn is_there(program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_name_and_by_path() {
        assert!(are_there(&["sh", "/proc/self/exe"]));
        assert!(!is_there("no-such-program") && !is_there("/no/such/program"));
    }
}
