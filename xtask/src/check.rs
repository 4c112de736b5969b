//! `cargo xtask check`: everything about the sources that can be judged without running them.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::build::{AS_FOR_TESTS, bpf_cargo};
use crate::cargo_tool::cargo_deny;
use crate::command::{cargo, in_ci, run, step};
use crate::setup::{BpfTools, bpf_linter, bpf_tools};
use crate::workspace::Workspace;

/// Links to private items are what the documentation of a program is for.
const RUSTDOC_FLAGS: &str = "--deny warnings --allow rustdoc::private-intra-doc-links";

/// Checks format, lints, documentation and dependencies.
pub fn check(workspace: &Workspace) -> Result<()> {
    step("check the format");
    run(cargo("fmt").args(["--all", "--check"]))?;

    let tools = bpf_tools(workspace)?;
    lint(workspace, &tools)?;
    document(workspace, &tools)?;
    judge_dependencies(&cargo_deny(workspace)?)
}

/// Clippy, for the host and, with the compiler that builds them, for the BPF programs.
fn lint(workspace: &Workspace, tools: &BpfTools) -> Result<()> {
    match bpf_linter(workspace, &tools.toolchain) {
        Ok(toolchain) => {
            step("lint the BPF programs");
            let tools = BpfTools { toolchain, linker: tools.linker.clone() };
            run(bpf_cargo(workspace, &tools, "clippy").args(["--", "--deny", "warnings"]))?;
        }
        Err(error) if in_ci() => return Err(error),
        Err(error) => eprintln!("\nNOT CHECKED: the lints of the BPF programs: {error:#}"),
    }
    step("lint the host's programs");
    run(cargo("clippy").args(["--all-targets", "--", "--deny", "warnings"]))
}

/// rustdoc. Its readers work on these programs, so private items are part of it.
fn document(workspace: &Workspace, tools: &BpfTools) -> Result<()> {
    step("build the documentation");
    let mut of_host = cargo("doc");
    of_host.args(["--lib", "--bins", AS_FOR_TESTS]);
    for mut command in [bpf_cargo(workspace, tools, "doc"), of_host] {
        command.args(["--no-deps", "--document-private-items"]);
        run(command.env("RUSTDOCFLAGS", RUSTDOC_FLAGS))?;
    }
    Ok(())
}

/// cargo-deny. Advisories need a database from the network: where it cannot be had, the rest is
/// still checked, and the gap is announced; also in CI, whose machines may have no way to it: it says nothing of
/// this tree.
fn judge_dependencies(cargo_deny: &Path) -> Result<()> {
    step("check the dependencies' licences and sources");
    run(Command::new(cargo_deny).args(["check", "bans", "licenses", "sources"]))?;
    step("check the dependencies for known vulnerabilities");
    if run(Command::new(cargo_deny).args(["fetch", "db"])).is_err() {
        eprintln!(
            "\nNOT CHECKED: the dependencies' known vulnerabilities. The RustSec advisory \
             database could not be fetched; see above."
        );
        return Ok(());
    }
    run(Command::new(cargo_deny).args(["check", "--disable-fetch", "advisories"]))
}
