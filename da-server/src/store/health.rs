//! The health of the database, checked once a second, however many ask for it.

use std::time::Duration;

use sqlx::Connection;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::config::Database;
use super::file::DatabaseFile;
use super::query_guard::with_connection;
use super::{Operation, Store, StoreError};

/// How often the database is checked.
const HEALTH_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A database that has not answered by then counts as not available, while players may still wait for it.
const HEALTH_CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Inserts as many rows as need new disk space, to find a full disk. They are rolled back.
const FILL_A_PAGE: &str = "INSERT INTO sessions \
    (token_hash, scene, difficulty, world, used_at_ms, claim) \
    SELECT decode(md5(random()::TEXT) || md5(random()::TEXT), 'hex'), '', '', repeat(' ', 1800), 0, 0 \
    FROM generate_series(1, 8)";

/// The health of the database when it was last checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseHealth {
    /// It has not been checked yet.
    Unknown,
    /// It answers, and takes writes.
    Available,
    /// Why it can't be used, in words that anybody may read; the log has more.
    Missing(&'static str),
}

impl Store {
    /// Checks the database until this is dropped.
    pub async fn monitor(&self) {
        let mut checks = interval(HEALTH_CHECK_INTERVAL);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // A failure that lasts is logged once, and its end.
        let mut is_logged = false;
        loop {
            checks.tick().await;
            let mut check = std::pin::pin!(self.check());
            let seen = match timeout(HEALTH_CHECK_TIMEOUT, &mut check).await {
                Ok(seen) => seen,
                Err(_) => {
                    self.set_health(DatabaseHealth::Missing(
                        "the database does not answer in time",
                    ));
                    check.await
                }
            };
            let why = seen.err();
            self.set_health(why.as_ref().map_or(DatabaseHealth::Available, |(health, _)| *health));
            match why {
                Some((_, why)) if !is_logged => {
                    tracing::error!(
                        database = %self.lazy_pool.database,
                        "the database is not available, and the game goes on without it: {why}"
                    );
                    is_logged = true;
                }
                None if is_logged => {
                    tracing::info!(database = %self.lazy_pool.database, "the database is available again");
                    is_logged = false;
                }
                Some(_) | None => {}
            }
        }
    }

    /// The health of the database within the last second. Right after the start this waits for the first
    /// check.
    pub async fn health(&self) -> DatabaseHealth {
        let mut health = self.health.subscribe();
        let known = health.wait_for(|health| *health != DatabaseHealth::Unknown);
        let known = timeout(HEALTH_CHECK_TIMEOUT, known).await;
        known.ok().and_then(Result::ok).map_or(DatabaseHealth::Unknown, |health| *health)
    }

    /// How often the database's file was found deleted, moved or replaced.
    pub fn files_lost(&self) -> u64 {
        self.metrics.files_lost()
    }

    /// # Errors
    /// The health, and the reason for the log.
    async fn check(&self) -> Result<(), (DatabaseHealth, String)> {
        if let Err(error) = self.ping().await {
            let health = "the database does not answer; the log says why";
            return Err((DatabaseHealth::Missing(health), error.to_string()));
        }
        if self.is_read_only().await {
            let why = "its permissions or its file system forbid this process to write to it";
            return Err((
                DatabaseHealth::Missing("the database's file is read-only"),
                why.to_owned(),
            ));
        }
        Ok(())
    }

    fn set_health(&self, health: DatabaseHealth) {
        self.metrics.available(health == DatabaseHealth::Available);
        self.health.send_replace(health);
    }

    async fn is_read_only(&self) -> bool {
        let pool = self.lazy_pool.pool().await;
        pool.is_ok_and(|pool| pool.file().is_some_and(DatabaseFile::is_read_only))
    }

    /// Checks whether the database answers, and takes writes. It writes only after something has failed: a full
    /// disk can't be found otherwise.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        let known = self.write_health.known();
        let in_doubt = self.write_health.is_in_doubt();
        let sql = match self.lazy_pool.database {
            Database::Postgres { .. } if in_doubt => FILL_A_PAGE,
            // Refused by a server that takes no writes.
            Database::Postgres { .. } => "UPDATE sessions SET claim = claim WHERE FALSE",
            Database::Sqlite(_) if in_doubt => "PRAGMA user_version = 1",
            Database::Sqlite(_) => "SELECT id FROM sessions LIMIT 1",
        };
        let rolls_back = sql == FILL_A_PAGE;
        with_connection!(self, Operation::Ping, |db| {
            if !rolls_back {
                return sqlx::query(sql).fetch_all(db).await.map(|_| ());
            }
            let mut transaction = db.begin().await?;
            sqlx::query(sql).execute(&mut *transaction).await?;
            transaction.rollback().await
        })?;
        if in_doubt {
            self.write_health.confirm(known);
        }
        Ok(())
    }
}
