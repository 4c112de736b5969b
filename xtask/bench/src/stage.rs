//! What every benchmark is given.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use da_testkit::program::Program;

/// How long a program may take to begin its work.
pub const BEGINNING: Duration = Duration::from_secs(30);

/// The programs that take part, and how long it may take.
pub struct Stage {
    /// da-server, as it is released.
    pub server: PathBuf,
    /// The object with the empty BPF program.
    pub empty_object: PathBuf,
    /// What asks a provider as the server does, and measures itself.
    pub asker: PathBuf,
    /// A folder for whatever is needed meanwhile.
    pub scratch: PathBuf,
    /// Two minutes for everything instead of fifteen.
    pub quick: bool,
}

impl Stage {
    /// Starts `command`; all that it says goes into `NAME.log`.
    pub fn start(&self, name: &str, command: Command) -> Result<Program> {
        Program::start(command, &self.scratch.join(format!("{name}.log")))
    }

    /// One of two numbers, by how long it may take.
    pub fn pace<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}
