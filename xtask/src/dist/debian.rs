//! The tree as a Debian package.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::tree::Tree;
use super::{Profile, REPOSITORY, Release, shell};
use crate::command::{run, run_and_read, step};
use crate::workspace::Workspace;

/// Who answers for it: the workspace's `authors`.
const MAINTAINER: &str = env!("CARGO_PKG_AUTHORS");
const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

/// Packs `tree` into `output`; returns the file's name. What dpkg wants to know is added to the tree.
pub fn pack(
    tree: &Tree,
    workspace: &Workspace,
    release: &Release,
    output: &Path,
) -> Result<String> {
    step("pack the Debian package");
    let sources = workspace.root().join("deploy/debian");
    let architecture =
        run_and_read(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
    let control = fs::read_to_string(sources.join("control"))?
        .replace("@VERSION@", &release.version)
        .replace("@ARCHITECTURE@", &architecture)
        .replace("@MAINTAINER@", MAINTAINER)
        .replace("@HOMEPAGE@", REPOSITORY)
        .replace("@INSTALLED_SIZE@", &tree.installed_kib()?.to_string())
        .replace("@DEPENDS@", &depends(tree, output)?);
    let conffiles = conffiles(tree)?;
    tree.file("DEBIAN/control", 0o644, control)?;
    tree.file("DEBIAN/conffiles", 0o644, conffiles)?;
    // What `dpkg --verify` compares. The redirection keeps the mode.
    tree.file("DEBIAN/md5sums", 0o644, "")?;
    let sums = "find usr -type f | LC_ALL=C sort | xargs md5sum > DEBIAN/md5sums";
    shell(tree.root(), sums, &[])?;
    for script in SCRIPTS {
        tree.file(&format!("DEBIAN/{script}"), 0o755, fs::read(sources.join(script))?)?;
    }

    let name = format!("digital-actors_{}_{architecture}.deb", release.version);
    let compression: &[&str] = match release.profile {
        Profile::Release => &["-Zxz"],
        Profile::Dev => &["-Zgzip", "-z1"],
    };
    run(Command::new("dpkg-deb")
        .env("SOURCE_DATE_EPOCH", release.epoch_seconds.to_string())
        .args(["--build", "--root-owner-group"])
        .args(compression)
        .arg(tree.root())
        .arg(output.join(&name)))?;
    Ok(name)
}

/// The changelog in dpkg's own form; what changed is told in the other one.
pub fn changelog(release: &Release) -> Result<String> {
    let date = release.date("%a, %d %b %Y %T +0000")?;
    Ok(format!(
        "digital-actors ({}) unstable; urgency=medium\n\n  \
         * What changed is in changelog.gz beside this file.\n\n \
         -- {MAINTAINER}  {date}\n",
        release.version
    ))
}

/// Whatever is configured on the host: dpkg keeps what was changed there.
fn conffiles(tree: &Tree) -> Result<String> {
    let files = tree.files()?;
    Ok(files
        .iter()
        .filter(|file| file.starts_with("etc/"))
        .map(|file| format!("/{file}\n"))
        .collect())
}

/// Packages with the libraries that the server loads, in the versions whose symbols it names.
fn depends(tree: &Tree, output: &Path) -> Result<String> {
    // dpkg-shlibdeps wants to be in the folder of a source package.
    let folder = output.join("shlibdeps");
    let stub = Tree::create(folder.clone())?;
    stub.file(
        "debian/control",
        0o644,
        "Source: digital-actors\n\nPackage: digital-actors\nArchitecture: any\n",
    )?;
    let said = run_and_read(
        Command::new("dpkg-shlibdeps")
            .arg("-O")
            .arg(tree.root().join("usr/bin/da-server"))
            .current_dir(&folder),
    );
    stub.remove()?;
    let said = said?;
    let depends = said.trim().strip_prefix("shlibs:Depends=");
    Ok(depends.with_context(|| format!("dpkg-shlibdeps said {said:?}"))?.to_owned())
}
