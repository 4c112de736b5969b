//! Retention: deletes conversations that nobody came back to, in batches, and only by a clock that can be
//! trusted. A host whose clock is 40 days ahead until it is corrected must not lose everything for that, so
//! nothing is deleted until the clock has been steady for an hour, and nothing that is more than half of all
//! conversations until it has been for six.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::queries::now_ms;
use super::query_guard::with_connection;
use super::{Operation, Store, StoreError};

/// How often the clock is checked, and unused conversations are deleted.
const RETENTION_INTERVAL: Duration = Duration::from_secs(600);

/// How long the clock must have been steady before anything is deleted.
const MIN_STEADY_TIME: Duration = Duration::from_secs(3600);

/// How long before more than half of everything is deleted.
const MIN_STEADY_TIME_FOR_MOST: Duration = Duration::from_secs(6 * 3600);

/// A deviation that counts as steady: small corrections, and the delay between two readings on a busy host.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// How many sessions one statement deletes, with their turns: so few that players don't wait for it.
const BATCH_SESSIONS: i64 = 100;

/// The pause between two batches, for other queries.
const BATCH_PAUSE: Duration = Duration::from_millis(100);

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Since when the system's clock has agreed with the monotonic one.
#[derive(Debug, Clone, Copy)]
struct SteadyClock {
    since: Instant,
    since_ms: i64,
}

/// A jump of the clock: it was wrong by `by_ms` from `from_ms` to `to_ms`.
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

    /// How long the clock has been steady.
    ///
    /// # Errors
    /// It has jumped, and the count begins anew.
    fn read(&mut self, now: Instant, now_ms: i64) -> Result<Duration, Jump> {
        let passed = now.saturating_duration_since(self.since);
        let passed_ms = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
        let by_ms = (now_ms - self.since_ms).saturating_sub(passed_ms);
        if Duration::from_millis(by_ms.unsigned_abs()) <= CLOCK_TOLERANCE {
            return Ok(passed);
        }
        tracing::warn!(
            by_seconds = by_ms / 1000,
            "this host's clock has jumped, so no conversation is deleted for an hour"
        );
        let jump = Jump { from_ms: self.since_ms, to_ms: self.since_ms + passed_ms, by_ms };
        *self = Self::new(now, now_ms);
        Err(jump)
    }
}

/// Whether a clock that has been steady for so long is trusted that `old` of `all` conversations are old.
fn is_trusted(steady: Duration, old: i64, all: i64) -> bool {
    let is_most = old.saturating_mul(2) > all;
    steady >= if is_most { MIN_STEADY_TIME_FOR_MOST } else { MIN_STEADY_TIME }
}

impl Store {
    /// Deletes unused conversations at intervals, until `shutdown`.
    pub async fn run_retention(&self, shutdown: CancellationToken) {
        let mut clock = SteadyClock::new(Instant::now(), now_ms());
        let mut ticks = interval(RETENTION_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let retention = async {
            loop {
                ticks.tick().await;
                // A failure is counted; the next tick tries again.
                let _ = match clock.read(Instant::now(), now_ms()) {
                    Ok(steady) if steady >= MIN_STEADY_TIME => self.apply_retention(steady).await,
                    Ok(_) => Ok(()),
                    Err(jump) => self.correct_times(jump).await,
                };
            }
        };
        shutdown.run_until_cancelled(retention).await;
    }

    async fn apply_retention(&self, steady: Duration) -> Result<(), StoreError> {
        let (old, all) = self.count_unused().await?;
        if old == 0 {
            return Ok(());
        }
        if !is_trusted(steady, old, all) {
            tracing::warn!(
                old,
                all,
                "most conversations are older than store.retention_days by this host's clock: they are \
                 deleted if it stays steady for six hours. If it is wrong, set it, or stop the server"
            );
            return Ok(());
        }
        self.delete_unused().await
    }

    /// Corrects the times at which conversations were used while the clock was wrong: a host that starts in 1970
    /// would otherwise delete them an hour after its clock is set.
    pub(super) async fn correct_times(&self, jump: Jump) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET used_at_ms = used_at_ms + $1 \
                   WHERE used_at_ms BETWEEN $2 AND $3";
        with_connection!(self, Operation::DeleteUnused, |db| {
            let update = sqlx::query(sql).bind(jump.by_ms).bind(jump.from_ms).bind(jump.to_ms);
            update.execute(db).await.map(|_| ())
        })
    }

    /// How many sessions nobody came back to in the configured time, and how many there are.
    async fn count_unused(&self) -> Result<(i64, i64), StoreError> {
        let oldest = self.oldest_kept_ms();
        let sql = "SELECT COUNT(CASE WHEN used_at_ms < $1 THEN 1 END), COUNT(*) FROM sessions";
        with_connection!(self, Operation::DeleteUnused, |db| {
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
            let answer = with_connection!(self, Operation::DeleteUnused, |db| {
                let delete = sqlx::query(sql).bind(oldest).bind(BATCH_SESSIONS).execute(db);
                delete.await.map(|done| done.rows_affected())
            });
            let batch = answer?;
            deleted += batch;
            if batch < BATCH_SESSIONS.unsigned_abs() {
                break;
            }
            sleep(BATCH_PAUSE).await;
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
        assert!(!is_trusted(HOUR / 2, 1, 100));
        assert!(is_trusted(HOUR, 50, 100));
        assert!(!is_trusted(HOUR, 51, 100), "what a clock that is ahead would do");
        assert!(!is_trusted(5 * HOUR, 100, 100));
        assert!(is_trusted(6 * HOUR, 100, 100), "a game that nobody plays any more");
    }
}
