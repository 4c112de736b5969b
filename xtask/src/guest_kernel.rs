//! An older kernel than this machine's, for the test that boots one in an emulator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{answer, run, step};
use crate::workspace::Workspace;

/// Debian 12's kernel, in the variant with the fewest drivers.
const PREFIX: &str = "linux-image-6.1.0-";
const SUFFIX: &str = "-cloud-amd64";

/// The image of the newest such kernel that Debian offers, downloaded if it is not there; nothing
/// where there is no such package: on other machines and other systems.
pub fn guest_kernel(workspace: &Workspace) -> Result<Option<PathBuf>> {
    if let Some(image) = kept(&workspace.tools())? {
        return Ok(Some(image));
    }
    let names = answer(Command::new("apt-cache").args(["pkgnames", PREFIX])).unwrap_or_default();
    let Some(package) = newest(&names) else { return Ok(None) };
    step("download Debian 12's kernel, which a test boots");
    let folder = workspace.tools().join(package);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    run(Command::new("apt-get")
        .args(["download", "--quiet=2", "--option", "APT::Sandbox::User=root", package])
        .current_dir(&folder))
    .context("if the package is gone, `apt-get update` tells of the one that took its place")?;
    for archive in files(&folder)? {
        run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&folder))?;
        fs::remove_file(&archive)?;
        // Modules are most of it, and the test needs none.
        fs::remove_dir_all(folder.join("lib"))?;
    }
    match kept(&workspace.tools())? {
        Some(image) => Ok(Some(image)),
        None => bail!("{package} has no boot/vmlinuz-*"),
    }
}

/// What an earlier run has left, the newest of it.
fn kept(tools: &Path) -> Result<Option<PathBuf>> {
    let Ok(folders) = fs::read_dir(tools) else { return Ok(None) };
    let complete: Vec<_> = folders
        .filter_map(|folder| folder.ok()?.file_name().into_string().ok())
        .filter(|name| tools.join(name).join("boot").is_dir())
        .collect();
    let names = complete.join("\n");
    let Some(package) = newest(&names) else { return Ok(None) };
    let images = files(&tools.join(package).join("boot"))?;
    let is_image = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
    };
    Ok(images.into_iter().find(is_image))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// Of one package name a line, that of the kernel with the highest number.
fn newest(names: &str) -> Option<&str> {
    let number = |name: &str| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse::<u32>().ok();
    names.lines().filter(|name| number(name).is_some()).max_by_key(|name| number(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_kernel_is_the_one_with_the_highest_number() {
        let names = "linux-image-6.1.0-9-cloud-amd64\nlinux-image-6.1.0-56-amd64\n\
                     linux-image-6.1.0-47-cloud-amd64-dbg\nlinux-image-6.1.0-50-cloud-amd64\n\
                     linux-image-6.1.0-47-cloud-amd64\nlinux-image-6.1.0-55-cloud-amd64-unsigned";
        assert_eq!(newest(names), Some("linux-image-6.1.0-50-cloud-amd64"));
        assert_eq!(newest("linux-image-6.12.1-cloud-amd64"), None);
    }

    #[test]
    fn what_was_downloaded_is_found_again() {
        let tools = tempfile::tempdir().unwrap();
        assert_eq!(kept(&tools.path().join("absent")).unwrap(), None);
        let boot = |package: &str| tools.path().join(package).join("boot");
        for package in ["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-10-cloud-amd64"] {
            fs::create_dir_all(boot(package)).unwrap();
            fs::write(boot(package).join("config-1"), "").unwrap();
            fs::write(boot(package).join("vmlinuz-1"), "").unwrap();
        }
        // A download that broke off.
        fs::create_dir_all(tools.path().join("linux-image-6.1.0-11-cloud-amd64")).unwrap();
        let newest = boot("linux-image-6.1.0-10-cloud-amd64").join("vmlinuz-1");
        assert_eq!(kept(tools.path()).unwrap(), Some(newest));
    }
}
