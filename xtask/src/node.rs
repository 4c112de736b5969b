//! The Node libraries that tests drive, in a folder of this repository's own.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{run_or_why, step};
use crate::packages::Unavailable;
use crate::python::last_line;
use crate::workspace::Workspace;

/// Where the list of them is, and the exact versions and hashes of all that they need.
const LISTS: &str = "da-server/tests/kernel/sdks/programs";
/// As npm calls these two.
const LIST: &str = "package.json";
const LOCK: &str = "package-lock.json";

/// Installs them, unless just these are there; returns why not, if they can't be had.
pub fn test_libraries(workspace: &Workspace) -> Option<Unavailable> {
    let unavailable = |why| Unavailable { what: "Node libraries".to_owned(), why };
    match install(workspace) {
        Ok(Ok(())) => None,
        Ok(Err(said)) => Some(unavailable(last_line(&said, "npm failed"))),
        Err(error) => Some(unavailable(format!("{error:#}"))),
    }
}

/// What npm says is the inner error.
fn install(workspace: &Workspace) -> Result<Result<(), String>> {
    let (from, folder) = (workspace.root().join(LISTS), workspace.tools().join("test-node"));
    let lock = from.join(LOCK);
    let wanted =
        fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let installed = folder.join("installed.json");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(Ok(()));
    }
    step("install Node libraries for the tests");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for file in [LIST, LOCK] {
        fs::copy(from.join(file), folder.join(file))?;
    }
    // Nothing of theirs runs meanwhile.
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]);
    let done = run_or_why(npm.current_dir(&folder));
    if done.is_ok() {
        // Written last: an installation that was broken off is done again.
        fs::write(installed, wanted)?;
    }
    Ok(done)
}
