//! `cargo xtask test`: every test, with all that they need.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::bpf_object;
use crate::command::{answer, cargo, run, step};
use crate::guest_kernel::guest_kernel;
use crate::setup::test_programs;
use crate::workspace::Workspace;

/// Run every test
#[derive(clap::Args)]
pub struct Arguments {
    /// Handed on to `cargo test`, for instance `-p da-server NAME`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo_test: Vec<OsString>,
}

/// Of the kernel tests those that are run a second time, with `DA_TEST_OLDER_HOOKS`: what the hooks
/// of older kernels see by other means than those of newer ones.
const WITH_OLDER_HOOKS: &[&str] = &[
    "accuracy::tls13_keep_alive",
    "edges::",
    "existing::behind_tls",
    "existing::in_the_clear",
    "network::",
    "outcomes::",
    "streams::",
];

/// How the tests that load BPF programs come by the privilege to do so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privilege {
    /// All tests have it.
    Root,
    /// Those tests get it from sudo.
    Sudo,
    /// There is none: those tests say that they were skipped.
    None,
}

/// Runs the tests.
pub fn test(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    test_programs(workspace)?;
    bpf_object(workspace)?;
    let output = workspace.test_output();
    fs::create_dir_all(&output).with_context(|| format!("cannot create {}", output.display()))?;

    let guest_kernel = guest_kernel(workspace)?;

    let privilege = Privilege::of_this_process();
    let tests = || -> Result<Command> {
        let mut command = cargo("test");
        command.arg("--no-fail-fast").env("DA_TEST_OUTPUT", &output);
        if let Some(image) = &guest_kernel {
            command.env("DA_GUEST_KERNEL", image);
        }
        if privilege == Privilege::Sudo {
            let script = workspace.root().join("xtask/run-test.sh");
            command.arg("--config").arg(runner(&script)?);
        }
        if privilege == Privilege::Sudo || in_ci() {
            command.env("DA_REQUIRE_KERNEL", "1");
        }
        Ok(command)
    };
    step("run the tests");
    run(tests()?.args(&arguments.cargo_test))?;
    if arguments.cargo_test.is_empty() {
        step("run some again, with the hooks of older kernels");
        let again = ["--package", "da-server", "--test", "kernel", "--"];
        run(tests()?.args(again).args(WITH_OLDER_HOOKS).env("DA_TEST_OLDER_HOOKS", "1"))?;
    }

    if privilege == Privilege::None {
        eprintln!(
            "\nNOT TESTED: the BPF programs. Loading them takes root: type\n\n    \
             sudo --preserve-env env \"PATH=$PATH\" cargo xtask test\n"
        );
    }
    eprintln!("\nWhat the tests left to look at is in {}", output.display());
    Ok(())
}

impl Privilege {
    fn of_this_process() -> Self {
        if rustix::process::geteuid().is_root() {
            Self::Root
        } else if answer(Command::new("sudo").args(["--non-interactive", "true"])).is_some() {
            Self::Sudo
        } else {
            Self::None
        }
    }
}

/// The setting by which cargo starts every test program through `script`.
fn runner(script: &Path) -> Result<String> {
    let script = script.to_str().context("the repository's path is not UTF-8")?;
    Ok(format!("target.'cfg(unix)'.runner = [{}]", toml::Value::from(script)))
}

/// Whether this runs in continuous integration, where a test that can't run is a failure.
fn in_ci() -> bool {
    env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runner_survives_any_path() {
        let path = Path::new("/home/it's \"here\"/run.sh");
        let setting: toml::Table = runner(path).unwrap().parse().unwrap();
        let words = &setting["target"]["cfg(unix)"]["runner"];
        assert_eq!(words[0].as_str().map(Path::new), Some(path));
        assert_eq!(words.as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn only_what_loads_bpf_programs_is_run_as_root() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, script: &str| {
            let path = folder.path().join(name);
            fs::copy("/bin/sh", &path).unwrap();
            (path, ["-c".to_owned(), script.to_owned()])
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("run-test.sh");
        let run = |(path, words): (std::path::PathBuf, [String; 2])| {
            // A sudo of our own tells that it was asked.
            let sudo = folder.path().join("sudo");
            let _ = std::os::unix::fs::symlink("/bin/echo", sudo);
            answer(Command::new(&script).arg(path).args(words).env("PATH", folder.path()))
        };
        let asked = run(program("kernel-1a2b", "echo ran")).unwrap();
        assert!(asked.starts_with("--non-interactive --preserve-env /"), "{asked}");
        let asked = run(program("shipped-1a2b", "echo ran")).unwrap();
        assert!(asked.starts_with("--non-interactive --preserve-env /"), "{asked}");
        assert_eq!(run(program("game-1a2b", "echo ran")).as_deref(), Some("ran"));
    }
}
