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
/// Installed under another name, and compressed.
const CHANGELOG: &str = "CHANGELOG.md";
const MAN_PAGES: &str = "usr/share/man/man1";

/// Folders and files of the repository, where those of them that are packed are, and how their names end.
const SHIPPED: [(&str, &str, &[&str]); 12] = [
    ("deploy/systemd", "usr/lib/systemd/system", &[".service"]),
    ("deploy/config", "etc/digital-actors", &[".toml"]),
    ("dashboards", "usr/share/digital-actors/dashboards", &[".json", ".md"]),
    ("deploy/prometheus", "usr/share/digital-actors/prometheus", &[".yml"]),
    ("deploy/prometheus/rules", "usr/share/digital-actors/prometheus/rules", &[".yml"]),
    ("deploy/prometheus/tests", "usr/share/digital-actors/prometheus/tests", &[".yml"]),
    ("deploy/nginx", "usr/share/digital-actors/nginx", &[".conf"]),
    (
        "deploy/grafana/provisioning/dashboards",
        "usr/share/digital-actors/grafana/provisioning/dashboards",
        &[".yml"],
    ),
    (
        "deploy/grafana/provisioning/datasources",
        "usr/share/digital-actors/grafana/provisioning/datasources",
        &[".yml"],
    ),
    ("docs", "usr/share/doc/digital-actors/docs", &[".md"]),
    ("docs/images", "usr/share/doc/digital-actors/docs/images", &[".png"]),
    (
        "",
        DOCUMENTATION,
        &["README.md", "LICENSE", "LICENSE-APACHE", "LICENSE-GPL-2.0", "LICENSE-MIT"],
    ),
];

/// Puts everything into `tree`; `binary` is the server as cargo left it.
pub fn fill(tree: &Tree, workspace: &Workspace, binary: &Path, release: &Release) -> Result<()> {
    program(tree, binary)?;
    manual(tree, binary, release)?;
    notices::write(tree, &format!("{DOCUMENTATION}/THIRD-PARTY"))?;
    shipped(tree, workspace.root(), release)
}

/// What is in the repository as it is packed.
fn shipped(tree: &Tree, root: &Path, release: &Release) -> Result<()> {
    for (from, place, endings) in SHIPPED {
        for ending in endings {
            tree.copy_all(&root.join(from), ending, place)?;
        }
    }
    // Keys are root's until the service manager hands them to their service.
    tree.folder("etc/digital-actors/keys", 0o700)?;
    tree.folder("etc/digital-actors/collector-keys", 0o700)?;
    tree.copy(&root.join(CHANGELOG), &format!("{DOCUMENTATION}/changelog"))?;
    tree.copy(&root.join("deploy/debian/copyright"), &format!("{DOCUMENTATION}/copyright"))?;
    let changelog = super::debian::changelog(release)?;
    tree.file(&format!("{DOCUMENTATION}/changelog.Debian"), 0o644, changelog)?;
    compress(tree)
}

/// Where the file or folder `path` of the repository is in a tree, if it is packed.
pub fn place(path: &str) -> Option<String> {
    if path == CHANGELOG {
        return Some(format!("{DOCUMENTATION}/changelog.gz"));
    }
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    SHIPPED.iter().find_map(|(from, place, endings)| {
        let is_packed = *from == folder && endings.iter().any(|ending| name.ends_with(ending));
        match *from == path {
            true => Some((*place).to_owned()),
            false => is_packed.then(|| format!("{place}/{name}")),
        }
    })
}

/// What is in the repository at `path`, of the file `place` of a tree.
pub fn source(place: &str) -> Option<String> {
    let (folder, name) = place.rsplit_once('/')?;
    let (from, ..) = SHIPPED.iter().find(|(_, place, _)| *place == folder)?;
    Some(if from.is_empty() { name.to_owned() } else { format!("{from}/{name}") })
}

/// The folders of the repository that are packed, and where they are: those that commands name.
pub fn folders() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = SHIPPED.iter().map(|&(from, place, _)| (from, place));
    all.filter(|(from, _)| from.starts_with("deploy/"))
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

/// What Debian's policy wants compressed, and readers of man pages and documentation read so.
fn compress(tree: &Tree) -> Result<()> {
    let script =
        format!("gzip -9n {MAN_PAGES}/*.1 {DOCUMENTATION}/changelog* {DOCUMENTATION}/THIRD-PARTY");
    shell(tree.root(), &script, &[])
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::dist::Profile;

    /// All that is packed, but for what it takes the program to make, which is a line each.
    pub fn without_the_program(root: &Path) -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        let tree = Tree::create(folder.path().join("tree")).unwrap();
        tree.file(&format!("{MAN_PAGES}/da-server.1"), 0o644, "x").unwrap();
        tree.file(&format!("{DOCUMENTATION}/THIRD-PARTY"), 0o644, "x").unwrap();
        let release =
            Release { version: "1.2.3".to_owned(), epoch_seconds: 0, profile: Profile::Dev };
        shipped(&tree, root, &release).unwrap();
        (folder, tree)
    }

    #[test]
    fn every_file_has_one_place_and_every_place_its_file() {
        for (path, at) in [
            ("docs/RUNBOOK.md", "usr/share/doc/digital-actors/docs/RUNBOOK.md"),
            ("README.md", "usr/share/doc/digital-actors/README.md"),
            (
                "deploy/prometheus/tests/players.yml",
                "usr/share/digital-actors/prometheus/tests/players.yml",
            ),
            ("deploy/config/collector.toml", "etc/digital-actors/collector.toml"),
        ] {
            assert_eq!(place(path).as_deref(), Some(at));
            assert_eq!(source(at).as_deref(), Some(path));
        }
        assert_eq!(place("deploy/nginx").as_deref(), Some("usr/share/digital-actors/nginx"));
        for path in ["CONTRIBUTING.md", "deploy/docker-compose.yml", "dashboards/source", "xtask"] {
            assert_eq!(place(path), None, "{path}");
        }
    }
}
