//! Programs that `cargo install` compiles into the workspace's own folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::command::{cargo, run, step};
use crate::lock::Exclusive;
use crate::workspace::Workspace;

/// cargo-deny, which checks licences, sources and advisories of every dependency.
pub fn cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    let _alone = Exclusive::Tools.wait(workspace)?;
    let version = "0.20.2";
    let folder = workspace.tools().join(format!("cargo-deny-{version}"));
    ensure_installed("cargo-deny", version, &folder, |_| {})
}

/// The program `name` inside `folder`, compiled first if it is not there. `configure` may add to
/// the command that does so.
///
/// `folder` must name everything that the program depends on (its version at least), as what is
/// there is taken as it is.
pub fn ensure_installed(
    name: &str,
    version: &str,
    folder: &Path,
    configure: impl FnOnce(&mut Command),
) -> Result<PathBuf> {
    let program = folder.join("bin").join(name);
    if program.is_file() {
        return Ok(program);
    }
    step(&format!("compile {name} {version} into {}", folder.display()));
    // An optimized build takes twice as long and would save less than a second a run.
    let mut command = cargo("install");
    command
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .args(["--quiet", "--locked", name, "--version", version])
        .arg("--root")
        .arg(folder);
    configure(&mut command);
    run(&mut command)?;
    ensure!(program.is_file(), "{name} was installed, but not as {}", program.display());
    Ok(program)
}
