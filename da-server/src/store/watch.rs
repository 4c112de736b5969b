//! How the database is, found out once a second, however many ask.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::asking::ask;
use super::config::Database;
use super::file::DatabaseFile;
use super::{Operation, Store, StoreError};

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A database that has not answered by then is said not to, while players may still wait for it.
const ANSWERS_SOON: Duration = Duration::from_secs(1);

/// How the database was when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It has not been looked at yet.
    Unknown,
    /// It answers, and takes what is written.
    Available,
    /// Why it is of no use, in words that anybody may read; the log says more.
    Missing(&'static str),
}

impl Store {
    /// Looks after the database until this is dropped.
    pub async fn watch(&self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Of a failure that lasts the log has one line, and one of its end.
        let mut has_said = false;
        loop {
            looks.tick().await;
            let mut looking = std::pin::pin!(self.look());
            let seen = match timeout(ANSWERS_SOON, &mut looking).await {
                Ok(seen) => seen,
                Err(_) => {
                    self.is_now(Condition::Missing("the database does not answer in time"));
                    looking.await
                }
            };
            let why = seen.err();
            self.is_now(why.as_ref().map_or(Condition::Available, |(condition, _)| *condition));
            match why {
                Some((_, why)) if !has_said => {
                    tracing::error!(
                        database = %self.opening.database,
                        "the database is not available, and the game goes on without it: {why}"
                    );
                    has_said = true;
                }
                None if has_said => {
                    tracing::info!(database = %self.opening.database, "the database is available again");
                    has_said = false;
                }
                Some(_) | None => {}
            }
        }
    }

    /// How the database was within the last second; right after the start this waits so long for the
    /// first look.
    pub async fn condition(&self) -> Condition {
        let mut condition = self.condition.subscribe();
        let known = condition.wait_for(|condition| *condition != Condition::Unknown);
        let known = timeout(ANSWERS_SOON, known).await;
        known.ok().and_then(Result::ok).map_or(Condition::Unknown, |condition| *condition)
    }

    /// How often the database's file was found deleted, moved or replaced.
    pub fn files_lost(&self) -> u64 {
        self.metrics.files_lost()
    }

    /// # Errors
    /// What to call it, and what the log says of it.
    async fn look(&self) -> Result<(), (Condition, String)> {
        if let Err(error) = self.ping().await {
            let condition = "the database does not answer; the log says why";
            return Err((Condition::Missing(condition), error.to_string()));
        }
        if self.is_read_only().await {
            let why = "its permissions or its file system forbid this process to write to it";
            return Err((Condition::Missing("the database's file is read-only"), why.to_owned()));
        }
        Ok(())
    }

    fn is_now(&self, condition: Condition) {
        self.metrics.available(condition == Condition::Available);
        self.condition.send_replace(condition);
    }

    async fn is_read_only(&self) -> bool {
        let pool = self.opening.pool().await;
        pool.is_ok_and(|pool| pool.file().is_some_and(DatabaseFile::is_read_only))
    }

    /// Asks whether the database answers, and whether it takes what is written. It is written to only after
    /// something has failed: whether there is room is known by no other way.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        let in_doubt = self.in_doubt.load(Ordering::Relaxed);
        let sql = match self.opening.database {
            // A row that is always there, and that nobody waits for.
            Database::Postgres { .. } if in_doubt => {
                "UPDATE _sqlx_migrations SET success = success"
            }
            // Refused by a server that takes no writes.
            Database::Postgres { .. } => "UPDATE sessions SET claim = claim WHERE FALSE",
            Database::Sqlite(_) if in_doubt => "PRAGMA user_version = 1",
            Database::Sqlite(_) => "SELECT id FROM sessions LIMIT 1",
        };
        ask!(self, Operation::Ping, |db| sqlx::query(sql).fetch_all(db).await.map(|_| ()))?;
        if in_doubt {
            self.in_doubt.store(false, Ordering::Relaxed);
        }
        Ok(())
    }
}
