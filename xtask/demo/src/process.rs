//! The programs that the demo starts, and their sure end.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long a program may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running program. It ends with this value at the latest, and with this process.
pub struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Starts `command`, with what it says on standard error in `log`.
    ///
    /// To be called from the main thread: the kernel ends the program when the thread that started
    /// it ends.
    pub fn start(name: &'static str, mut command: Command, log: &Path) -> Result<Self> {
        let log_file =
            File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        // In a group of its own, Ctrl-C reaches it only through us, and it can end in good order.
        command
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file);
        // SAFETY: between fork and exec only async-signal-safe calls are allowed. This is a single
        // system call on integers; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| {
                set_parent_process_death_signal(Some(Signal::TERM)).map_err(io::Error::from)
            });
        }
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child })
    }

    /// What the program says on standard output; the first time only.
    pub fn output(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// What the program is called here.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks it to end, and sees that it does.
    pub async fn stop(mut self) {
        for signal in [Signal::TERM, Signal::KILL] {
            let Some(group) = self.child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?))
            else {
                return; // it has ended already
            };
            // It may end in this very moment: then there is nothing left to signal.
            let _ = kill_process_group(group, signal);
            if timeout(PATIENCE, self.child.wait()).await.is_ok() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("sh", command, &folder.join("log")).unwrap()
    }

    #[tokio::test]
    async fn a_program_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("left");
        let script = format!("(sleep 1; touch {}) & sleep 60", left.display());
        let mut process = shell(&script, folder.path());
        assert!(process.ended().is_none());
        tokio::time::sleep(Duration::from_millis(200)).await;
        process.stop().await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(!left.exists(), "what the shell started went on");
    }

    #[tokio::test]
    async fn its_complaints_are_in_the_log_and_its_end_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = shell("echo no luck >&2; exit 3", folder.path());
        process.child.wait().await.unwrap();
        assert_eq!(process.ended().and_then(|status| status.code()), Some(3));
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert_eq!(log, "no luck\n");
    }
}
