//! A clean Debian of this machine's own release, as a tarball, made once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::built::answer_or_why;
use super::machine::{as_root, debian};

/// The tarball, made by debootstrap if no earlier run has left it; why it can't be had, if so.
pub fn tarball() -> Result<PathBuf, String> {
    let release = debian().ok_or("this is not Debian")?;
    let tarball = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{release}.tar"));
    if !tarball.exists() {
        let unfinished = tarball.with_extension("unfinished");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/package/make-base.sh");
        let mut make = as_root("unshare");
        make.args(["--mount", "sh", script, &release, &mirror(&release)?]).arg(&unfinished);
        answer_or_why(&mut make)?;
        fs::rename(unfinished, &tarball).expect("renamed");
    }
    Ok(tarball)
}

/// Where this machine's apt has that release from.
fn mirror(release: &str) -> Result<String, String> {
    let list = || {
        let mut ask = Command::new("apt-get");
        ask.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
        ask.args(["Origin: Debian", "Component: main"]).arg(format!("Codename: {release}"));
        answer_or_why(&mut ask)
    };
    let first = |list: String| list.lines().next().map(str::to_owned);
    // Some machines throw the lists away.
    let mirror = match first(list()?) {
        Some(mirror) => Some(mirror),
        None => {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../xtask/install-packages.sh");
            answer_or_why(&mut as_root(script))?;
            first(list()?)
        }
    };
    mirror.ok_or_else(|| format!("no source of apt's has Debian's {release}"))
}
