//! What the test needs that boots an older kernel than this machine's: that kernel, and an emulator.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{answer, run, step};
use crate::packages::{self, unpack, update_lists};
use crate::workspace::Workspace;

/// The emulator, on the machine or unpacked: Debian's package conflicts with what some machines have.
const EMULATOR: &str = "qemu-system-x86_64";
const EMULATOR_PACKAGE: &str = "qemu-system-x86";

/// Debian 12's kernel, in the variant with the fewest drivers.
const PREFIX: &str = "linux-image-6.1.0-";
const SUFFIX: &str = "-cloud-amd64";

/// The emulator to start: the machine's own, or one that is unpacked beside the project.
///
/// # Errors
/// If there is none and none can be had.
pub fn emulator(workspace: &Workspace) -> Result<PathBuf> {
    let path = packages::path();
    let own = env::split_paths(&path).map(|folder| folder.join(EMULATOR));
    if let Some(own) = own.into_iter().find(|program| program.is_file()) {
        return Ok(own);
    }
    let folder = workspace.tools().join(EMULATOR_PACKAGE);
    let root = unpack(&[EMULATOR_PACKAGE], &folder)?;
    let program = folder.join(EMULATOR);
    fs::write(&program, starter(&root))
        .with_context(|| format!("cannot write {}", program.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}

/// A script that starts the emulator in `root` with that root's own libraries, modules and firmware.
fn starter(root: &Path) -> String {
    let root = root.to_string_lossy();
    let root = shlex::try_quote(&root).unwrap_or_else(|_| (&*root).into());
    format!(
        "#!/bin/sh\nroot={root}\nlibraries=lib/x86_64-linux-gnu\n\
         # What it loads while it runs is found by this, and not by where its loader is.\n\
         export QEMU_MODULE_DIR=\"$root/usr/$libraries/qemu\"\n\
         exec \"$root/$libraries/ld-linux-x86-64.so.2\" \\\n\
         \x20   --library-path \"$root/$libraries:$root/usr/$libraries\" \\\n\
         \x20   \"$root/usr/bin/{EMULATOR}\" \\\n\
         \x20   -L \"$root/usr/share/qemu\" -L \"$root/usr/share/seabios\" \"$@\"\n"
    )
}

/// The image of the newest kernel of Debian 12, downloaded if none is there.
///
/// # Errors
/// If apt has no such package, on other machines and other systems, or can't download it.
pub fn kernel(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(image) = kept(&workspace.tools())? {
        return Ok(image);
    }
    let names = || answer(Command::new("apt-cache").args(["pkgnames", PREFIX])).unwrap_or_default();
    let mut known = names();
    if newest(&known).is_none() {
        // Some machines throw the lists away.
        update_lists();
        known = names();
    }
    let package = newest(&known).with_context(|| format!("apt has no {PREFIX}*{SUFFIX}"))?;
    step("download Debian 12's kernel, which a test boots");
    // Renamed last: what was broken off is done again.
    let folder = workspace.tools().join("unfinished-kernel");
    let _ = fs::remove_dir_all(&folder);
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
    let _ = fs::remove_dir_all(workspace.tools().join(package));
    fs::rename(&folder, workspace.tools().join(package))?;
    kept(&workspace.tools())?.with_context(|| format!("{package} has no boot/vmlinuz-*"))
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
