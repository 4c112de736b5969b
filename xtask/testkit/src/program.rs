//! Programs that are started, what they say, and their sure end.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};

/// How long a program may take to end when it is asked to, before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same where it is waited for because of what it says at its end.
const ENDING: Duration = Duration::from_secs(30);
/// How often to look whether what is waited for has happened.
const LOOK: Duration = Duration::from_millis(20);

/// A running program in a process group of its own. It ends with this value, and with the thread
/// that started it, however that ends.
pub struct Program {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts `command`. All that it says goes to `log`.
    ///
    /// # Errors
    /// If there is no such program, or the log can't be written.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let path = Path::new(command.get_program());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.process_group(0).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // SAFETY: between fork and exec only async-signal-safe calls are allowed. This is a single
        // system call on integers; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| {
                set_parent_process_death_signal(Some(Signal::TERM)).map_err(io::Error::from)
            });
        }
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, log: log.to_owned(), child })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Asks `found` of what the program has said, over and over, until there is an answer.
    ///
    /// # Errors
    /// With its last lines, if it ends before that, or `patience` does.
    pub fn wait_for<T>(
        &mut self,
        patience: Duration,
        mut found: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            let ended = self.ended()?;
            let said = self.said();
            if let Some(found) = found(&said) {
                return Ok(found);
            }
            if ended.is_some() || begun.elapsed() > patience {
                let lines: Vec<_> = said.lines().rev().take(5).collect();
                let last: Vec<_> = lines.into_iter().rev().collect();
                bail!("{} {}; it said\n{}", self.name, how(ended), last.join("\n"));
            }
            sleep(LOOK);
        }
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot look after {}", self.name))
    }

    /// Sends it this signal, waits until it has ended, and hands over all that it said.
    ///
    /// # Errors
    /// If it goes on.
    pub fn end(mut self, signal: Signal) -> Result<String> {
        // It may have ended by itself: then what it said tells why.
        self.signal(signal);
        let begun = Instant::now();
        while self.ended()?.is_none() {
            ensure!(begun.elapsed() < ENDING, "{} goes on", self.name);
            sleep(LOOK);
        }
        Ok(self.said())
    }

    /// Signals it and all that it started.
    fn signal(&self, signal: Signal) {
        let group = self.child.id().try_into().ok().and_then(Pid::from_raw);
        // Nobody may be left in the group: then there is nothing to end.
        let _ = group.map(|group| kill_process_group(group, signal));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && matches!(self.ended(), Ok(None)) {
            sleep(LOOK);
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

fn how(ended: Option<ExitStatus>) -> String {
    ended.map_or("took too long".to_owned(), |status| format!("ended ({status})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Program {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Program::start(command, &folder.join("log")).unwrap()
    }

    /// Whether a process is there, and not only what is left until somebody asks how it ended.
    fn runs(id: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn a_program_ends_with_its_value_and_takes_along_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = shell("sleep 600 & echo begun $!; sleep 600", folder.path());
        let begun = |said: &str| Some(said.strip_prefix("begun ")?.strip_suffix('\n')?.to_owned());
        let started = program.wait_for(PATIENCE, begun).unwrap();
        assert!(runs(&started));
        drop(program);
        let dropped = Instant::now();
        while runs(&started) {
            assert!(dropped.elapsed() < PATIENCE, "what the shell started went on");
            sleep(LOOK);
        }
    }

    #[test]
    fn one_that_ends_too_early_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let mut program = shell("echo no luck >&2; exit 3", folder.path());
        let error = program.wait_for(PATIENCE, |_| None::<()>).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("no luck"), "{error}");
    }
}
