//! The programs of this build.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

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

/// A copy of one that every user can start, although the clone may be where nobody else comes in, such as root's home.
/// It is gone with its folder.
///
/// # Errors
/// If it is not there, or can't be copied.
pub fn copy_for_everyone(name: &str) -> Result<(PathBuf, TempDir)> {
    let built = program(name)?;
    let is_open = |folder: &Path| Ok::<_, std::io::Error>(folder.metadata()?.mode() & 0o001 != 0);
    let mut all_open = true;
    for folder in built.ancestors().skip(1) {
        all_open &= is_open(folder)?;
    }
    // Beside the build where that will do: elsewhere capabilities on files may count for nothing.
    let copies = if all_open { tempfile::tempdir_in(folder()?)? } else { tempfile::tempdir()? };
    fs::set_permissions(&copies, Permissions::from_mode(0o755))?;
    let copy = copies.path().join(name);
    fs::copy(built, &copy)?;
    Ok((copy, copies))
}
