//! Starting test programs, and what comes of each.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::descendants;
use super::outcome::{self, End, Test};
use super::plan::Run;

/// After so long a program is ended: something in it waits for ever.
const DEADLINE: Duration = Duration::from_secs(2_400);

/// What all programs have in common.
pub struct Setting {
    /// Variables for all of them.
    pub environment: Vec<(&'static str, OsString)>,
    /// Variables that they are not to have.
    pub removed: Vec<&'static str>,
    /// A script through which they are started, if they need one: some as root.
    pub starter: Option<PathBuf>,
    /// Where their output goes, a file each.
    pub logs: PathBuf,
}

/// What came of a run.
pub struct Report {
    /// Its name.
    pub name: String,
    /// Every test that ended.
    pub tests: Vec<Test>,
    /// From its start to its end.
    pub took: Duration,
    /// Where all of its output is.
    pub log: PathBuf,
    /// What is wrong with the program itself, where it is more than its failed tests say.
    pub fault: Option<String>,
}

impl Report {
    /// How many of its tests ended like this.
    pub fn count(&self, end: End) -> usize {
        self.tests.iter().filter(|test| test.end == end).count()
    }

    /// Whether a test said that it can't run here.
    pub fn has_skipped(&self) -> bool {
        self.tests.iter().any(|test| test.skipped().is_some())
    }

    /// Whether all is as it should be.
    pub fn is_green(&self) -> bool {
        self.fault.is_none() && self.count(End::Failed) == 0
    }
}

/// Executes `runs` in their order, so many of them `at_once`, and tells of each when it ends.
pub fn all(runs: Vec<Run>, at_once: usize, setting: &Setting) -> Vec<Report> {
    let (waiting, done) = (Mutex::new(VecDeque::from(runs)), Mutex::new(Vec::new()));
    let next = || lock(&waiting).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(run) = next() {
                    let report = execute(&run, setting);
                    tell(&report);
                    lock(&done).push(report);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn execute(run: &Run, setting: &Setting) -> Report {
    let log = setting.logs.join(format!("{}.log", run.name.replace([' ', ',', '(', ')'], "-")));
    let began = Instant::now();
    let ended = start(run, setting, &log).and_then(|child| wait(child, setting));
    let took = began.elapsed();
    let output = fs::read(&log).unwrap_or_default();
    let output = String::from_utf8_lossy(&output);
    let tests = outcome::read(&output);
    let fault = match ended {
        Err(error) => Some(format!("{error:#}")),
        Ok(status) => fault(status, &tests, &output).or_else(|| unmatched(run, &tests)),
    };
    Report { name: run.name.clone(), tests, took, log, fault }
}

fn start(run: &Run, setting: &Setting, log: &Path) -> Result<Child> {
    let create = |path: &Path| {
        File::create(path).with_context(|| format!("cannot write {}", path.display()))
    };
    let program = &run.program;
    let mut command = match &setting.starter {
        None => Command::new(&program.path),
        Some(starter) => {
            let mut command = Command::new(starter);
            command.arg(&program.path);
            command
        }
    };
    command
        .args(["--show-output", "-Zunstable-options", "--report-time"])
        .args(&run.arguments)
        .args(&run.filters)
        .current_dir(&program.folder)
        .envs(setting.environment.iter().map(|(name, value)| (name, value)))
        .envs(run.environment.iter().copied())
        // As cargo would have it.
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .env("CARGO_PKG_NAME", &program.package)
        // Only with it does libtest tell the time of a test. Tests that run cargo take it away again.
        .env("RUSTC_BOOTSTRAP", "1")
        .stdin(Stdio::null())
        // Apart from the results: what a child of a test writes would stand in the middle of their lines.
        .stderr(create(&log.with_extension("stderr"))?)
        .stdout(create(log)?);
    for name in &setting.removed {
        command.env_remove(name);
    }
    command.spawn().with_context(|| format!("cannot start {}", program.path.display()))
}

fn wait(mut child: Child, setting: &Setting) -> Result<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if began.elapsed() > DEADLINE {
            descendants::end(child.id(), setting.starter.is_some());
            child.wait()?;
            anyhow::bail!("it was ended, since it was not done after {} s", DEADLINE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A filter that no test has in its name: one was renamed, and does not run any more.
fn unmatched(run: &Run, tests: &[Test]) -> Option<String> {
    let matches = |filter: &&String| !tests.iter().any(|test| test.name.contains(*filter));
    let filter = run.filters.iter().find(matches)?;
    Some(format!("no test is called {filter}: xtask/src/test/plan.rs names it"))
}

/// What is wrong beyond what the failed tests say: nothing, if the exit code and libtest's own count
/// agree with what was read.
fn fault(status: ExitStatus, tests: &[Test], output: &str) -> Option<String> {
    let failed = tests.iter().any(|test| test.end == End::Failed);
    if !status.success() && !failed {
        return Some(format!("it ended with {status}, and no test says why"));
    }
    let result = output.lines().rev().find_map(|line| line.strip_prefix("test result: "));
    let Some(result) = result else {
        return Some(format!("it ended with {status} before all tests were done"));
    };
    let counted: usize =
        ["passed", "failed", "ignored"].map(|word| count(result, word)).iter().sum();
    (counted != tests.len()).then(|| {
        let read = tests.len();
        format!(
            "its own count is {counted} tests, and its output shows {read}: something was printed \
                 into the middle of a line"
        )
    })
}

/// The number before a word, as in `2 passed; 1 failed`.
fn count(result: &str, word: &str) -> usize {
    let words: Vec<_> = result.split([' ', ';', '.']).collect();
    let at = words.iter().position(|one| *one == word).unwrap_or(0);
    at.checked_sub(1).and_then(|before| words[before].parse().ok()).unwrap_or(0)
}

fn tell(report: &Report) {
    eprintln!(
        "    {:<6} {:<32} {:>4} passed {:>3} failed {:>7.1} s",
        if report.is_green() { "ok" } else { "FAILED" },
        report.name,
        report.count(End::Passed),
        report.count(End::Failed),
        report.took.as_secs_f64()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::programs::Program;

    /// What becomes of a program that is this script, of which these tests are wanted.
    fn report_of(script: &str, filters: &[&str]) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        let starter = folder.path().join("starter");
        fs::write(&starter, "#!/bin/sh\nexec sh \"$@\"\n").unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&starter, executable).unwrap();
        let program = Program {
            name: "a b".to_owned(),
            package: "a".to_owned(),
            folder: folder.path().to_owned(),
            path,
        };
        let run = Run {
            name: program.name.clone(),
            program,
            filters: filters.iter().map(|name| (*name).to_owned()).collect(),
            arguments: Vec::new(),
            environment: vec![("WHO", "me")],
        };
        let logs = folder.path().to_owned();
        let (environment, removed) = (Vec::new(), vec!["CARGO_MANIFEST_DIR"]);
        let setting = Setting { environment, removed, starter: Some(starter), logs };
        let mut reports = all(vec![run], 2, &setting);
        assert_eq!(reports.len(), 1);
        reports.remove(0)
    }

    fn report(script: &str) -> Report {
        report_of(script, &[])
    }

    const RESULT: &str = "echo 'test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured'";

    #[test]
    fn a_green_program_has_its_tests_and_its_environment() {
        let line = "test $WHO::$CARGO_PKG_NAME$CARGO_MANIFEST_DIR ... ok <0.5s>";
        let green = report(&format!("echo into the middle >&2; echo \"{line}\"; {RESULT}"));
        assert_eq!(green.fault, None);
        assert!(green.is_green());
        assert_eq!(green.tests[0].name, "me::a");
    }

    #[test]
    fn a_filter_that_no_test_answers_to_is_a_fault() {
        let script = format!("echo 'test one::two ... ok <0.5s>'; {RESULT}");
        assert_eq!(report_of(&script, &["one::"]).fault, None);
        let fault = report_of(&script, &["one::", "three::"]).fault;
        assert!(fault.is_some_and(|fault| fault.contains("no test is called three::")));
    }

    #[test]
    fn a_program_that_ends_early_or_miscounts_is_at_fault_and_the_others_go_on() {
        let died = report("echo 'test one ... ok <0.5s>'; kill -9 $$");
        assert!(died.fault.is_some_and(|fault| fault.contains("signal: 9")));
        let silent = report("echo 'test one ... ok <0.5s>'");
        assert!(silent.fault.is_some_and(|fault| fault.contains("before all tests")));
        let miscounted = report(RESULT);
        assert!(miscounted.fault.is_some_and(|fault| fault.contains("shows 0")));
    }
}
