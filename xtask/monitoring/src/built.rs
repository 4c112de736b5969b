//! The programs of this build.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Where cargo puts the programs that it builds along with a test.
///
/// # Errors
/// If this is no test of cargo's.
pub fn folder() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let folder = test.parent().and_then(Path::parent);
    folder.map(Path::to_owned).context("this test is nowhere")
}

/// One of them. Checks that all are there: testing this package alone does not build them.
///
/// # Errors
/// Which one is missing.
pub fn program(name: &str) -> Result<PathBuf> {
    let folder = folder()?;
    for name in ["da-demo", "da-server", "da-standin"] {
        ensure!(folder.join(name).is_file(), "there is no {name}: cargo xtask build");
    }
    Ok(folder.join(name))
}
