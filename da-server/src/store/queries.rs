//! Every query on sessions and turns, one method each. Who takes sessions over is in `handover`.

use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::Connection;

use super::asking::ask;
use super::{AskedBy, Claim, NewSession, Operation, Store, StoreError, Turn, TurnStatus};

/// Begins a session, under a claim of any number.
const INSERT_SESSION: &str = "INSERT INTO sessions \
    (token_hash, scene, difficulty, world, used_at_ms, claim, server) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Writes how a scene stands, unless somebody else has the session by now. A claim has one server: after
/// a failover that lost the last one, its number is given to another connection. A session is found by its
/// token's hash alone: its `id` is another one's where the database is another, be it that the file
/// was replaced or that a standby took over which had not heard of all.
const SAVE_WORLD: &str = "UPDATE sessions SET world = $1, used_at_ms = $2 \
     WHERE token_hash = $3 AND claim = $4 AND server = $5";

/// Whether there is such a session, and under which claim.
const LOOK: &str = "SELECT claim FROM sessions WHERE token_hash = $1";

/// What became of a write that needs its claim.
enum Kept {
    Done,
    Replaced,
    /// The database has lost the claim: what it has is older.
    Behind,
    Unknown,
}

impl Kept {
    /// Nothing was changed, as the session has `found` for its claim, or is not there.
    fn not(claim: Claim, found: Option<i64>) -> Self {
        match found {
            None => Self::Unknown,
            Some(number) if number < claim.number => Self::Behind,
            Some(_) => Self::Replaced,
        }
    }
}

impl From<Kept> for Result<(), StoreError> {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Done => Ok(()),
            // Raised, and then lost once more: somebody else goes on with what there is.
            Kept::Replaced | Kept::Behind => Err(StoreError::Replaced),
            Kept::Unknown => Err(StoreError::Unknown),
        }
    }
}

impl Store {
    /// Begins a session.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_session(&self, new: &NewSession) -> Result<Claim, StoreError> {
        let claim = Claim::first(new.token_hash);
        let answer = ask!(self, Operation::CreateSession, |db| {
            let insert = sqlx::query(INSERT_SESSION)
                .bind(new.token_hash.as_slice())
                .bind(&new.scene)
                .bind(&new.difficulty)
                .bind(&new.world)
                .bind(now_ms())
                .bind(claim.number)
                .bind(self.server);
            insert.execute(db).await.map(|_| ())
        });
        answer.map(|()| claim)
    }

    /// Keeps a session that the database does not [have](StoreError::Unknown), because it has lost it or was
    /// away when it began, under the claim that its connection has. What was said in it before stays lost.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn restore_session(
        &self,
        claim: Claim,
        scene: &str,
        difficulty: &str,
        world: &str,
    ) -> Result<(), StoreError> {
        let answer = ask!(self, Operation::RestoreSession, |db| {
            let insert = sqlx::query(INSERT_SESSION)
                .bind(claim.session.as_slice())
                .bind(scene)
                .bind(difficulty)
                .bind(world)
                .bind(now_ms())
                .bind(claim.number)
                .bind(self.server);
            insert.execute(db).await.map(|_| ())
        });
        answer?;
        tracing::warn!(
            "a session that the database did not have was begun there; what was said in it before is lost"
        );
        Ok(())
    }

    /// The last `turns` turns of a session, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn history(&self, claim: Claim, turns: u32) -> Result<Vec<Turn>, StoreError> {
        let sql = "SELECT asked_by, asked, answer, status FROM turns \
                   WHERE session_id = (SELECT id FROM sessions WHERE token_hash = $1) \
                   ORDER BY id DESC LIMIT $2";
        let answer = ask!(self, Operation::ReadHistory, |db| {
            let select = sqlx::query_as(sql).bind(claim.session.as_slice()).bind(i64::from(turns));
            select.fetch_all(db).await
        });
        let rows: Vec<Row> = answer?;
        Ok(rows.into_iter().rev().map(Turn::from).collect())
    }

    /// Keeps a turn, and how the scene stands after it: both or neither. Once this has returned, a
    /// process that dies loses nothing of it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_turn(&self, claim: Claim, turn: &Turn, world: &str) -> Result<(), StoreError> {
        let mut kept = self.try_add_turn(claim, turn, world).await?;
        if let Kept::Behind = kept {
            self.raise_claim(claim).await?;
            kept = self.try_add_turn(claim, turn, world).await?;
        }
        kept.into()
    }

    async fn try_add_turn(
        &self,
        claim: Claim,
        turn: &Turn,
        world: &str,
    ) -> Result<Kept, StoreError> {
        let sql = "INSERT INTO turns (session_id, asked_by, asked, answer, status, ended_at_ms) \
                   VALUES ((SELECT id FROM sessions WHERE token_hash = $1), $2, $3, $4, $5, $6)";
        let session = claim.session.as_slice();
        // PostgreSQL's text has no NUL; a line of a player has none anyway.
        let answer = turn.answer.replace('\0', "");
        ask!(self, Operation::AddTurn, |db| {
            let mut transaction = db.begin().await?;
            // First, so that the session can't be taken over in between.
            let update = sqlx::query(SAVE_WORLD)
                .bind(world)
                .bind(now_ms())
                .bind(session)
                .bind(claim.number)
                .bind(self.server);
            if update.execute(&mut *transaction).await?.rows_affected() == 0 {
                let look = sqlx::query_scalar(LOOK).bind(session);
                let found = look.fetch_optional(&mut *transaction).await?;
                return transaction.rollback().await.map(|()| Kept::not(claim, found));
            }
            let insert = sqlx::query(sql)
                .bind(session)
                .bind(turn.asked_by.as_str())
                .bind(&turn.asked)
                .bind(&answer)
                .bind(turn.status.as_str())
                .bind(now_ms());
            insert.execute(&mut *transaction).await?;
            transaction.commit().await.map(|()| Kept::Done)
        })
    }

    /// Keeps how the scene stands and gives the session up: whoever wants it may have it at once.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn leave_session(&self, claim: Claim, world: &str) -> Result<(), StoreError> {
        let mut kept = self.try_leave_session(claim, world).await?;
        if let Kept::Behind = kept {
            self.raise_claim(claim).await?;
            kept = self.try_leave_session(claim, world).await?;
        }
        kept.into()
    }

    async fn try_leave_session(&self, claim: Claim, world: &str) -> Result<Kept, StoreError> {
        let sql = "UPDATE sessions SET world = $1, used_at_ms = $2, server = NULL, \
                   handover = 'none' WHERE token_hash = $3 AND claim = $4 AND server = $5";
        let session = claim.session.as_slice();
        ask!(self, Operation::LeaveSession, |db| {
            let update = sqlx::query(sql)
                .bind(world)
                .bind(now_ms())
                .bind(session)
                .bind(claim.number)
                .bind(self.server);
            if update.execute(&mut *db).await?.rows_affected() > 0 {
                return Ok(Kept::Done);
            }
            let look = sqlx::query_scalar(LOOK).bind(session).fetch_optional(db);
            look.await.map(|found| Kept::not(claim, found))
        })
    }
}

/// The row that a write returns. Such a write is fetched with `fetch_all` alone: whatever stops at the row
/// does not hear that the write could not be committed, for which a disk may be too full.
pub(super) fn only<T>(returned: Vec<T>) -> Option<T> {
    returned.into_iter().next()
}

#[derive(sqlx::FromRow)]
struct Row {
    asked_by: String,
    asked: String,
    answer: String,
    status: String,
}

impl From<Row> for Turn {
    fn from(Row { asked_by, asked, answer, status }: Row) -> Self {
        // The table's checks admit no other words than these.
        let asked_by = if asked_by == "player" { AskedBy::Player } else { AskedBy::Scene };
        let status = match status.as_str() {
            "success" => TurnStatus::Success,
            "cancelled" => TurnStatus::Cancelled,
            _ => TurnStatus::Error,
        };
        Self { asked_by, asked, answer, status }
    }
}

impl AskedBy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Player => "player",
            Self::Scene => "scene",
        }
    }
}

impl TurnStatus {
    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
