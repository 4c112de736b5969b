//! `cargo xtask bench`: what the kernel view costs, how exact it is, how many players a server carries, and
//! what it takes to read answers without measure, on this machine.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::{bpf_object, host_programs};
use crate::command::{run, step};
use crate::packages::{self, BENCHMARKS};
use crate::workspace::Workspace;

/// Measure what the kernel view costs and what a server carries, and write docs/BENCHMARKS.md
#[derive(clap::Args)]
pub struct Arguments {
    /// Two minutes instead of fifteen, building aside; leaves docs/BENCHMARKS.md as it is
    #[arg(long)]
    quick: bool,
    /// Only this one
    #[arg(value_parser = ["hooks", "server", "reader", "join", "scrape", "accuracy", "players", "speech", "answers"])]
    name: Option<String>,
}

/// Builds what is measured, and measures it: `da-bench` does, in a network and a mount namespace of
/// its own.
///
/// # Errors
/// If this is not root, or anything could not be started, or lost what it was to see.
pub fn bench(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "loading BPF programs takes root: type\n\n    \
             sudo --preserve-env env \"PATH=$PATH\" cargo xtask bench\n"
        );
    }
    packages::install(&packages::missing(BENCHMARKS))?;
    bpf_object(workspace)?;
    let programs =
        host_programs(&["--release", "--package", "da-server", "--package", "da-bench"])?;
    let program =
        |name: &str| programs.get(name).with_context(|| format!("cargo built no program {name}"));

    step("measure");
    let mut command = Command::new("unshare");
    command
        .args(["--net", "--mount"])
        .arg(program("da-bench")?)
        .arg("--server")
        .arg(program("da-server")?)
        .arg("--empty-object")
        .arg(workspace.empty_bpf_object())
        .arg("--asker")
        .arg(program("da-bench-asker")?)
        .arg("--output")
        .arg(workspace.bench_output())
        .args(["--document", "docs/BENCHMARKS.md"]);
    if arguments.quick {
        command.arg("--quick");
    }
    command.args(&arguments.name);
    run(&mut command)
}
