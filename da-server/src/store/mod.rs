//! Conversations, kept in SQLite or PostgreSQL. The only room that knows sqlx.
//!
//! The game goes on without it: every failure is timed, counted and said in the log here, and the
//! caller does without what it asked for. A database that could not be opened, or was lost, is
//! tried again with the next query, so a disk that was full or a server that was down needs no
//! restart.
//!
//! Both databases are asked the same SQL, in `queries`; what differs is how they are opened
//! (`sqlite`, `postgres`) and how their tables are made (`migrations/`). Several servers may share
//! one: `handover` says who has a session. `watch` looks after it once a second, for those who ask how
//! it is; `retention` deletes what is old, once the clock can be believed.

mod asking;
mod config;
mod doubt;
mod error;
mod file;
mod foreign;
mod handover;
mod metrics;
mod pool;
mod postgres;
mod queries;
mod retention;
mod sqlite;
mod url;
mod watch;

pub use config::StoreConfig;
pub use error::StoreError;
pub use handover::LOOKED_FOR_EVERY;
pub use metrics::{Operation, StoreMetrics};
pub use url::{DatabaseUrl, DatabaseUrlError};
pub use watch::Condition;

use tokio::sync::watch::Sender;

use crate::metrics::ErrorMetrics;
use doubt::Doubt;
use metrics::Handover;
use pool::Opening;

/// A connection's right to write to a session, until another takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Finds the session, in whichever database.
    session: TokenHash,
    /// Counts those who had it.
    number: i64,
}

impl Claim {
    /// Under which a session begins, whether the database has heard of it yet or not.
    pub fn first(session: TokenHash) -> Self {
        Self { session, number: 1 }
    }
}

/// SHA-256 of a session's token.
pub type TokenHash = [u8; 32];

/// A session to be kept.
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

/// A session that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSession {
    /// The right to go on with it.
    pub claim: Claim,
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
    /// What.
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
    opening: Opening,
    metrics: StoreMetrics,
    errors: ErrorMetrics,
    doubt: Doubt,
    condition: Sender<Condition>,
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
        config.say_which(&database);
        let opening = Opening::new(database, metrics.clone());
        let (condition, _) = tokio::sync::watch::channel(Condition::Unknown);
        let (doubt, server) = (Doubt::default(), rand::random());
        Ok(Self { config, opening, metrics, errors, doubt, condition, server })
    }

    /// Waits for running queries and closes the database, so that SQLite folds its log back into
    /// the file.
    pub async fn close(&self) {
        self.opening.close().await;
    }
}

#[cfg(test)]
mod tests;
