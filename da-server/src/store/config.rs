//! What the operator says about the store: `[store]`.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::{DatabaseUrl, DatabaseUrlError};

/// `[store]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The SQLite file; made if it is not there.
    pub path: PathBuf,
    /// Conversations that nobody came back to for so long are deleted, days.
    pub retention_days: u32,
    /// A file that holds the URL of a PostgreSQL database, to be used in place of the SQLite file.
    pub url_file: Option<PathBuf>,
    /// The URL itself, which is never in the configuration file; it wins over the file above.
    #[serde(skip)]
    pub url: Option<DatabaseUrl>,
    /// Connections to the PostgreSQL database.
    pub max_connections: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("digital-actors.sqlite"),
            retention_days: 30,
            url_file: None,
            url: None,
            max_connections: 8,
        }
    }
}

impl StoreConfig {
    /// The host and the port of the database's server, if that is asked over the network. An URL that
    /// can't be read is told of where the store is made.
    pub fn server(&self) -> Option<(String, u16)> {
        match self.database().ok()? {
            Database::Sqlite(_) => None,
            Database::Postgres { url, .. } => url.server(),
        }
    }

    /// Which database it names.
    pub(super) fn database(&self) -> Result<Database, DatabaseUrlError> {
        let url = match (&self.url, &self.url_file) {
            (Some(url), _) => url.clone(),
            (None, Some(file)) => DatabaseUrl::read(file)?,
            (None, None) => return Ok(Database::Sqlite(self.path.clone())),
        };
        Ok(Database::Postgres { url, max_connections: self.max_connections })
    }
}

/// A database, not yet opened. `Display` says which, without secrets.
#[derive(Debug, Clone)]
pub(super) enum Database {
    /// A file of this host's.
    Sqlite(PathBuf),
    /// A server, which others may use as well.
    Postgres { url: DatabaseUrl, max_connections: u32 },
}

impl StoreConfig {
    /// Logs which database is used, and which setting names it: a variable that was meant for another
    /// program must not go unnoticed.
    pub(super) fn log_which(&self, database: &Database) {
        let set_by = match (&self.url, &self.url_file) {
            (Some(_), _) => "DATABASE_URL",
            (None, Some(_)) => "store.url_file",
            (None, None) => "store.path",
        };
        tracing::info!(%database, set_by, "conversations are stored in this database");
        let is_default = self.path == Self::default().path;
        if self.url.is_some() && (self.url_file.is_some() || !is_default) {
            tracing::warn!(
                %database,
                "DATABASE_URL overrides [store]: unset it if it is meant for another program"
            );
        }
    }
}

impl Database {
    /// What an operator looks at when it can't be opened.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "check store.path, its folder's permissions and the disk",
            Self::Postgres { .. } => {
                "check DATABASE_URL or store.url_file, and whether the server runs, lets us in and takes \
                 writes"
            }
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::Postgres { url, .. } => write!(f, "{url}"),
        }
    }
}
