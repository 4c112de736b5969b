//! `cargo xtask test`: every test, with all that they need.

mod descendants;
mod hostile;
mod outcome;
mod plan;
mod programs;
mod real;
mod run;
mod summary;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};

use crate::build::{AS_FOR_TESTS, bpf_object, host_programs};
use crate::command::{cargo, in_ci, run, step};
use crate::lock::Exclusive;
use crate::packages;
use crate::setup::{TestNeeds, bpf_tools, test_needs};
use crate::workspace::Workspace;
use programs::Program;
use run::{Report, Setting};

/// Run every test
#[derive(clap::Args)]
pub struct Arguments {
    /// Play ten turns with a real model and a real voice instead: downloads 250 MB once, takes minutes
    #[arg(long, conflicts_with = "cargo_test")]
    real: bool,
    /// Run the hostile suite, all of it, instead, and make a table of what came of each case
    #[arg(long, conflicts_with_all = ["cargo_test", "real"])]
    hostile: bool,
    /// Handed on to `cargo test`, for instance `-p da-server NAME`; without it all tests run, several
    /// programs at once
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo_test: Vec<OsString>,
}

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

/// The variable that says for how many seconds random tests go on.
const FUZZ_SECONDS: &str = "DA_FUZZ_SECONDS";

/// Elsewhere it is 2.
const FUZZ_SECONDS_IN_CI: &str = "20";

/// Runs the tests.
pub fn test(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let _alone = Exclusive::Tests.wait(workspace)?;
    if arguments.real {
        return real::test(workspace);
    }
    if arguments.hostile {
        return hostile::test(workspace);
    }
    let privilege = Privilege::of_this_process();
    let all = arguments.cargo_test.is_empty();
    // What installs packages too comes first.
    bpf_tools(workspace)?;
    // Side by side: to download and unpack is mostly to wait.
    let (needs, programs) = thread::scope(|scope| {
        let needs = scope.spawn(|| test_needs(workspace));
        // Tests of one package start programs of others: cargo builds those only if it builds all tests.
        let build = |()| match all {
            true => build().map(Some),
            false => host_programs(&["--bins", AS_FOR_TESTS]).map(|_| None),
        };
        let programs = bpf_object(workspace).and_then(build);
        (needs.join(), programs)
    });
    let needs = needs.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let setting = setting(workspace, &needs, privilege)?;
    let outcome = if let Some(programs) = programs? {
        everything(programs, &needs, &setting)
    } else {
        step("run the tests");
        let outcome = run(&mut of_cargo(&arguments.cargo_test, &setting)?);
        eprintln!("{}", summary::not_installed(&needs.unavailable));
        outcome
    };
    if privilege == Privilege::None {
        eprintln!(
            "\nNOT TESTED: the BPF programs. Loading them takes root: type\n\n    \
             sudo --preserve-env env \"PATH=$PATH\" cargo xtask test\n"
        );
    }
    eprintln!("What the tests left to look at is in {}", workspace.test_output().display());
    outcome
}

fn build() -> Result<Vec<Program>> {
    step("build the tests");
    programs::build(&[])
}

/// Runs every test program; a red one keeps no other from running.
fn everything(programs: Vec<Program>, needs: &TestNeeds, setting: &Setting) -> Result<()> {
    let plan = plan::plan(programs);
    step("run the tests");
    let mut reports = run::all(plan.together, plan::AT_ONCE, setting);
    reports.extend(run::all(plan.alone, 1, setting));
    println!("{}", summary::text(&reports, &needs.unavailable));
    if !reports.iter().all(Report::is_green) {
        bail!("not all tests passed: see above");
    }
    if in_ci() && !needs.unavailable.is_empty() {
        bail!("what tests drive could not be installed: see above");
    }
    if in_ci() && reports.iter().any(Report::has_skipped) {
        bail!("tests were skipped, which CI takes for a failure: see above");
    }
    Ok(())
}

/// `cargo test`, with what is set for all tests.
fn of_cargo(arguments: &[OsString], setting: &Setting) -> Result<Command> {
    let mut command = cargo("test");
    command.arg("--no-fail-fast");
    command.envs(setting.environment.iter().map(|(name, value)| (name, value)));
    for name in &setting.removed {
        command.env_remove(name);
    }
    if let Some(starter) = &setting.starter {
        command.arg("--config").arg(runner(starter)?);
    }
    command.args(arguments);
    Ok(command)
}

/// What is the same for all test programs.
fn setting(workspace: &Workspace, needs: &TestNeeds, privilege: Privilege) -> Result<Setting> {
    let output = workspace.test_output();
    let logs = output.join("logs");
    fs::create_dir_all(&logs).with_context(|| format!("cannot create {}", logs.display()))?;
    let mut environment = vec![("DA_TEST_OUTPUT", output.into()), ("PATH", packages::path())];
    let mut set = |name, value: OsString| environment.push((name, value));
    if let Some(program) = &needs.emulator {
        set("DA_EMULATOR", program.into());
    }
    if let Some(image) = &needs.guest_kernel {
        set("DA_GUEST_KERNEL", image.into());
    }
    if in_ci() && env::var_os(FUZZ_SECONDS).is_none() {
        set(FUZZ_SECONDS, FUZZ_SECONDS_IN_CI.into());
    }
    // To the tests its mere presence means that they must run.
    let removed = if in_ci() { Vec::new() } else { vec!["CI"] };
    let script = workspace.root().join("xtask/run-test.sh");
    let starter = (privilege == Privilege::Sudo).then_some(script);
    Ok(Setting { environment, removed, starter, logs })
}

impl Privilege {
    fn of_this_process() -> Self {
        if packages::is_root() {
            Self::Root
        } else if packages::sudo_asks_for_nothing() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::answer;

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
        let path = folder.path().display();
        let as_root = format!("--non-interactive --preserve-env env PATH={path} /");
        let asked = run(program("kernel-1a2b", "echo ran")).unwrap();
        assert!(asked.starts_with(&as_root), "{asked}");
        let asked = run(program("shipped-1a2b", "echo ran")).unwrap();
        assert!(asked.starts_with(&as_root), "{asked}");
        let asked = run(program("documents-1a2b", "echo ran")).unwrap();
        assert!(asked.starts_with(&as_root), "{asked}");
        assert_eq!(run(program("game-1a2b", "echo ran")).as_deref(), Some("ran"));
    }
}
