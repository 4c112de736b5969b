//! Conversations that nobody came back to are deleted: some at a time, and by a clock that has proven
//! itself. A host whose clock is 40 days ahead until somebody sets it right must not lose everything
//! for that, so nothing is deleted until the clock has gone evenly for an hour, and nothing that would
//! be the greater part of all conversations until it has for six.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::asking::ask;
use super::queries::now_ms;
use super::{Operation, Store, StoreError};

/// How often unused conversations, and the clock, are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// For so long the clock has to have gone evenly before anything is deleted.
const BELIEVED_AFTER: Duration = Duration::from_secs(3600);

/// And for so long before more than half of everything is.
const BELIEVED_WITH_MOST_AFTER: Duration = Duration::from_secs(6 * 3600);

/// What clocks are set by in passing, and how far two readings of a busy machine are apart.
const EVEN_WITHIN: Duration = Duration::from_secs(60);

/// How many sessions one statement deletes, with their turns: so few that players don't wait for it.
const BATCH: i64 = 100;

/// The pause between two, in which others have their turn.
const BETWEEN_BATCHES: Duration = Duration::from_millis(100);

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Since when the clock on the wall has gone as the one inside does.
#[derive(Debug, Clone, Copy)]
struct SteadyClock {
    since: Instant,
    since_ms: i64,
}

/// What a clock that has jumped has told before: from when to when, and by how much that was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    pub(super) by_ms: i64,
}

impl SteadyClock {
    fn new(now: Instant, now_ms: i64) -> Self {
        Self { since: now, since_ms: now_ms }
    }

    /// For how long it has gone evenly.
    ///
    /// # Errors
    /// It has jumped, and begins anew.
    fn read(&mut self, now: Instant, now_ms: i64) -> Result<Duration, Jump> {
        let passed = now.saturating_duration_since(self.since);
        let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let by_ms = (now_ms - self.since_ms).saturating_sub(passed_ms);
        if Duration::from_millis(by_ms.unsigned_abs()) <= EVEN_WITHIN {
            return Ok(passed);
        }
        tracing::warn!(
            by_seconds = by_ms / 1000,
            "the clock has jumped: no conversation is deleted by it for a while"
        );
        let jump = Jump { from_ms: self.since_ms, to_ms: self.since_ms + passed_ms, by_ms };
        *self = Self::new(now, now_ms);
        Err(jump)
    }
}

/// Whether a clock that has gone evenly for so long is believed that `old` of `all` are old.
fn is_believed(steady: Duration, old: i64, all: i64) -> bool {
    let is_most = old.saturating_mul(2) > all;
    steady >= if is_most { BELIEVED_WITH_MOST_AFTER } else { BELIEVED_AFTER }
}

impl Store {
    /// Deletes unused conversations now and then, until `shutdown`.
    pub async fn keep_tidy(&self, shutdown: CancellationToken) {
        let mut clock = SteadyClock::new(Instant::now(), now_ms());
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let tidy = async {
            loop {
                looks.tick().await;
                // What goes wrong is counted; the next look tries again.
                let _ = match clock.read(Instant::now(), now_ms()) {
                    Ok(steady) if steady >= BELIEVED_AFTER => self.tidy(steady).await,
                    Ok(_) => Ok(()),
                    Err(jump) => self.set_right(jump).await,
                };
            }
        };
        shutdown.run_until_cancelled(tidy).await;
    }

    async fn tidy(&self, steady: Duration) -> Result<(), StoreError> {
        let (old, all) = self.count_unused().await?;
        if old == 0 {
            return Ok(());
        }
        if !is_believed(steady, old, all) {
            tracing::warn!(
                old,
                all,
                "most conversations are older than store.retention_days, by this host's clock: they \
                 are deleted if it goes evenly for six hours. If it is wrong, set it, or stop the server"
            );
            return Ok(());
        }
        self.delete_unused().await
    }

    /// Sets right when the conversations were used that were, by a clock that was wrong: a host that begins in
    /// 1970 would else have them deleted an hour after its clock is set.
    pub(super) async fn set_right(&self, jump: Jump) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET used_at_ms = used_at_ms + $1 \
                   WHERE used_at_ms BETWEEN $2 AND $3";
        ask!(self, Operation::DeleteUnused, |db| {
            let update = sqlx::query(sql).bind(jump.by_ms).bind(jump.from_ms).bind(jump.to_ms);
            update.execute(db).await.map(|_| ())
        })
    }

    /// How many sessions nobody came back to in the configured time, and how many there are.
    async fn count_unused(&self) -> Result<(i64, i64), StoreError> {
        let oldest = self.oldest_kept_ms();
        let sql = "SELECT COUNT(CASE WHEN used_at_ms < $1 THEN 1 END), COUNT(*) FROM sessions";
        ask!(self, Operation::DeleteUnused, |db| {
            sqlx::query_as(sql).bind(oldest).fetch_one(db).await
        })
    }

    /// Deletes the conversations that nobody came back to in the configured time, some at a time.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_unused(&self) -> Result<(), StoreError> {
        let oldest = self.oldest_kept_ms();
        let sql = "DELETE FROM sessions WHERE id IN \
                   (SELECT id FROM sessions WHERE used_at_ms < $1 ORDER BY used_at_ms LIMIT $2)";
        let mut deleted = 0;
        loop {
            let answer = ask!(self, Operation::DeleteUnused, |db| {
                let delete = sqlx::query(sql).bind(oldest).bind(BATCH).execute(db);
                delete.await.map(|done| done.rows_affected())
            });
            let batch = answer?;
            deleted += batch;
            if batch < BATCH.unsigned_abs() {
                break;
            }
            sleep(BETWEEN_BATCHES).await;
        }
        if deleted > 0 {
            tracing::info!(deleted, "deleted conversations that nobody came back to");
        }
        Ok(())
    }

    fn oldest_kept_ms(&self) -> i64 {
        now_ms() - i64::from(self.config.retention_days) * DAY_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn a_clock_that_jumps_begins_anew() {
        let start = Instant::now();
        let mut clock = SteadyClock::new(start, 0);
        assert_eq!(clock.read(start + HOUR, HOUR_MS + 2000), Ok(HOUR), "set by two seconds");
        for by_ms in [40 * DAY_MS, -40 * DAY_MS] {
            let mut clock = clock;
            let jump = Jump { from_ms: 0, to_ms: 2 * HOUR_MS, by_ms };
            assert_eq!(clock.read(start + 2 * HOUR, 2 * HOUR_MS + by_ms), Err(jump));
            assert_eq!(clock.read(start + 3 * HOUR, 3 * HOUR_MS + by_ms), Ok(HOUR));
        }
    }

    #[test]
    fn nothing_is_deleted_by_a_clock_that_has_not_proven_itself() {
        assert!(!is_believed(HOUR / 2, 1, 100));
        assert!(is_believed(HOUR, 50, 100));
        assert!(!is_believed(HOUR, 51, 100), "what a clock that is ahead would do");
        assert!(!is_believed(5 * HOUR, 100, 100));
        assert!(is_believed(6 * HOUR, 100, 100), "a game that nobody plays any more");
    }
}
