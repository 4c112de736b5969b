//! The Python libraries that tests drive, in an environment of this repository's own.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{run, step};
use crate::workspace::Workspace;

/// What to install: name and version of every package, those they need included.
const REQUIREMENTS: [&str; 4] = [
    "da-server/tests/game/requirements.txt",
    "da-server/tests/kernel/clients/programs/requirements.txt",
    "xtask/monitoring/tests/shipped/requirements.txt",
    "xtask/monitoring/tests/shipped/deploy/requirements.txt",
];

/// Installs what [`REQUIREMENTS`] lists, wheels only, unless just that is there.
///
/// # Errors
/// Python or pip is missing, or a package can't be had.
pub fn test_libraries(workspace: &Workspace) -> Result<()> {
    let environment = workspace.tools().join("test-python");
    let wanted = REQUIREMENTS.map(|file| workspace.root().join(file));
    let mut wanted_text = String::new();
    for file in &wanted {
        wanted_text +=
            &fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    }
    // Written last: an installation that was broken off is done again.
    let installed = environment.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted_text) {
        return Ok(());
    }
    step("install Python libraries for the tests");
    // Debian's Python has no pip to put into an environment; its pip installs into one.
    run(Command::new("python3")
        .args(["-m", "venv", "--clear", "--without-pip"])
        .arg(&environment))?;
    let mut install = pip_install(&environment);
    for file in &wanted {
        install.arg("--requirement").arg(file);
    }
    run(&mut install)?;
    fs::write(&installed, wanted_text)
        .with_context(|| format!("cannot write {}", installed.display()))
}

fn pip_install(environment: &Path) -> Command {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--disable-pip-version-check", "--python"]);
    pip.arg(environment.join("bin/python"));
    pip.args(["install", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    pip
}
