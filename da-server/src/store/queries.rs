//! Every query on sessions and turns, one method each. Who takes sessions over is in `handover`.

use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::Connection;

use super::asking::ask;
use super::{AskedBy, Claim, NewSession, Operation, Store, StoreError, Turn, TurnStatus};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The claim under which a session begins.
const FIRST_CLAIM: i64 = 1;

/// Writes how a scene stands, unless somebody else has the session by now.
const SAVE_WORLD: &str =
    "UPDATE sessions SET world = $1, used_at_ms = $2 WHERE id = $3 AND claim = $4";

impl Store {
    /// Begins a session.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_session(&self, new: &NewSession) -> Result<Claim, StoreError> {
        let sql = "INSERT INTO sessions \
                   (token_hash, scene, difficulty, world, used_at_ms, claim, server) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
        let answer = ask!(self, Operation::CreateSession, |db| {
            let insert = sqlx::query_scalar(sql)
                .bind(new.token_hash.as_slice())
                .bind(&new.scene)
                .bind(&new.difficulty)
                .bind(&new.world)
                .bind(now_ms())
                .bind(FIRST_CLAIM)
                .bind(self.server);
            only(insert.fetch_all(db).await?).ok_or(sqlx::Error::RowNotFound)
        });
        answer.map(|session| Claim { session, number: FIRST_CLAIM })
    }

    /// The last `turns` turns of a session, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn history(&self, claim: Claim, turns: u32) -> Result<Vec<Turn>, StoreError> {
        let sql = "SELECT asked_by, asked, answer, status FROM turns \
                   WHERE session_id = $1 ORDER BY id DESC LIMIT $2";
        let answer = ask!(self, Operation::ReadHistory, |db| {
            let select = sqlx::query_as(sql).bind(claim.session).bind(i64::from(turns));
            select.fetch_all(db).await
        });
        let rows: Vec<Row> = answer?;
        Ok(rows.into_iter().rev().map(Turn::from).collect())
    }

    /// Keeps a turn, and how the scene stands after it: both or neither.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_turn(&self, claim: Claim, turn: &Turn, world: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO turns (session_id, asked_by, asked, answer, status, ended_at_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        // PostgreSQL's text has no NUL; a line of a player has none anyway.
        let answer = turn.answer.replace('\0', "");
        let kept = ask!(self, Operation::AddTurn, |db| {
            let mut transaction = db.begin().await?;
            // First, so that the session can't be taken over in between.
            let update = sqlx::query(SAVE_WORLD)
                .bind(world)
                .bind(now_ms())
                .bind(claim.session)
                .bind(claim.number);
            if update.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(false);
            }
            let insert = sqlx::query(sql)
                .bind(claim.session)
                .bind(turn.asked_by.as_str())
                .bind(&turn.asked)
                .bind(&answer)
                .bind(turn.status.as_str())
                .bind(now_ms());
            insert.execute(&mut *transaction).await?;
            transaction.commit().await.map(|()| true)
        });
        if kept? { Ok(()) } else { Err(StoreError::Replaced) }
    }

    /// Keeps how the scene stands and gives the session up: whoever wants it may have it at once.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn leave_session(&self, claim: Claim, world: &str) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET world = $1, used_at_ms = $2, server = NULL, \
                   handover = 'none' WHERE id = $3 AND claim = $4";
        let answer = ask!(self, Operation::LeaveSession, |db| {
            let update =
                sqlx::query(sql).bind(world).bind(now_ms()).bind(claim.session).bind(claim.number);
            Ok(update.execute(db).await?.rows_affected())
        });
        if answer? == 0 { Err(StoreError::Replaced) } else { Ok(()) }
    }

    /// Deletes the conversations that nobody came back to in the configured time.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_unused(&self) -> Result<(), StoreError> {
        let oldest = now_ms() - i64::from(self.config.retention_days) * DAY_MS;
        let sql = "DELETE FROM sessions WHERE used_at_ms < $1";
        let answer = ask!(self, Operation::DeleteUnused, |db| {
            Ok(sqlx::query(sql).bind(oldest).execute(db).await?.rows_affected())
        });
        let deleted = answer?;
        if deleted > 0 {
            tracing::info!(deleted, "deleted conversations that nobody came back to");
        }
        Ok(())
    }

    /// Asks whether the database answers.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        let sql = "SELECT id FROM sessions LIMIT 1";
        ask!(self, Operation::Ping, |db| sqlx::query(sql).fetch_optional(db).await.map(|_| ()))
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
