//! What every benchmark is given.

use std::path::PathBuf;

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
    /// One of two numbers, by how long it may take.
    pub fn pace<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}
