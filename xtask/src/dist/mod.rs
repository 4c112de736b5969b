//! `cargo xtask dist`: what is installed on other machines, as a tarball and as a Debian package.
//!
//! Both wrap one tree. The same program, packed by the same tools, makes the same bytes.

mod contents;
mod debian;
mod links;
mod notices;
mod tarball;
mod tree;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::{bpf_object, host_programs};
use crate::command::{answer, run, run_and_read, step};
use crate::packages::{self, DISTRIBUTION};
use crate::workspace::Workspace;
use tree::Tree;

/// Where the sources are: the workspace's `repository`.
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Pack what is installed on other machines: a tarball and a Debian package, in target/dist
#[derive(clap::Args)]
pub struct Arguments {
    /// How the server is compiled; what is only tried is packed faster with `dev`
    #[arg(long, value_enum, default_value_t = Profile::Release)]
    profile: Profile,
    /// Pack this da-server instead of building one
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    binary: Option<PathBuf>,
    /// Put the results here
    #[arg(long, value_name = "FOLDER", value_parser = absolute)]
    output: Option<PathBuf>,
}

/// A path as its giver meant it, whatever folder this program works in.
fn absolute(path: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(path)
}

/// Cargo's profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Profile {
    Release,
    Dev,
}

/// What both packages are told about this build.
struct Release {
    /// Of the workspace.
    version: String,
    /// Since 1970: the date of everything inside, so that it tells of the sources and not of the day
    /// on which they were packed.
    epoch_seconds: u64,
    profile: Profile,
}

impl Release {
    /// The date of the sources, in a format of date(1).
    fn date(&self, format: &str) -> Result<String> {
        let mut command = Command::new("date");
        command.env("LC_ALL", "C").args(["--utc", &format!("--date=@{}", self.epoch_seconds)]);
        Ok(run_and_read(command.arg(format!("+{format}")))?.trim().to_owned())
    }
}

/// Makes both packages and the file with their checksums.
pub fn dist(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    packages::install(&packages::missing(DISTRIBUTION))?;
    let output = arguments.output.clone().unwrap_or_else(|| workspace.dist());
    let release = Release {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        epoch_seconds: epoch_seconds()?,
        profile: arguments.profile,
    };
    let binary = match &arguments.binary {
        Some(binary) => binary.clone(),
        None => server(workspace, arguments.profile)?,
    };
    fs::create_dir_all(&output).with_context(|| format!("cannot create {}", output.display()))?;
    let output = fs::canonicalize(&output)?;

    step("lay out what is installed");
    let tree = Tree::create(output.join(tarball::stem(&release)))?;
    contents::fill(&tree, workspace, &binary, &release)?;
    links::mend(&tree, workspace.root())?;
    let tarball = tarball::pack(&tree, &release, &output)?;
    let package = debian::pack(&tree, workspace, &release, &output)?;
    tree.remove()?;
    list(&output, &[&tarball, &package])
}

/// Builds the server, the BPF programs first; returns where it is.
fn server(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    bpf_object(workspace)?;
    let name = match profile {
        Profile::Release => "release",
        Profile::Dev => "dev",
    };
    let arguments = ["--locked", "--package", "da-server", "--profile", name];
    host_programs(&arguments)?.remove("da-server").context("cargo built no da-server")
}

/// The commit's date, or what the variable of <https://reproducible-builds.org> says.
fn epoch_seconds() -> Result<u64> {
    let commit = || answer(Command::new("git").args(["log", "-1", "--format=%ct"]));
    let text = env::var("SOURCE_DATE_EPOCH").ok().or_else(commit).context(
        "git knows no commit here, and so no date: set SOURCE_DATE_EPOCH to the seconds since 1970",
    )?;
    text.parse().with_context(|| format!("{text:?} is no number of seconds since 1970"))
}

/// Writes `SHA256SUMS` for `files` of `output` and says how large they are.
fn list(output: &Path, files: &[&str]) -> Result<()> {
    let sums = run_and_read(Command::new("sha256sum").arg("--").args(files).current_dir(output))?;
    fs::write(output.join("SHA256SUMS"), sums)?;
    step(&format!("done: {}", output.display()));
    for file in files {
        let bytes = fs::metadata(output.join(file))?.len();
        eprintln!("    {file}: {:.1} MB", bytes as f64 / 1e6);
    }
    Ok(())
}

/// Runs `script` by a shell in `folder`, with `variables`: for what is a pipe of Unix programs anyway.
fn shell(folder: &Path, script: &str, variables: &[(&str, &str)]) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-euc", script]).current_dir(folder).envs(variables.iter().copied());
    run(&mut command)
}
