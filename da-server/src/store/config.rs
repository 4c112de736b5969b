//! What the operator says about the store: `[store]`.

use std::path::PathBuf;

use serde::Deserialize;

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The SQLite file; made if it is not there.
    pub path: PathBuf,
    /// Conversations that nobody came back to for so long are deleted, days.
    pub retention_days: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { path: PathBuf::from("digital-actors.sqlite"), retention_days: 30 }
    }
}
