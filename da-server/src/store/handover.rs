//! One connection per session, also among servers that share a database.
//!
//! A session belongs to the server in its column `server`, under a `claim` that counts its owners.
//! Whoever wants it while another server has it asks (`handover = 'wanted'`). That server looks
//! twice a second, says that it heard (`'leaving'`), has its connection leave, and with that leaves
//! the state of the scene; then the session is free. A server that does not answer, because it died
//! or has lost the database, is waited for only shortly and then loses its claim: what it still
//! writes is refused. So no write of an older connection comes after one of a newer.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::asking::ask;
use super::queries::{now_ms, only};
use super::{Claim, Handover, Operation, SavedSession, Store, StoreError, TokenHash};

/// How often a server looks whether its sessions are wanted elsewhere.
pub const LOOKED_FOR_EVERY: Duration = Duration::from_millis(500);

/// How often one that waits for a session asks again.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// When the other server should have been heard of: two of its looks and a busy database.
const HEARD_FROM_WITHIN: Duration = Duration::from_millis(1500);

/// How long its connection may take to leave: it may have something to say to its player first.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// What came of asking another server for a session.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
pub(super) struct Asked {
    /// By which it has the session.
    pub(super) claim: i64,
    /// Whether it has heard that, or has left the session meanwhile.
    pub(super) has_answered: bool,
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
        SavedSession { claim: Claim { session, number: claim }, scene, difficulty, world }
    }
}

impl Store {
    /// Finds a session by its token and takes it over, when the server that has it has left its
    /// state or is out of time.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn claim_session(
        &self,
        token_hash: &TokenHash,
    ) -> Result<Option<SavedSession>, StoreError> {
        if let Some(free) = self.try_claim(token_hash, None).await? {
            return Ok(Some(free));
        }
        let mut waits_for = None;
        loop {
            let Some(asked) = self.ask_for(token_hash).await? else { return Ok(None) };
            // After it has been asked, and anew for each that has it: the last one may have been as quick.
            let since = match waits_for {
                Some((claim, since)) if claim == asked.claim => since,
                _ => Instant::now(),
            };
            waits_for = Some((asked.claim, since));
            if let Some(free) = self.try_claim(token_hash, None).await? {
                self.metrics.handed_over(Handover::Left);
                return Ok(Some(free));
            }
            let how = match since.elapsed() {
                waited if waited > LEAVES_WITHIN => Handover::Late,
                waited if waited > HEARD_FROM_WITHIN && !asked.has_answered => Handover::Silent,
                _ => {
                    sleep(ASK_EVERY).await;
                    continue;
                }
            };
            if let Some(taken) = self.try_claim(token_hash, Some(asked.claim)).await? {
                tracing::warn!(
                    how = how.as_str(),
                    "took over a session whose server did not leave it: what it had not stored is lost"
                );
                self.metrics.handed_over(how);
                return Ok(Some(taken));
            }
        }
    }

    /// Takes a session that is free or this server's own, or is still held under
    /// `stale_claim`.
    async fn try_claim(
        &self,
        token_hash: &TokenHash,
        stale_claim: Option<i64>,
    ) -> Result<Option<SavedSession>, StoreError> {
        let sql = "UPDATE sessions SET claim = claim + 1, server = $1, handover = 'none', \
                   used_at_ms = $2 \
                   WHERE token_hash = $3 AND (server IS NULL OR server = $1 OR claim = $4) \
                   RETURNING claim, scene, difficulty, world";
        let answer = ask!(self, Operation::ClaimSession, |db| {
            let update = sqlx::query_as(sql)
                .bind(self.server)
                .bind(now_ms())
                .bind(token_hash.as_slice())
                .bind(stale_claim);
            update.fetch_all(db).await.map(only)
        });
        let claimed: Option<Row> = answer?;
        Ok(claimed.map(|row| row.of(*token_hash)))
    }

    /// Takes a session back whose claim the database has lost: it was restored, or has failed over to a
    /// standby that had not heard of the last one. Nothing if the claim is there, or a newer one.
    pub(super) async fn raise_claim(&self, claim: Claim) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET claim = $1, server = $2, handover = 'none' \
                   WHERE token_hash = $3 AND claim < $1";
        ask!(self, Operation::RestoreSession, |db| {
            let update = sqlx::query(sql)
                .bind(claim.number)
                .bind(self.server)
                .bind(claim.session.as_slice());
            update.execute(db).await.map(|_| ())
        })?;
        tracing::warn!(
            "the database has lost who had a session last, and that one goes on with it; turns of it \
             may be lost"
        );
        Ok(())
    }

    /// Asks the server that has a session for it; `None` if there is no such session.
    pub(super) async fn ask_for(
        &self,
        token_hash: &TokenHash,
    ) -> Result<Option<Asked>, StoreError> {
        let sql = "UPDATE sessions SET handover = \
                   CASE WHEN server IS NOT NULL AND handover = 'none' THEN 'wanted' ELSE handover END \
                   WHERE token_hash = $1 RETURNING claim, server IS NULL OR handover = 'leaving' AS has_answered";
        ask!(self, Operation::AskForSession, |db| {
            sqlx::query_as(sql).bind(token_hash.as_slice()).fetch_all(db).await.map(only)
        })
    }

    /// Sessions of this server that are wanted elsewhere. From now on the other one waits for them
    /// to be [left](Self::leave_session).
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn wanted_sessions(&self) -> Result<Vec<TokenHash>, StoreError> {
        // A look alone takes no lock, which in SQLite would be that of the whole file.
        let look = "SELECT 1 FROM sessions WHERE server = $1 AND handover = 'wanted' LIMIT 1";
        let heard = "UPDATE sessions SET handover = 'leaving' \
                      WHERE server = $1 AND handover = 'wanted' RETURNING token_hash";
        let answer = ask!(self, Operation::FindWanted, |db| {
            if sqlx::query(look).bind(self.server).fetch_optional(&mut *db).await?.is_none() {
                return Ok(Vec::new());
            }
            sqlx::query_scalar(heard).bind(self.server).fetch_all(db).await
        });
        let hashes: Vec<Vec<u8>> = answer?;
        Ok(hashes.into_iter().filter_map(|hash| hash.try_into().ok()).collect())
    }
}
