//! Every query, one method each.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{
    AskedBy, NewSession, Operation, SavedSession, SessionId, Store, StoreError, TokenHash, Turn,
    TurnStatus,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Store {
    /// Begins a session.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn create_session(&self, new: &NewSession) -> Result<SessionId, StoreError> {
        let sql = "INSERT INTO sessions (token_hash, scene, difficulty, world, used_at_ms) \
                   VALUES ($1, $2, $3, $4, $5) RETURNING id";
        let insert = sqlx::query_scalar(sql)
            .bind(new.token_hash.as_slice())
            .bind(&new.scene)
            .bind(&new.difficulty)
            .bind(&new.world)
            .bind(now_ms());
        let id = self.run(Operation::CreateSession, async |pool| insert.fetch_one(pool).await);
        id.await.map(SessionId)
    }

    /// Finds a session by its token, and counts that as use.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn find_session(
        &self,
        token_hash: &TokenHash,
    ) -> Result<Option<SavedSession>, StoreError> {
        let sql = "UPDATE sessions SET used_at_ms = $1 WHERE token_hash = $2 \
                   RETURNING id, scene, difficulty, world";
        let find = sqlx::query_as(sql).bind(now_ms()).bind(token_hash.as_slice());
        self.run(Operation::FindSession, async |pool| find.fetch_optional(pool).await).await
    }

    /// Keeps the state of a session's scene.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn save_world(&self, id: SessionId, world: &str) -> Result<(), StoreError> {
        let sql = "UPDATE sessions SET world = $1, used_at_ms = $2 WHERE id = $3";
        let update = sqlx::query(sql).bind(world).bind(now_ms()).bind(id.0);
        let run = self.run(Operation::SaveWorld, async |pool| update.execute(pool).await);
        run.await.map(|_| ())
    }

    /// The last `turns` turns of a session, oldest first.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn history(&self, id: SessionId, turns: u32) -> Result<Vec<Turn>, StoreError> {
        let sql = "SELECT asked_by, asked, answer, status FROM turns \
                   WHERE session_id = $1 ORDER BY id DESC LIMIT $2";
        let select = sqlx::query_as(sql).bind(id.0).bind(turns);
        let rows: Vec<Row> =
            self.run(Operation::ReadHistory, async |pool| select.fetch_all(pool).await).await?;
        Ok(rows.into_iter().rev().map(Turn::from).collect())
    }

    /// Keeps a turn.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn add_turn(&self, id: SessionId, turn: &Turn) -> Result<(), StoreError> {
        let sql = "INSERT INTO turns (session_id, asked_by, asked, answer, status, ended_at_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let insert = sqlx::query(sql)
            .bind(id.0)
            .bind(turn.asked_by.as_str())
            .bind(&turn.asked)
            .bind(&turn.answer)
            .bind(turn.status.as_str())
            .bind(now_ms());
        let run = self.run(Operation::AddTurn, async |pool| insert.execute(pool).await);
        run.await.map(|_| ())
    }

    /// Deletes the conversations that nobody came back to in the configured time.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn delete_unused(&self) -> Result<(), StoreError> {
        let oldest = now_ms() - i64::from(self.config.retention_days) * DAY_MS;
        let delete = sqlx::query("DELETE FROM sessions WHERE used_at_ms < $1").bind(oldest);
        let run = self.run(Operation::DeleteUnused, async |pool| delete.execute(pool).await);
        let deleted = run.await?.rows_affected();
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
        let select = sqlx::query("SELECT id FROM sessions LIMIT 1");
        let run = self.run(Operation::Ping, async |pool| select.fetch_optional(pool).await);
        run.await.map(|_| ())
    }
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

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
