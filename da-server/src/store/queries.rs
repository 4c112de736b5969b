//! The queries on sessions and turns, one method each. How sessions are taken over is in `lease`.

use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::Connection;

use super::query_guard::with_connection;
use super::{AskedBy, Lease, NewSession, Operation, Store, StoreError, Turn, TurnStatus};

/// Inserts a session, with any fencing token.
const INSERT_SESSION: &str = "INSERT INTO sessions \
    (token_hash, scene, difficulty, world, used_at_ms, claim, server) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

/// Stores the state of a scene, unless another connection has the session by now. The server counts too:
/// after a failover that lost the last fencing token, another connection gets the same one. A session is
/// found by its token's hash alone: another database, be it a replaced file or a standby that took over with
/// less, may have given its `id` to another session.
const SAVE_WORLD: &str = "UPDATE sessions SET world = $1, used_at_ms = $2 \
     WHERE token_hash = $3 AND claim = $4 AND server = $5";

/// The fencing token of a session, if there is such a session.
const SELECT_TOKEN: &str = "SELECT claim FROM sessions WHERE token_hash = $1";

/// The result of a write that needs a lease.
enum WriteResult {
    Done,
    Replaced,
    /// The database has lost the fencing token: it has an older one.
    Behind,
    Unknown,
}

impl WriteResult {
    /// Nothing was written, since the session has `found` for its fencing token, or is not there.
    fn refused(lease: Lease, found: Option<i64>) -> Self {
        match found {
            None => Self::Unknown,
            Some(number) if number < lease.fencing_token => Self::Behind,
            Some(_) => Self::Replaced,
        }
    }
}

impl From<WriteResult> for Result<(), StoreError> {
    fn from(written: WriteResult) -> Self {
        match written {
            WriteResult::Done => Ok(()),
            // `Behind` although the token was raised: another connection has the session.
            WriteResult::Replaced | WriteResult::Behind => Err(StoreError::Replaced),
            WriteResult::Unknown => Err(StoreError::Unknown),
        }
    }
}

impl Store {
    /// Begins a session.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_session(&self, new: &NewSession) -> Result<Lease, StoreError> {
        let lease = Lease::first(new.token_hash);
        let answer = with_connection!(self, Operation::CreateSession, |db| {
            let insert = sqlx::query(INSERT_SESSION)
                .bind(new.token_hash.as_slice())
                .bind(&new.scene)
                .bind(&new.difficulty)
                .bind(&new.world)
                .bind(now_ms())
                .bind(lease.fencing_token)
                .bind(self.server);
            insert.execute(db).await.map(|_| ())
        });
        answer.map(|()| lease)
    }

    /// Stores a session that the database does not [have](StoreError::Unknown), because it has lost it or was not
    /// available when it began, with the lease of its connection. Its earlier turns stay lost.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn restore_session(
        &self,
        lease: Lease,
        scene: &str,
        difficulty: &str,
        world: &str,
    ) -> Result<(), StoreError> {
        let answer = with_connection!(self, Operation::RestoreSession, |db| {
            let insert = sqlx::query(INSERT_SESSION)
                .bind(lease.session.as_slice())
                .bind(scene)
                .bind(difficulty)
                .bind(world)
                .bind(now_ms())
                .bind(lease.fencing_token)
                .bind(self.server);
            insert.execute(db).await.map(|_| ())
        });
        answer?;
        tracing::warn!("created a session that the database had lost, or never had");
        Ok(())
    }

    /// The last `turns` turns of a session, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn history(&self, lease: Lease, turns: u32) -> Result<Vec<Turn>, StoreError> {
        let sql = "SELECT asked_by, asked, answer, status FROM turns \
                   WHERE session_id = (SELECT id FROM sessions WHERE token_hash = $1) \
                   ORDER BY id DESC LIMIT $2";
        let answer = with_connection!(self, Operation::ReadHistory, |db| {
            let select = sqlx::query_as(sql).bind(lease.session.as_slice()).bind(i64::from(turns));
            select.fetch_all(db).await
        });
        let rows: Vec<Row> = answer?;
        Ok(rows.into_iter().rev().map(Turn::from).collect())
    }

    /// Stores a turn and the state of the scene after it: both or neither. Once this has returned, neither is
    /// lost if the process dies.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_turn(&self, lease: Lease, turn: &Turn, world: &str) -> Result<(), StoreError> {
        let mut written = self.try_add_turn(lease, turn, world).await?;
        if let WriteResult::Behind = written {
            self.raise_fencing_token(lease).await?;
            written = self.try_add_turn(lease, turn, world).await?;
        }
        written.into()
    }

    async fn try_add_turn(
        &self,
        lease: Lease,
        turn: &Turn,
        world: &str,
    ) -> Result<WriteResult, StoreError> {
        let sql = "INSERT INTO turns (session_id, asked_by, asked, answer, status, ended_at_ms) \
                   VALUES ((SELECT id FROM sessions WHERE token_hash = $1), $2, $3, $4, $5, $6)";
        let session = lease.session.as_slice();
        // PostgreSQL's text type takes no NUL; a line of a player has none anyway.
        let answer = turn.answer.replace('\0', "");
        let known = self.write_health.known();
        let written = with_connection!(self, Operation::AddTurn, |db| {
            let mut transaction = db.begin().await?;
            // First, so that the session can't be taken over in between.
            let update = sqlx::query(SAVE_WORLD)
                .bind(world)
                .bind(now_ms())
                .bind(session)
                .bind(lease.fencing_token)
                .bind(self.server);
            if update.execute(&mut *transaction).await?.rows_affected() == 0 {
                let select = sqlx::query_scalar(SELECT_TOKEN).bind(session);
                let found = select.fetch_optional(&mut *transaction).await?;
                return transaction.rollback().await.map(|()| WriteResult::refused(lease, found));
            }
            let insert = sqlx::query(sql)
                .bind(session)
                .bind(turn.asked_by.as_str())
                .bind(&turn.asked)
                .bind(&answer)
                .bind(turn.status.as_str())
                .bind(now_ms());
            insert.execute(&mut *transaction).await?;
            transaction.commit().await.map(|()| WriteResult::Done)
        });
        if let Ok(WriteResult::Done) = written {
            self.write_health.confirm(known);
        }
        written
    }

    /// Stores the state of the scene and releases the session: any server may take it at once.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn leave_session(&self, lease: Lease, world: &str) -> Result<(), StoreError> {
        let mut written = self.try_leave_session(lease, world).await?;
        if let WriteResult::Behind = written {
            self.raise_fencing_token(lease).await?;
            written = self.try_leave_session(lease, world).await?;
        }
        written.into()
    }

    async fn try_leave_session(
        &self,
        lease: Lease,
        world: &str,
    ) -> Result<WriteResult, StoreError> {
        let sql = "UPDATE sessions SET world = $1, used_at_ms = $2, server = NULL, \
                   handover = 'none' WHERE token_hash = $3 AND claim = $4 AND server = $5";
        let session = lease.session.as_slice();
        with_connection!(self, Operation::LeaveSession, |db| {
            let update = sqlx::query(sql)
                .bind(world)
                .bind(now_ms())
                .bind(session)
                .bind(lease.fencing_token)
                .bind(self.server);
            if update.execute(&mut *db).await?.rows_affected() > 0 {
                return Ok(WriteResult::Done);
            }
            let select = sqlx::query_scalar(SELECT_TOKEN).bind(session).fetch_optional(db);
            select.await.map(|found| WriteResult::refused(lease, found))
        })
    }
}

/// The row that a write returns. Such a write is fetched with `fetch_all`: `fetch_one` returns before the
/// commit, and would miss its error, such as a full disk.
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
