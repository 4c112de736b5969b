//! `cargo xtask test`: every test, with all that they need.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::bpf_object;
use crate::command::{answer, cargo, run, step};
use crate::setup::test_programs;
use crate::workspace::Workspace;

/// Run every test
#[derive(clap::Args)]
pub struct Arguments {
    /// Handed on to `cargo test`, for instance `-p da-server NAME`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo_test: Vec<OsString>,
}

/// How the tests that load BPF programs come by the privilege to do so.
#[derive(Debug, PartialEq, Eq)]
enum Privilege {
    /// The tests have it.
    Root,
    /// Those tests run once more, with sudo.
    Sudo,
    /// Those tests can't run.
    None,
}

/// Runs the tests.
pub fn test(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    test_programs()?;
    bpf_object(workspace)?;
    let output = workspace.test_output();
    fs::create_dir_all(&output).with_context(|| format!("cannot create {}", output.display()))?;

    let privilege = privilege();
    step("run the tests");
    let mut tests = cargo_test(workspace);
    tests.args(&arguments.cargo_test);
    if privilege != Privilege::Sudo && in_ci() {
        tests.env("DA_REQUIRE_KERNEL", "1");
    }
    run(&mut tests)?;

    match privilege {
        Privilege::Root => {}
        Privilege::Sudo => {
            step("run the tests that load BPF programs, as root");
            run(cargo_test(workspace)
                .args(["--package", "da-server", "--test", "kernel"])
                .env(runner_variable()?, "sudo --non-interactive --preserve-env")
                .env("DA_REQUIRE_KERNEL", "1"))?;
        }
        Privilege::None => eprintln!(
            "\nNOT TESTED: the BPF programs. Loading them takes root: type\n\n    \
             sudo --preserve-env env \"PATH=$PATH\" cargo xtask test\n"
        ),
    }
    eprintln!("\nWhat the tests left to look at is in {}", output.display());
    Ok(())
}

fn cargo_test(workspace: &Workspace) -> Command {
    let mut command = cargo("test");
    command.arg("--no-fail-fast").env("DA_TEST_OUTPUT", workspace.test_output());
    command
}

fn privilege() -> Privilege {
    if rustix::process::geteuid().is_root() {
        Privilege::Root
    } else if answer(Command::new("sudo").args(["--non-interactive", "true"])).is_some() {
        Privilege::Sudo
    } else {
        Privilege::None
    }
}

/// The variable by which cargo is told what to start a test program with.
fn runner_variable() -> Result<String> {
    let host = answer(Command::new("rustc").args(["--print", "host-tuple"]))
        .context("`rustc --print host-tuple` failed")?;
    let host = host.to_uppercase().replace('-', "_");
    Ok(format!("CARGO_TARGET_{host}_RUNNER"))
}

/// Whether this runs in continuous integration, where a test that can't run is a failure.
fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false")
}
