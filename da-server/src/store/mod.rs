//! Conversations, stored in SQLite or PostgreSQL. The only module that knows sqlx.
//!
//! The game goes on without the database: every failure is timed, counted and logged here, and the caller
//! does without the result. A database that could not be opened, or was lost, is tried again with the next
//! query, so a disk that was full or a server that was down needs no restart.
//!
//! Both databases are asked the same SQL, in `queries`; what differs is how they are opened
//! (`sqlite`, `postgres`) and how their tables are made (`migrations/`). Several servers may share
//! one: `lease` says which of them has a session. `health` checks the database once a second; `retention`
//! deletes old conversations, once the clock can be trusted.

mod config;
mod error;
mod file;
mod foreign;
mod health;
mod lease;
mod metrics;
mod pool;
mod postgres;
mod queries;
mod query_guard;
mod retention;
mod sqlite;
mod url;
mod write_health;

pub use config::StoreConfig;
pub use error::StoreError;
pub use health::DatabaseHealth;
pub use lease::LEASE_POLL_INTERVAL;
pub use metrics::{Operation, StoreMetrics};
pub use url::{DatabaseUrl, DatabaseUrlError};

use tokio::sync::watch::Sender;

use crate::metrics::ErrorMetrics;
use metrics::LeaseTransfer;
use pool::LazyPool;
use write_health::WriteHealth;

/// A connection's right to write to a session, until another connection takes it over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Finds the session, in whichever database.
    session: TokenHash,
    /// Counts the connections that had the session: a write with an older token is refused.
    fencing_token: i64,
}

impl Lease {
    /// The lease with which a session begins, whether it is in the database yet or not.
    pub fn first(session: TokenHash) -> Self {
        Self { session, fencing_token: 1 }
    }
}

/// SHA-256 of a session's token.
pub type TokenHash = [u8; 32];

/// A session to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Finds it again.
    pub token_hash: TokenHash,
    /// The scene's id.
    pub scene: String,
    /// The difficulty's name.
    pub difficulty: String,
    /// The state of the scene, JSON.
    pub world: String,
}

/// A session that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSession {
    /// The right to go on with it.
    pub lease: Lease,
    /// The scene's id.
    pub scene: String,
    /// The difficulty's name.
    pub difficulty: String,
    /// The state of the scene, JSON.
    pub world: String,
}

/// Who asked in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedBy {
    /// The player's own words.
    Player,
    /// A direction of the scene.
    Scene,
}

/// How a turn that has an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnStatus {
    /// With the whole answer.
    Success,
    /// In the middle, by a failure.
    Error,
    /// In the middle, by the player.
    Cancelled,
}

/// One exchange of a conversation. `Debug` is left out on purpose: these are people's words.
#[derive(Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who asked.
    pub asked_by: AskedBy,
    /// What was asked.
    pub asked: String,
    /// What the character said, as far as it came.
    pub answer: String,
    /// How it ended.
    pub status: TurnStatus,
}

/// The conversations.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    lazy_pool: LazyPool,
    metrics: StoreMetrics,
    errors: ErrorMetrics,
    write_health: WriteHealth,
    health: Sender<DatabaseHealth>,
    /// Tells this server from others that share the database.
    server: i64,
}

impl Store {
    /// A store that opens its database with the first query.
    ///
    /// # Errors
    /// `config` names a file that should hold a URL and does not.
    pub fn new(
        config: StoreConfig,
        metrics: StoreMetrics,
        errors: ErrorMetrics,
    ) -> Result<Self, DatabaseUrlError> {
        let database = config.database()?;
        config.log_which(&database);
        let lazy_pool = LazyPool::new(database, metrics.clone());
        let (health, _) = tokio::sync::watch::channel(DatabaseHealth::Unknown);
        let (write_health, server) = (WriteHealth::default(), rand::random());
        Ok(Self { config, lazy_pool, metrics, errors, write_health, health, server })
    }

    /// Waits for running queries and closes the database, so that SQLite folds its log back into
    /// the file.
    pub async fn close(&self) {
        self.lazy_pool.close().await;
    }
}

#[cfg(test)]
mod tests;
