//! The Python libraries that tests drive, in an environment of this repository's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{run, run_or_why, step};
use crate::packages::Unavailable;
use crate::workspace::Workspace;

/// An environment, and what is installed into it: name and version of every package, those they need
/// included.
struct Environment {
    /// Its folder among the tools.
    folder: &'static str,
    what_for: &'static str,
    lists: &'static [&'static str],
}

/// What every test has.
const TESTS: Environment = Environment {
    folder: "test-python",
    what_for: "the tests",
    lists: &[
        "da-server/tests/game/requirements.txt",
        "da-server/tests/kernel/clients/programs/requirements.txt",
        "da-server/tests/providers/sdks/requirements.txt",
        "xtask/monitoring/tests/shipped/requirements.txt",
        "xtask/monitoring/tests/shipped/deploy/requirements.txt",
    ],
};

/// A model and a voice: 500 MB, for one test that is asked for.
const REAL_PROVIDERS: Environment = Environment {
    folder: "real-providers",
    what_for: "a real model and a real voice",
    lists: &["da-server/tests/kernel/real/providers/requirements.txt"],
};

/// Installs the libraries that every test run has; returns the lists that can't be installed.
pub fn test_libraries(workspace: &Workspace) -> Vec<Unavailable> {
    TESTS.install(workspace)
}

/// Installs the model and the voice; returns what can't be installed.
pub fn real_providers(workspace: &Workspace) -> Vec<Unavailable> {
    REAL_PROVIDERS.install(workspace)
}

impl Environment {
    /// Installs what the lists have, wheels only, unless just that is there; returns the lists that
    /// can't be installed.
    fn install(&self, workspace: &Workspace) -> Vec<Unavailable> {
        let environment = workspace.tools().join(self.folder);
        let files: Vec<_> = self.lists.iter().map(|file| workspace.root().join(file)).collect();
        let unavailable = |what: &str, error: anyhow::Error| Unavailable {
            what: what.to_owned(),
            why: format!("{error:#}"),
        };
        match is_installed(&environment, &files) {
            Ok(true) => return Vec::new(),
            Ok(false) => {}
            Err(error) => return vec![unavailable("Python libraries", error)],
        }
        step(&format!("install Python libraries for {}", self.what_for));
        // Debian's Python has no pip to put into an environment; its pip installs into one. What an
        // earlier run could install stays where only the rest of the same is missing.
        let wanted_text = wanted(&files).unwrap_or_default();
        let was_wanted = fs::read_to_string(environment.join(WANTED));
        if was_wanted.is_ok_and(|text| text == wanted_text) {
            eprintln!("    what is there already stays");
        } else {
            let mut make = Command::new("python3");
            make.args(["-m", "venv", "--clear", "--without-pip"]).arg(&environment);
            if let Err(error) =
                run(&mut make).and_then(|()| Ok(fs::write(environment.join(WANTED), &wanted_text)?))
            {
                return vec![unavailable("Python libraries", error)];
            }
        }
        // Each list by itself: one that can't be had must not keep the others out.
        let install = |(name, file): (&&str, &PathBuf)| {
            let said =
                run_or_why(pip_install(&environment).arg("--requirement").arg(file)).err()?;
            Some(Unavailable { what: (*name).to_owned(), why: last_line(&said, "pip failed") })
        };
        let missing: Vec<_> = self.lists.iter().zip(&files).filter_map(install).collect();
        if missing.is_empty() {
            // Written last: an installation that was broken off is done again.
            if let Err(error) = fs::write(environment.join(INSTALLED), wanted_text) {
                eprintln!("    it will be installed again next time: {error}");
            }
        }
        missing
    }
}

/// The last of what was said, or that where it is nothing.
pub fn last_line(said: &str, otherwise: &str) -> String {
    said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(otherwise).to_owned()
}

/// What an installation that may have broken off was to install.
const WANTED: &str = "wanted.txt";

/// What is installed, word for word.
const INSTALLED: &str = "installed.txt";

fn is_installed(environment: &Path, files: &[PathBuf]) -> Result<bool> {
    let wanted = wanted(files)?;
    Ok(fs::read_to_string(environment.join(INSTALLED)).is_ok_and(|text| text == wanted))
}

/// All lists, one after the other.
fn wanted(files: &[PathBuf]) -> Result<String> {
    let read = |file: &PathBuf| {
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
    };
    files.iter().map(read).collect()
}

fn pip_install(environment: &Path) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--disable-pip-version-check", "--python"]);
    pip.arg(environment.join("bin/python"));
    pip.args(["install", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    pip
}
