//! A program that a benchmark starts, and its sure end.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

/// How long a program may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running program. It ends with this value at the latest.
pub struct Running {
    name: String,
    child: Child,
    said: PathBuf,
}

impl Running {
    /// Starts `command`; all that it says goes into a file of `folder`.
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let said = folder.join(format!("{name}.log"));
        let log =
            File::create(&said).with_context(|| format!("cannot write {}", said.display()))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // SAFETY: between fork and exec only async-signal-safe calls are allowed. This is a single
        // system call on integers; it allocates nothing and takes no lock.
        unsafe {
            command.pre_exec(|| {
                set_parent_process_death_signal(Some(Signal::KILL)).map_err(io::Error::from)
            });
        }
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, said })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Waits until `is_ready`.
    ///
    /// # Errors
    /// It ended, or took too long; with what it said last.
    pub fn wait_until(&mut self, is_ready: impl Fn(&Self) -> bool) -> Result<()> {
        let begun = Instant::now();
        while !is_ready(self) {
            let ended = self.child.try_wait()?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let said = self.said();
                bail!("{} did not begin. It said: {}", self.name, said.trim());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Asks it to end as a user would, waits, and returns all that it said.
    ///
    /// # Errors
    /// It does not end.
    pub fn interrupt(mut self) -> Result<String> {
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended by itself: then what it said tells why.
            let _ = kill_process(pid, Signal::INT);
        }
        let begun = Instant::now();
        while self.ended()?.is_none() {
            if begun.elapsed() > PATIENCE {
                bail!("{} does not end", self.name);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(self.said())
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing is left to be done about it where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
