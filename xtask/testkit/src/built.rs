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

/// One of them.
///
/// # Errors
/// If it is not there: testing one package does not build the programs of others.
pub fn program(name: &str) -> Result<PathBuf> {
    let program = folder()?.join(name);
    ensure!(program.is_file(), "there is no {name}: cargo xtask build");
    Ok(program)
}
