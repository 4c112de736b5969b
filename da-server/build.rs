//! Puts the BPF object into the binary, or nothing where it was not built, and says which commit it
//! is.
//!
//! `DA_EBPF_OBJECT` (set for the whole workspace in `.cargo/config.toml`) names the file that
//! `cargo xtask build` leaves. Without it the server works, and says that it has no kernel view.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // Embedded by macros, of whose files cargo knows nothing.
    println!("cargo::rerun-if-changed=scenes");
    println!("cargo::rerun-if-changed=migrations");
    say_commit();
    embed_object()
}

/// `DA_COMMIT` as given, or as git has it; a build from an archive has neither.
fn say_commit() {
    println!("cargo::rerun-if-env-changed=DA_COMMIT");
    if let Some(moves) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={moves}");
    }
    let commit = env::var("DA_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = commit.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    if let Some(commit) = commit {
        println!("cargo::rustc-env=DA_COMMIT={commit}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let answer = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !answer.is_empty()).then_some(answer)
}

fn embed_object() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=DA_EBPF_OBJECT");
    let embedded = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("da-ebpf.o");
    let built = env::var_os("DA_EBPF_OBJECT").map(PathBuf::from).unwrap_or_default();
    if built.is_file() {
        println!("cargo::rerun-if-changed={}", built.display());
        fs::copy(&built, &embedded)?;
        return Ok(());
    }
    // A missing file would make cargo run this script, and compile the crate, at every build: the
    // folder it will appear in is watched in its place.
    if let Some(folder) = built.parent().filter(|folder| *folder != Path::new("")) {
        fs::create_dir_all(folder)?;
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    fs::write(&embedded, [])
}
