//! Conversations on disk. The only room that knows sqlx.
//!
//! The game goes on without it: every failure is timed, counted and said in the log here, and the
//! caller does without what it asked for. A file that could not be opened is tried again with the
//! next query, so a disk that was full needs no restart.

mod config;
mod metrics;
mod open;
mod queries;

pub use config::StoreConfig;
pub use metrics::{Operation, StoreMetrics};

use std::path::PathBuf;
use std::time::Duration;

use sqlx::sqlite::SqlitePool;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::metrics::{ErrorMetrics, ErrorType};

/// How often unused conversations are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(3600);

/// A session's key in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionId(i64);

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
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SavedSession {
    /// Its key.
    #[sqlx(try_from = "i64")]
    pub id: SessionId,
    /// The scene's id.
    pub scene: String,
    /// The difficulty's name.
    pub difficulty: String,
    /// The state of the scene, JSON.
    pub world: String,
}

impl From<i64> for SessionId {
    fn from(id: i64) -> Self {
        Self(id)
    }
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

/// Why the database did not do what it was asked. Already counted and in the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file can't be opened or brought up to date.
    #[error("can't open {}: {source}; check store.path, its folder's permissions and the disk", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite, or the file system, said.
        source: sqlx::Error,
    },
    /// A query failed.
    #[error("{}: {source}", operation.as_str())]
    Query {
        /// Which.
        operation: Operation,
        /// What SQLite said.
        source: sqlx::Error,
    },
}

/// The conversations.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    pool: OnceCell<SqlitePool>,
    metrics: StoreMetrics,
    errors: ErrorMetrics,
}

impl Store {
    /// A store that opens its file with the first query.
    pub fn new(config: StoreConfig, metrics: StoreMetrics, errors: ErrorMetrics) -> Self {
        Self { config, pool: OnceCell::new(), metrics, errors }
    }

    /// Deletes unused conversations now and then, until `shutdown`.
    pub async fn keep_tidy(&self, shutdown: CancellationToken) {
        let mut every = tokio::time::interval(TIDY_EVERY);
        let tidy = async {
            loop {
                every.tick().await;
                // What went wrong is in the log; the next hour tries again.
                let _ = self.delete_unused().await;
            }
        };
        shutdown.run_until_cancelled(tidy).await;
    }

    /// Waits for running queries and closes the file, so that its log is folded back into it.
    pub async fn close(&self) {
        if let Some(pool) = self.pool.get() {
            pool.close().await;
        }
    }

    /// Runs, times, counts and reports one operation.
    async fn run<T>(
        &self,
        operation: Operation,
        query: impl AsyncFnOnce(&SqlitePool) -> Result<T, sqlx::Error>,
    ) -> Result<T, StoreError> {
        let pool = self.pool().await?;
        let timer = self.metrics.timer(operation);
        let result = query(pool).await;
        drop(timer);
        result.map_err(|source| self.failed(StoreError::Query { operation, source }))
    }

    async fn pool(&self) -> Result<&SqlitePool, StoreError> {
        let open = || async {
            let timer = self.metrics.timer(Operation::Open);
            let opened = open::open(&self.config.path).await;
            drop(timer);
            opened.map_err(|source| {
                let path = self.config.path.clone();
                self.failed(StoreError::Open { path, source })
            })
        };
        self.pool.get_or_try_init(open).await
    }

    fn failed(&self, error: StoreError) -> StoreError {
        self.errors.count(ErrorType::Database);
        tracing::error!(%error, "database; the game goes on without it");
        error
    }
}

#[cfg(test)]
mod tests;
