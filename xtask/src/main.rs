//! Development commands: `cargo xtask setup | build | demo | test | check | bench | dashboards | rules |
//! dist`.

mod bench;
mod build;
mod cargo_tool;
mod check;
mod command;
mod dashboards;
mod demo;
mod dist;
mod guest;
mod linker;
mod lock;
mod node;
mod packages;
mod python;
mod rules;
mod setup;
mod test;
mod toolchain;
mod workspace;

use std::env;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Builds, tests and shows Digital Actors. Each command installs what it lacks, and says so first.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    Setup(setup::Arguments),
    Build(build::Arguments),
    Demo(demo::Arguments),
    Test(test::Arguments),
    /// Check format, lints, documentation and dependencies
    Check,
    Bench(bench::Arguments),
    /// Write dashboards/*.json from dashboards/source
    Dashboards,
    /// Write the rules of deploy/prometheus as a resource of Kubernetes
    Rules,
    Dist(dist::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What stopped us first, then what it was needed for: the reader acts on the former.
            eprintln!();
            for cause in error.chain().collect::<Vec<_>>().iter().rev() {
                eprintln!("error: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let workspace = Workspace::find()?;
    env::set_current_dir(workspace.root())
        .with_context(|| format!("cannot enter {}", workspace.root().display()))?;
    match task {
        Task::Setup(arguments) => setup::setup(&workspace, &arguments),
        Task::Build(arguments) => build::build(&workspace, &arguments),
        Task::Demo(arguments) => demo::demo(&workspace, &arguments),
        Task::Test(arguments) => test::test(&workspace, &arguments),
        Task::Check => check::check(&workspace),
        Task::Bench(arguments) => bench::bench(&workspace, &arguments),
        Task::Dashboards => dashboards::dashboards(&workspace),
        Task::Rules => rules::rules(&workspace),
        Task::Dist(arguments) => dist::dist(&workspace, &arguments),
    }
}
