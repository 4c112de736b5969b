//! Which Rust compiler here can build BPF programs.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{answer, as_caller, cargo};
use crate::packages::{self, BPF_COMPILER, BPF_LINTER};
use crate::workspace::{BPF_TARGET, Workspace};

/// The folder of what is unpacked, among the tools.
const UNPACKED: &str = "rustc-web";

/// Where Debian has shared libraries, below `lib`.
#[cfg(target_arch = "x86_64")]
const LIBRARIES: &str = "x86_64-linux-gnu";
#[cfg(target_arch = "aarch64")]
const LIBRARIES: &str = "aarch64-linux-gnu";

/// A compiler that can build for [`BPF_TARGET`], for which rustup has no ready-made `core`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Toolchain {
    /// rustup's nightly with its `rust-src` component: `core` is compiled from source.
    Nightly {
        /// The folder of that toolchain.
        sysroot: PathBuf,
    },
    /// A compiler of the operating system's, with `core` compiled for the target beside it.
    System {
        /// The compiler.
        rustc: PathBuf,
        /// The folder that holds `bin` and `lib` of that compiler.
        sysroot: PathBuf,
        /// Where its own libraries are, if the system's loader does not look there: it was unpacked
        /// beside the project.
        libraries: Option<PathBuf>,
    },
}

impl Toolchain {
    /// The first usable compiler: rustup's nightly, every `rustc` of `PATH` in its order, one that was
    /// unpacked beside the project.
    pub fn detect(workspace: &Workspace) -> Option<Self> {
        nightly(nightly_sysroot())
            .or_else(|| system(&env::var_os("PATH")?, sysroot_of))
            .or_else(|| unpacked(&packages::unpacked_in(&workspace.tools().join(UNPACKED))?))
    }

    /// Unpacks Debian's compiler and its linter beside the project: an installed one may be in the way.
    ///
    /// # Errors
    /// If they can't be had.
    pub fn unpack(workspace: &Workspace) -> Result<Self> {
        let names = BPF_COMPILER.iter().chain(BPF_LINTER).map(|package| package.name);
        let names: Vec<_> = names.collect();
        let root = packages::unpack(&names, &workspace.tools().join(UNPACKED))?;
        unpacked(&root).with_context(|| format!("no rustc in {}", root.display()))
    }

    /// A command that starts this compiler, or looks at it.
    pub fn with_libraries(&self, mut command: Command) -> Command {
        if let Self::System { libraries: Some(libraries), .. } = self {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// What was found, for the reader of a log.
    pub fn describe(&self) -> String {
        match self {
            Self::Nightly { sysroot } => {
                format!("rustup's nightly with rust-src in {}", sysroot.display())
            }
            Self::System { rustc, .. } => {
                format!("{} with core for {BPF_TARGET}", rustc.display())
            }
        }
    }

    /// The compiler itself, not rustup's stand-in for it.
    pub fn rustc(&self) -> PathBuf {
        match self {
            Self::Nightly { sysroot } => sysroot.join("bin/rustc"),
            Self::System { rustc, .. } => rustc.clone(),
        }
    }

    /// Clippy of exactly this compiler: only that one can read the `core` it compiles against.
    fn cargo_clippy(&self) -> PathBuf {
        self.rustc().with_file_name("cargo-clippy")
    }

    /// Whether the linter that belongs to this compiler is there.
    pub fn has_clippy(&self) -> bool {
        self.cargo_clippy().is_file()
    }

    /// `cargo SUBCOMMAND` with this compiler and the BPF target.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = match self {
            Self::Nightly { .. } => {
                let mut command = cargo("+nightly");
                command.args([subcommand, "-Z", "build-std=core"]);
                command
            }
            Self::System { rustc, .. } => {
                let command = if subcommand == "clippy" {
                    let mut linter = as_caller(Command::new(self.cargo_clippy()));
                    linter.arg(subcommand);
                    linter
                } else {
                    cargo(subcommand)
                };
                let mut command = self.with_libraries(command);
                // The programs use what is stable on nightly only; an operating system ships the
                // stable compiler, which allows it when asked in this way.
                command
                    .env("RUSTC", rustc)
                    .env("RUSTDOC", rustc.with_file_name("rustdoc"))
                    .env("RUSTC_BOOTSTRAP", "1");
                command
            }
        };
        command.args(["--target", BPF_TARGET]);
        command
    }
}

fn nightly(sysroot: Option<PathBuf>) -> Option<Toolchain> {
    let sysroot = sysroot?;
    // The toolchain may be installed without the component, so look for the source itself.
    sysroot
        .join("lib/rustlib/src/rust/library/core/src/lib.rs")
        .is_file()
        .then_some(Toolchain::Nightly { sysroot })
}

fn nightly_sysroot() -> Option<PathBuf> {
    // Asking must not make rustup download the toolchain.
    answer(
        Command::new("rustc")
            .args(["+nightly", "--print", "sysroot"])
            .env("RUSTUP_AUTO_INSTALL", "0"),
    )
    .map(PathBuf::from)
}

fn system(path: &OsStr, sysroot_of: impl Fn(&Path) -> Option<PathBuf>) -> Option<Toolchain> {
    env::split_paths(path)
        .map(|folder| folder.join("rustc"))
        .filter(|rustc| rustc.is_file())
        .find_map(|rustc| {
            let sysroot = sysroot_of(&rustc)?;
            has_bpf_core(&sysroot).then_some(Toolchain::System { rustc, sysroot, libraries: None })
        })
}

/// The compiler in the root of unpacked packages.
fn unpacked(root: &Path) -> Option<Toolchain> {
    let sysroot = root.join("usr");
    let rustc = sysroot.join("bin/rustc");
    let libraries = Some(sysroot.join("lib").join(LIBRARIES));
    let is_there = rustc.is_file() && has_bpf_core(&sysroot);
    is_there.then_some(Toolchain::System { rustc, sysroot, libraries })
}

fn sysroot_of(rustc: &Path) -> Option<PathBuf> {
    answer(Command::new(rustc).args(["--print", "sysroot"])).map(PathBuf::from)
}

fn has_bpf_core(sysroot: &Path) -> bool {
    let libraries = sysroot.join("lib/rustlib").join(BPF_TARGET).join("lib");
    fs::read_dir(libraries).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }

    /// A machine's folders: a rustup-like `home` and an operating system's `usr`.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            let machine = Self(tempfile::tempdir().unwrap());
            touch(&machine.at("home/bin/rustc"));
            machine
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn system(&self) -> Option<Toolchain> {
            let path =
                env::join_paths([self.at("home/bin"), self.at("nowhere/bin"), self.at("usr/bin")])
                    .unwrap();
            // Like rustc, a sysroot is the folder above `bin`.
            system(&path, |rustc| rustc.ancestors().nth(2).map(Path::to_owned))
        }
    }

    #[test]
    fn a_nightly_without_the_source_of_core_is_not_usable() {
        let machine = Machine::new();
        let sysroot = machine.at("nightly");
        touch(&sysroot.join("bin/rustc"));
        assert_eq!(nightly(Some(sysroot.clone())), None);

        touch(&sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs"));
        assert_eq!(nightly(Some(sysroot.clone())), Some(Toolchain::Nightly { sysroot }));
        assert_eq!(nightly(None), None);
    }

    #[test]
    fn a_system_compiler_counts_only_with_core_for_the_target() {
        let machine = Machine::new();
        assert_eq!(machine.system(), None);

        touch(&machine.at("usr/bin/rustc"));
        touch(&machine.at("usr/lib/rustlib/bpfel-unknown-none/lib/liballoc-1.rlib"));
        touch(&machine.at("usr/lib/rustlib/x86_64-unknown-linux-gnu/lib/libcore-1.rlib"));
        assert_eq!(machine.system(), None);

        touch(&machine.at("usr/lib/rustlib/bpfel-unknown-none/lib/libcore-1.rlib"));
        assert_eq!(
            machine.system(),
            Some(Toolchain::System {
                rustc: machine.at("usr/bin/rustc"),
                sysroot: machine.at("usr"),
                libraries: None,
            })
        );
    }

    #[test]
    fn an_unpacked_compiler_is_started_with_its_own_libraries() {
        let machine = Machine::new();
        touch(&machine.at("root/usr/bin/rustc"));
        assert_eq!(unpacked(&machine.at("root")), None, "without core for the target");
        touch(&machine.at("root/usr/lib/rustlib/bpfel-unknown-none/lib/libcore-1.rlib"));
        let found = unpacked(&machine.at("root")).unwrap();
        let command = found.with_libraries(Command::new("ldd"));
        let expected = machine.at("root/usr/lib").join(LIBRARIES);
        assert!(
            command
                .get_envs()
                .any(|set| { set == (OsStr::new("LD_LIBRARY_PATH"), Some(expected.as_os_str())) })
        );
    }

    #[test]
    fn the_linter_must_be_the_one_beside_the_compiler() {
        let machine = Machine::new();
        touch(&machine.at("home/bin/cargo-clippy"));
        let toolchain = Toolchain::System {
            rustc: machine.at("usr/bin/rustc"),
            sysroot: machine.at("usr"),
            libraries: None,
        };
        assert!(!toolchain.has_clippy());
        touch(&machine.at("usr/bin/cargo-clippy"));
        assert!(toolchain.has_clippy());
    }
}
