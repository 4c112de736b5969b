//! Packages that are unpacked beside the project instead of installed: whatever else is on the machine
//! can't conflict with them, and nothing outside changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{as_root, install_command};
use crate::command::{run, step};

/// The root of what an earlier run has unpacked into `folder`.
pub fn unpacked_in(folder: &Path) -> Option<PathBuf> {
    Some(folder.join("root")).filter(|root| root.is_dir())
}

/// Unpacks `packages` and all that they depend on, down to the C library, into `folder`; returns the
/// root of what is there. An earlier unpacking is kept.
///
/// # Errors
/// If apt does not have the packages, or they can't be unpacked.
pub fn unpack(packages: &[&str], folder: &Path) -> Result<PathBuf> {
    if let Some(root) = unpacked_in(folder) {
        return Ok(root);
    }
    let root = folder.join("root");
    step(&format!("unpack {} into {}", packages.join(", "), folder.display()));
    let archives = download(packages, folder)?;
    // Renamed last: what was broken off is done again.
    let unfinished = folder.join("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir(&unfinished).with_context(|| format!("cannot make {}", unfinished.display()))?;
    for archive in debian_archives(&archives)? {
        let status =
            Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&unfinished).status();
        let status = status.context("cannot start dpkg-deb")?;
        ensure!(status.success(), "dpkg-deb could not unpack {}", archive.display());
    }
    fs::remove_dir_all(&archives)?;
    fs::rename(&unfinished, &root)?;
    Ok(root)
}

/// Downloads the archives of `packages` and their dependencies, as for a machine that has nothing yet.
fn download(packages: &[&str], folder: &Path) -> Result<PathBuf> {
    let (archives, nothing) = (folder.join("archives"), folder.join("nothing-installed"));
    fs::create_dir_all(archives.join("partial"))
        .with_context(|| format!("cannot make {}", archives.display()))?;
    fs::write(&nothing, "")?;
    let option = |name: &str, path: &Path| format!("{name}={}", path.display());
    let download = || {
        let mut command = Command::new("apt-get");
        command.args([
            "install",
            "--download-only",
            "--yes",
            "--quiet=2",
            "--no-install-recommends",
        ]);
        command.args(["--option", &option("Dir::State::status", &nothing)]);
        command.args(["--option", &option("Dir::Cache::archives", &archives)]);
        // The folder may be one that apt's own user can't reach.
        command.args(["--option", "APT::Sandbox::User=root"]).args(packages);
        command
    };
    // The lists may be older than the archives, or not be there at all.
    if run(&mut download()).is_err() {
        update_lists();
        run(&mut download())?;
    }
    Ok(archives)
}

/// Has apt read again what its sources have. One source that can't be reached, of several, is no reason to
/// stop: what can't be had for it says so itself.
pub fn update_lists() {
    if let Err(error) = run(&mut as_root(install_command(&[]))) {
        eprintln!("{error:#}: going on with the lists that are here");
    }
}

fn debian_archives(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let archives: Vec<_> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|it| it == "deb")).collect();
    ensure!(!archives.is_empty(), "apt-get has downloaded nothing into {}", folder.display());
    Ok(archives)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_run_has_unpacked_is_kept_and_what_broke_off_is_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("unfinished")).unwrap();
        assert!(debian_archives(&folder.path().join("unfinished")).is_err());
        fs::create_dir(folder.path().join("root")).unwrap();
        assert_eq!(unpack(&["anything"], folder.path()).unwrap(), folder.path().join("root"));
    }
}
