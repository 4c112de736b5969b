//! Leases of sessions: one connection per session, also among servers that share a database.
//!
//! The column `server` has the owner of a session, and `claim` the fencing token, which counts the owners.
//! A server that wants a session of another one requests it (`handover = 'wanted'`). The owner polls twice a
//! second, acknowledges (`'leaving'`) and evicts its connection, which stores the state of the scene; then
//! the session is free. An owner that does not acknowledge, because it died or has lost the database, is
//! waited for only shortly and then loses its lease: what it still writes is refused. So no write of an older
//! connection comes after one of a newer.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::queries::{now_ms, only};
use super::query_guard::with_connection;
use super::{Lease, LeaseTransfer, Operation, SavedSession, Store, StoreError, TokenHash};

/// How often a server polls for sessions of its own that another one wants.
pub const LEASE_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How often a server that waits for a session tries again.
const LEASE_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// How long the owner may take to acknowledge: two poll intervals plus a slow query.
const LEASE_ACK_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long the owner's connection may take to release the session: it stores its last turn first.
const LEASE_RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// A request for a session of another server.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct LeaseRequest {
    /// The owner's.
    #[sqlx(rename = "claim")]
    pub(super) fencing_token: i64,
    /// Whether the owner has acknowledged the request, or has released the session meanwhile.
    pub(super) is_acknowledged: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    claim: i64,
    scene: String,
    difficulty: String,
    world: String,
}

impl Row {
    fn of(self, session: TokenHash) -> SavedSession {
        let Self { claim, scene, difficulty, world } = self;
        SavedSession { lease: Lease { session, fencing_token: claim }, scene, difficulty, world }
    }
}

impl Store {
    /// Finds a session by its token and takes it over, as soon as its owner has released it or is out of
    /// time.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_session(
        &self,
        token_hash: &TokenHash,
    ) -> Result<Option<SavedSession>, StoreError> {
        if let Some(free) = self.try_acquire(token_hash, None).await? {
            return Ok(Some(free));
        }
        let mut waits_for = None;
        loop {
            let Some(request) = self.request_lease(token_hash).await? else { return Ok(None) };
            // From the request on, and anew for each owner: another one may have been quicker.
            let since = match waits_for {
                Some((owner, since)) if owner == request.fencing_token => since,
                _ => Instant::now(),
            };
            waits_for = Some((request.fencing_token, since));
            if let Some(free) = self.try_acquire(token_hash, None).await? {
                self.metrics.lease_transferred(LeaseTransfer::Left);
                return Ok(Some(free));
            }
            let how = match since.elapsed() {
                waited if waited > LEASE_RELEASE_TIMEOUT => LeaseTransfer::Late,
                waited if waited > LEASE_ACK_TIMEOUT && !request.is_acknowledged => {
                    LeaseTransfer::Silent
                }
                _ => {
                    sleep(LEASE_RETRY_INTERVAL).await;
                    continue;
                }
            };
            if let Some(taken) = self.try_acquire(token_hash, Some(request.fencing_token)).await? {
                tracing::warn!(
                    how = how.as_str(),
                    "took over a session that its server did not release in time: what that server had not stored is lost"
                );
                self.metrics.lease_transferred(how);
                return Ok(Some(taken));
            }
        }
    }

    /// Takes a session that is free or this server's own, or still has the fencing token `stale`.
    async fn try_acquire(
        &self,
        token_hash: &TokenHash,
        stale: Option<i64>,
    ) -> Result<Option<SavedSession>, StoreError> {
        let sql = "UPDATE sessions SET claim = claim + 1, server = $1, handover = 'none', \
                   used_at_ms = $2 \
                   WHERE token_hash = $3 AND (server IS NULL OR server = $1 OR claim = $4) \
                   RETURNING claim, scene, difficulty, world";
        let answer = with_connection!(self, Operation::ClaimSession, |db| {
            let update = sqlx::query_as(sql)
                .bind(self.server)
                .bind(now_ms())
                .bind(token_hash.as_slice())
                .bind(stale);
            update.fetch_all(db).await.map(only)
        });
        let claimed: Option<Row> = answer?;
        Ok(claimed.map(|row| row.of(*token_hash)))
    }

    /// Takes a session back whose fencing token the database has lost: it was restored, or has failed over to
    /// a standby that did not have the last one. Does nothing if the database has this token, or a newer one.
    pub(super) async fn raise_fencing_token(&self, lease: Lease) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET claim = $1, server = $2, handover = 'none' \
                   WHERE token_hash = $3 AND claim < $1";
        with_connection!(self, Operation::RestoreSession, |db| {
            let update = sqlx::query(sql)
                .bind(lease.fencing_token)
                .bind(self.server)
                .bind(lease.session.as_slice());
            update.execute(db).await.map(|_| ())
        })?;
        tracing::warn!(
            "the database has lost the last owner of a session, which goes on with that owner; turns of it \
             may be lost"
        );
        Ok(())
    }

    /// Requests a session from its owner; `None` if there is no such session.
    pub(super) async fn request_lease(
        &self,
        token_hash: &TokenHash,
    ) -> Result<Option<LeaseRequest>, StoreError> {
        let sql = "UPDATE sessions SET handover = \
                   CASE WHEN server IS NOT NULL AND handover = 'none' THEN 'wanted' ELSE handover END \
                   WHERE token_hash = $1 RETURNING claim, server IS NULL OR handover = 'leaving' AS is_acknowledged";
        with_connection!(self, Operation::AskForSession, |db| {
            sqlx::query_as(sql).bind(token_hash.as_slice()).fetch_all(db).await.map(only)
        })
    }

    /// Sessions of this server that another one wants, which this acknowledges: the other one now waits for
    /// them to be [released](Self::leave_session).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn wanted_sessions(&self) -> Result<Vec<TokenHash>, StoreError> {
        // A query that only reads takes no lock, which in SQLite would be that of the whole file.
        let select = "SELECT 1 FROM sessions WHERE server = $1 AND handover = 'wanted' LIMIT 1";
        let acknowledge = "UPDATE sessions SET handover = 'leaving' \
                      WHERE server = $1 AND handover = 'wanted' RETURNING token_hash";
        let answer = with_connection!(self, Operation::FindWanted, |db| {
            if sqlx::query(select).bind(self.server).fetch_optional(&mut *db).await?.is_none() {
                return Ok(Vec::new());
            }
            sqlx::query_scalar(acknowledge).bind(self.server).fetch_all(db).await
        });
        let hashes: Vec<Vec<u8>> = answer?;
        Ok(hashes.into_iter().filter_map(|hash| hash.try_into().ok()).collect())
    }
}
