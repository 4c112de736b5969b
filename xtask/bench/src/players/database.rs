//! The databases that a server can have.

use std::fmt;
use std::fs;

use anyhow::Result;
use da_testkit::postgres::Postgres;

use crate::stage::Stage;

/// A database for a server.
pub struct Database {
    name: &'static str,
    setting: (&'static str, String),
    /// Ends with this.
    _server: Option<Postgres>,
}

impl Database {
    /// A file.
    pub fn sqlite(stage: &Stage) -> Result<Self> {
        let folder = stage.scratch.join("sqlite");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let setting = ("DA_STORE__PATH", folder.join("game.sqlite").display().to_string());
        Ok(Self { name: "SQLite", setting, _server: None })
    }

    /// A PostgreSQL as its package configures it, so with `fsync`, reached over its socket.
    pub fn postgres() -> Self {
        let server = Postgres::new();
        server.run_with(&[]);
        let setting = ("DATABASE_URL", server.url("postgres"));
        Self { name: "PostgreSQL", setting, _server: Some(server) }
    }

    /// The variable that leads a server to it, and its value.
    pub fn setting(&self) -> (&'static str, &str) {
        (self.setting.0, &self.setting.1)
    }
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}
