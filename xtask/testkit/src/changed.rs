//! Files that are shipped, as a test changes them for itself.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// A file's text, to be changed in places that must be there.
pub struct Changed(String);

impl Changed {
    /// The text as it is shipped.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path);
        text.map(Self).with_context(|| format!("cannot read {}", path.display()))
    }

    /// The same with `to` wherever it had `from`.
    ///
    /// # Errors
    /// If `from` is not there: the test would go on with what is shipped.
    pub fn replace(self, from: &str, to: &str) -> Result<Self> {
        ensure!(self.0.contains(from), "the configuration has no {from} any more");
        Ok(Self(self.0.replace(from, to)))
    }

    /// Leaves it at `path`.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write(self, path: &Path) -> Result<()> {
        fs::write(path, self.0).with_context(|| format!("cannot write {}", path.display()))
    }
}
