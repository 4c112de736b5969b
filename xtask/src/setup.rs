//! `cargo xtask setup`, and the parts of it that the other commands ask for.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::cargo_tool::cargo_deny;
use crate::command::{as_typed, step};
use crate::guest;
use crate::linker::bpf_linker;
use crate::lock::Exclusive;
use crate::node;
use crate::packages::{
    self, BENCHMARKS, BPF_COMPILER, BPF_LINTER, DISTRIBUTION, Package, TESTS, Unavailable,
};
use crate::python;
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
    let _alone = Exclusive::Tests.wait(workspace)?;
    let toolchain = Toolchain::detect(workspace);
    let mut missing = Vec::new();
    if toolchain.is_none() {
        missing.extend(BPF_COMPILER);
    }
    if !toolchain.as_ref().is_some_and(Toolchain::has_clippy) {
        missing.extend(BPF_LINTER);
    }
    let mut optional = packages::missing(TESTS);
    for package in packages::missing(BENCHMARKS).into_iter().chain(packages::missing(DISTRIBUTION))
    {
        if optional.iter().all(|one| one.name != package.name) {
            optional.push(package);
        }
    }

    let all: Vec<_> = missing.iter().copied().chain(optional.iter().copied()).collect();
    if !all.is_empty() && !arguments.yes {
        confirm(&all)?;
    }
    let tools = bpf_tools(workspace)?;
    let mut unavailable = packages::install_what_can_be_had(&optional);
    bpf_linter(workspace, &tools.toolchain)?;
    // What is left is for tests alone.
    unavailable.extend(test_needs(workspace).unavailable);
    unavailable.dedup();
    cargo_deny(workspace)?;

    for Unavailable { what, why } in &unavailable {
        eprintln!("\nNOT INSTALLED: {what}: {why}");
    }
    step("what can be had is there");
    eprintln!("    BPF compiler: {}", tools.toolchain.describe());
    eprintln!("    BPF linker: {}", tools.linker.display());
    Ok(())
}

/// A compiler and a linker for BPF programs, installed if there were none.
pub fn bpf_tools(workspace: &Workspace) -> Result<BpfTools> {
    let _alone = Exclusive::Tools.wait(workspace)?;
    let toolchain = match Toolchain::detect(workspace) {
        Some(toolchain) => toolchain,
        None => bpf_compiler(workspace)?,
    };
    let linker = bpf_linker(workspace, &toolchain)?;
    Ok(BpfTools { toolchain, linker })
}

/// Debian's compiler for BPF: installed, or unpacked beside the project where another package is in its way.
fn bpf_compiler(workspace: &Workspace) -> Result<Toolchain> {
    const ADVICE: &str = "no Rust compiler here can build BPF programs. Besides Debian 12's packages, rustup's \
        nightly can, on any system:\n\n    rustup toolchain install nightly --profile minimal --component \
        rust-src --component clippy\n";
    let installed = packages::install(&BPF_COMPILER.iter().collect::<Vec<_>>());
    if installed.is_err()
        && let Ok(unpacked) = Toolchain::unpack(workspace)
    {
        return Ok(unpacked);
    }
    installed.context(ADVICE)?;
    Toolchain::detect(workspace).context(
        "the packages are installed, yet no rustc on PATH has core for the BPF target: is /usr/bin in \
         PATH?",
    )
}

/// A compiler with its linter: `toolchain`, or where its linter is not there and can't be installed one that is
/// unpacked beside the project.
pub fn bpf_linter(workspace: &Workspace, toolchain: &Toolchain) -> Result<Toolchain> {
    if toolchain.has_clippy() {
        return Ok(toolchain.clone());
    }
    if let Toolchain::Nightly { .. } = toolchain {
        bail!(
            "the BPF programs are linted by the compiler that builds them. Type\n\n    \
             rustup component add clippy --toolchain nightly\n\nand try again"
        );
    }
    let _alone = Exclusive::Tools.wait(workspace)?;
    let installed = packages::install(&BPF_LINTER.iter().collect::<Vec<_>>());
    if installed.is_err()
        && let Ok(unpacked) = Toolchain::unpack(workspace)
    {
        return Ok(unpacked);
    }
    installed.map(|()| toolchain.clone())
}

/// The packages that install libraries, which takes as long as all other packages do: these come first.
const INSTALLERS: [&str; 4] = ["python3", "python3-pip", "nodejs", "npm"];

/// What the tests drive besides our own programs.
pub struct TestNeeds {
    /// The emulator in which a test boots an older kernel.
    pub emulator: Option<PathBuf>,
    /// That kernel.
    pub guest_kernel: Option<PathBuf>,
    /// What this machine can't have: the tests that drive it say that they are skipped.
    pub unavailable: Vec<Unavailable>,
}

/// Installs what the tests drive and is not there, as far as it can be had.
pub fn test_needs(workspace: &Workspace) -> TestNeeds {
    let mut missing = packages::missing(TESTS);
    // A test packs a release and installs it.
    missing.extend(packages::missing(DISTRIBUTION));
    let (first, others): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|package| INSTALLERS.contains(&package.name));
    let mut unavailable = packages::install_what_can_be_had(&first);
    // Side by side: each is a long download of many small files.
    let (for_others, for_python, for_node) = thread::scope(|scope| {
        let for_others = scope.spawn(|| packages::install_what_can_be_had(&others));
        let for_node = scope.spawn(|| node::test_libraries(workspace));
        let for_python = python::test_libraries(workspace);
        (for_others.join(), for_python, for_node.join())
    });
    unavailable.extend(for_others.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    unavailable.extend(for_python);
    unavailable.extend(for_node.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    let mut or_why_not = |what: &str, file: Result<PathBuf>| {
        let error = match file {
            Ok(path) => return Some(path),
            Err(error) => error,
        };
        unavailable.push(Unavailable { what: what.to_owned(), why: format!("{error:#}") });
        None
    };
    let emulator = or_why_not("an emulator", guest::emulator(workspace));
    let guest_kernel = or_why_not("an older kernel for it", guest::kernel(workspace));
    TestNeeds { emulator, guest_kernel, unavailable }
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
