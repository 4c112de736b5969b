//! One command at a time, where two in this tree would be in each other's way.

use std::fs::{self, File, TryLockError};

use anyhow::{Context, Result};

use crate::workspace::Workspace;

/// What only one command may do at a time.
#[derive(Debug, Clone, Copy)]
pub enum Exclusive {
    /// Make compilers and linters.
    Tools,
    /// Install what the tests drive, and run them.
    Tests,
}

impl Exclusive {
    /// Waits until no other command does it; it is this one's until what is returned is dropped, or this
    /// process has ended in whatever way.
    ///
    /// # Errors
    /// If the file that is locked can't be made.
    pub fn wait(self, workspace: &Workspace) -> Result<File> {
        let (name, what) = match self {
            Self::Tools => ("tools.lock", "makes its tools"),
            Self::Tests => ("tests.lock", "runs the tests, or installs what they need"),
        };
        let folder = workspace.tools();
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(name);
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let cannot = || format!("cannot lock {}", path.display());
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("    another command {what} in this tree: waiting until it is done");
                file.lock().with_context(cannot)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot),
        }
        Ok(file)
    }
}
