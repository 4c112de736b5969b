//! What is installed, and where.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::tree::Tree;
use super::{Release, notices, shell};
use crate::command::run;
use crate::workspace::Workspace;

const DOCUMENTATION: &str = "usr/share/doc/digital-actors";
const MAN_PAGES: &str = "usr/share/man/man1";
const SHARED: &str = "usr/share/digital-actors";

/// Puts everything into `tree`; `binary` is the server as cargo left it.
pub fn fill(tree: &Tree, workspace: &Workspace, binary: &Path, release: &Release) -> Result<()> {
    let root = workspace.root();
    program(tree, binary)?;
    manual(tree, binary, release)?;

    tree.copy_all(&root.join("deploy/systemd"), ".service", "usr/lib/systemd/system")?;
    tree.copy_all(&root.join("deploy/config"), ".toml", "etc/digital-actors")?;
    // Keys are root's until the service manager hands them to their service.
    tree.folder("etc/digital-actors/keys", 0o700)?;
    tree.folder("etc/digital-actors/collector-keys", 0o700)?;

    tree.copy_all(&root.join("dashboards"), ".json", &format!("{SHARED}/dashboards"))?;
    let prometheus = root.join("deploy/prometheus");
    tree.copy_all(&prometheus, ".yml", &format!("{SHARED}/prometheus"))?;
    tree.copy_all(&prometheus.join("rules"), ".yml", &format!("{SHARED}/prometheus/rules"))?;

    documentation(tree, root, release)?;
    notices::write(tree, &format!("{DOCUMENTATION}/THIRD-PARTY"))?;
    compress(tree)
}

/// Without symbols, which are most of it.
fn program(tree: &Tree, binary: &Path) -> Result<()> {
    let place = "usr/bin/da-server";
    tree.file(place, 0o755, fs::read(binary)?)?;
    run(Command::new("strip").arg("--strip-all").arg(tree.root().join(place)))
}

/// Man pages and completions, as the program itself makes them.
fn manual(tree: &Tree, binary: &Path, release: &Release) -> Result<()> {
    let folder = tree.root().join("manual");
    let date = release.date("%Y-%m-%d")?;
    run(Command::new(binary).arg("manual").arg(&folder).args(["--date", &date]))?;
    tree.copy_all(&folder, ".1", MAN_PAGES)?;
    for (file, place) in [
        ("da-server.bash", "usr/share/bash-completion/completions/da-server"),
        ("_da-server", "usr/share/zsh/vendor-completions/_da-server"),
        ("da-server.fish", "usr/share/fish/vendor_completions.d/da-server.fish"),
    ] {
        tree.copy(&folder.join(file), place)?;
    }
    Ok(fs::remove_dir_all(folder)?)
}

/// As it lies in the repository, so that its links lead somewhere.
fn documentation(tree: &Tree, root: &Path, release: &Release) -> Result<()> {
    tree.copy(&root.join("README.md"), &format!("{DOCUMENTATION}/README.md"))?;
    tree.copy_all(&root.join("docs"), ".md", &format!("{DOCUMENTATION}/docs"))?;
    tree.copy_all(&root.join("docs/images"), ".png", &format!("{DOCUMENTATION}/docs/images"))?;
    for licence in ["LICENSE", "LICENSE-APACHE", "LICENSE-GPL-2.0", "LICENSE-MIT"] {
        tree.copy(&root.join(licence), &format!("{DOCUMENTATION}/{licence}"))?;
    }
    tree.copy(&root.join("CHANGELOG.md"), &format!("{DOCUMENTATION}/changelog"))?;
    tree.copy(&root.join("deploy/debian/copyright"), &format!("{DOCUMENTATION}/copyright"))?;
    tree.file(
        &format!("{DOCUMENTATION}/changelog.Debian"),
        0o644,
        super::debian::changelog(release)?,
    )
}

/// What Debian's policy wants compressed, and readers of man pages and documentation read so.
fn compress(tree: &Tree) -> Result<()> {
    let script =
        format!("gzip -9n {MAN_PAGES}/*.1 {DOCUMENTATION}/changelog* {DOCUMENTATION}/THIRD-PARTY");
    shell(tree.root(), &script, &[])
}
