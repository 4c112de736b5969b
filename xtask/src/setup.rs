//! `cargo xtask setup`, and the parts of it that the other commands ask for.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::cargo_tool::cargo_deny;
use crate::command::{as_typed, step};
use crate::linker::bpf_linker;
use crate::packages::{self, BENCHMARKS, BPF_COMPILER, BPF_LINTER, DISTRIBUTION, Package, TESTS};
use crate::python::test_libraries;
use crate::toolchain::Toolchain;
use crate::workspace::Workspace;

/// Install everything that the other commands need (each also does its own part by itself)
#[derive(clap::Args)]
pub struct Arguments {
    /// Do not ask before installing packages
    #[arg(long)]
    yes: bool,
}

/// What compiles and links the BPF programs.
pub struct BpfTools {
    /// The compiler.
    pub toolchain: Toolchain,
    /// The path of the bpf-linker that belongs to it.
    pub linker: PathBuf,
}

/// Installs whatever is missing for any command.
pub fn setup(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let toolchain = Toolchain::detect();
    let mut missing = Vec::new();
    if toolchain.is_none() {
        missing.extend(BPF_COMPILER);
    }
    if !toolchain.as_ref().is_some_and(Toolchain::has_clippy) {
        missing.extend(BPF_LINTER);
    }
    missing.extend(packages::missing(TESTS));
    missing.extend(packages::missing(BENCHMARKS));
    missing.extend(packages::missing(DISTRIBUTION));

    if !missing.is_empty() && !arguments.yes {
        confirm(&missing)?;
    }
    packages::install(&missing)?;
    let tools = bpf_tools(workspace)?;
    bpf_linter(&tools.toolchain)?;
    test_libraries(workspace)?;
    cargo_deny(workspace)?;

    step("everything is there");
    eprintln!("    BPF compiler: {}", tools.toolchain.describe());
    eprintln!("    BPF linker: {}", tools.linker.display());
    Ok(())
}

/// A compiler and a linker for BPF programs, installed if there were none.
pub fn bpf_tools(workspace: &Workspace) -> Result<BpfTools> {
    let toolchain = match Toolchain::detect() {
        Some(toolchain) => toolchain,
        None => {
            packages::install(&BPF_COMPILER.iter().collect::<Vec<_>>()).context(
                "no Rust compiler here can build BPF programs. Besides Debian 12's packages, \
                 rustup's nightly can, on any system:\n\n    rustup toolchain install nightly \
                 --profile minimal --component rust-src --component clippy\n",
            )?;
            Toolchain::detect().context(
                "the packages are installed, yet no rustc on PATH has core for the BPF target: \
                 is /usr/bin in PATH?",
            )?
        }
    };
    let linker = bpf_linker(workspace, &toolchain)?;
    Ok(BpfTools { toolchain, linker })
}

/// The linter that belongs to `toolchain`, installed if it is not there.
pub fn bpf_linter(toolchain: &Toolchain) -> Result<()> {
    if toolchain.has_clippy() {
        return Ok(());
    }
    match toolchain {
        Toolchain::Nightly { .. } => bail!(
            "the BPF programs are linted by the compiler that builds them. Type\n\n    \
             rustup component add clippy --toolchain nightly\n\nand try again"
        ),
        Toolchain::System { .. } => packages::install(&BPF_LINTER.iter().collect::<Vec<_>>()),
    }
}

/// The programs that the tests drive, installed if they are not there.
pub fn test_programs(workspace: &Workspace) -> Result<()> {
    let mut missing = packages::missing(TESTS);
    // A test packs a release and installs it.
    missing.extend(packages::missing(DISTRIBUTION));
    packages::install(&missing)?;
    test_libraries(workspace)
}

fn confirm(packages: &[&Package]) -> Result<()> {
    eprintln!("These Debian packages are missing:\n");
    for package in packages {
        eprintln!("    {}: {}", package.name, package.why);
    }
    let command = as_typed(&packages::install_command(packages));
    if !io::stdin().is_terminal() {
        bail!("nobody is here to ask: give --yes, or type\n\n    sudo {command}\n");
    }
    eprint!("\nRun `{command}`? [y/N] ");
    let mut reply = String::new();
    io::stdin().lock().read_line(&mut reply)?;
    if !matches!(reply.trim(), "y" | "Y" | "yes") {
        bail!("nothing was installed");
    }
    Ok(())
}
