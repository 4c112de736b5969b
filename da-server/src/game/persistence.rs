//! Stores a turn before the player is told that it is kept.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::Game;
use super::job::Task;
use super::not_kept::NotKept;
use super::player_texts::{self, PlayerText};
use super::protocol::ServerMessage;
use super::turn::TurnRunner;
use super::world::World;
use crate::store::{AskedBy, Lease, StoreError, Turn, TurnStatus};

/// How long the end of a turn waits for the store. A healthy database takes milliseconds; one that is busy,
/// or fails over, may take seconds, and then the player is told that the turn is not kept.
const PERSIST_TIMEOUT: Duration = Duration::from_secs(5);

impl Game {
    /// Creates a session in a database that does not have it, since it was not available when the session
    /// began, or has lost it. `json` is the state of `world`.
    pub(super) async fn restore(
        &self,
        lease: Lease,
        world: &World,
        json: &str,
    ) -> Result<(), StoreError> {
        let (scene, difficulty) = (&world.scene().id, world.difficulty().as_str());
        self.store.restore_session(lease, scene, difficulty, json).await
    }
}

/// Whether a turn was stored. It is counted when this is dropped, also if the turn is given up in the
/// middle.
struct PersistResult<'a> {
    game: &'a Game,
    turn_id: u64,
    not_kept: Option<NotKept>,
}

impl Drop for PersistResult<'_> {
    fn drop(&mut self) {
        let Some(reason) = self.not_kept else { return };
        if reason == NotKept::Late {
            self.game.store.turn_timed_out();
        }
        self.game.metrics.not_kept(reason);
        tracing::warn!(turn_id = self.turn_id, reason = reason.as_str(), "a turn was not stored");
    }
}

impl TurnRunner<'_> {
    /// Stores the turn, and returns whether it is in the database now; `None` if it has no text.
    pub(super) async fn persist(
        &self,
        task: Task,
        answer: String,
        status: TurnStatus,
    ) -> Option<bool> {
        // A blank answer, as after an interruption at the first line break, counts as none: see `prompt`.
        if answer.trim().is_empty() {
            return None;
        }
        let (asked_by, asked) = match task {
            Task::Answer { asked_by, asked } => (asked_by, asked),
            Task::Scripted { direction, .. } => (AskedBy::Scene, direction),
        };
        let turn = Turn { asked_by, asked, answer, status };
        // What is not done by then is given up; a commit that is under way may succeed all the same.
        let not_kept = Some(NotKept::Late);
        let mut outcome = PersistResult { game: self.game, turn_id: self.id, not_kept };
        if let Ok(stored) = timeout(PERSIST_TIMEOUT, self.store(&turn)).await {
            outcome.not_kept = stored.err();
        }
        Some(outcome.not_kept.is_none())
    }

    async fn store(&self, turn: &Turn) -> Result<(), NotKept> {
        let world = self.world.to_json(Instant::now());
        let mut stored = self.game.store.add_turn(self.lease, turn, &world).await;
        if let Err(StoreError::Unknown) = stored {
            stored = self.restore_and_store(turn, &world).await;
        }
        stored.map_err(|error| match error {
            StoreError::Replaced => {
                self.replaced.cancel();
                NotKept::Replaced
            }
            // The store has counted and logged it.
            _ => NotKept::Failed,
        })
    }

    /// Stores the session anew, which the database has lost, or did not get when it was not available: the
    /// conversation from now on is kept.
    async fn restore_and_store(&self, turn: &Turn, world: &str) -> Result<(), StoreError> {
        self.game.restore(self.lease, &self.world, world).await?;
        self.game.store.add_turn(self.lease, turn, world).await?;
        if self.has_past {
            let PlayerText { code, message } = player_texts::history_lost();
            self.outbound.send_if_room(ServerMessage::Notice { code, message });
        }
        Ok(())
    }
}
