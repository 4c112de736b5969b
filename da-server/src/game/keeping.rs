//! What was said goes into the store before the player hears that it is kept.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::Game;
use super::job::Task;
use super::not_kept::NotKept;
use super::protocol::ServerMessage;
use super::sentences::{self, Sentence};
use super::turn::Performance;
use super::world::World;
use crate::store::{AskedBy, Claim, StoreError, Turn, TurnStatus};

/// How long the end of a turn waits for the store. A database in order takes milliseconds; one that is
/// busy, or fails over, may take seconds, and then the player is told.
const KEPT_WITHIN: Duration = Duration::from_secs(5);

impl Game {
    /// Begins a session in a database that does not have it: it was away when the session began, or has
    /// lost it. `json` is how `world` stands.
    pub(super) async fn restore(
        &self,
        claim: Claim,
        world: &World,
        json: &str,
    ) -> Result<(), StoreError> {
        let (scene, difficulty) = (&world.scene().id, world.difficulty().as_str());
        self.store.restore_session(claim, scene, difficulty, json).await
    }
}

/// What became of keeping a turn. It is counted when this is dropped, also where the turn is given up in
/// the middle.
struct Outcome<'a> {
    game: &'a Game,
    not_kept: Option<NotKept>,
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        let Some(reason) = self.not_kept else { return };
        if reason == NotKept::Late {
            self.game.store.gave_up_a_turn();
        }
        self.game.metrics.not_kept(reason);
        tracing::warn!(reason = reason.as_str(), "a turn was not kept");
    }
}

impl Performance<'_> {
    /// Keeps what was said, and says whether that is in the database now; `None` if nothing was.
    pub(super) async fn keep(
        &self,
        task: Task,
        answer: String,
        status: TurnStatus,
    ) -> Option<bool> {
        // A blank answer, as of one who interrupts the first line break, is none: see `prompt`.
        if answer.trim().is_empty() {
            return None;
        }
        let (asked_by, asked) = match task {
            Task::Answer { asked_by, asked } => (asked_by, asked),
            Task::Recite { direction, .. } => (AskedBy::Scene, direction),
        };
        let turn = Turn { asked_by, asked, answer, status };
        // What is not done by then is given up; a commit that is under way may succeed all the same.
        let mut outcome = Outcome { game: self.game, not_kept: Some(NotKept::Late) };
        if let Ok(stored) = timeout(KEPT_WITHIN, self.store(&turn)).await {
            outcome.not_kept = stored.err();
        }
        Some(outcome.not_kept.is_none())
    }

    async fn store(&self, turn: &Turn) -> Result<(), NotKept> {
        let world = self.world.to_json(Instant::now());
        let mut stored = self.game.store.add_turn(self.claim, turn, &world).await;
        if let Err(StoreError::Unknown) = stored {
            stored = self.store_anew(turn, &world).await;
        }
        stored.map_err(|error| match error {
            StoreError::Replaced => {
                self.replaced.cancel();
                NotKept::Replaced
            }
            // Counted and in the log.
            _ => NotKept::Failed,
        })
    }

    /// The database has lost the session, or was away when it began. The player is here, and what they say
    /// from now on is to be found again.
    async fn store_anew(&self, turn: &Turn, world: &str) -> Result<(), StoreError> {
        self.game.restore(self.claim, &self.world, world).await?;
        self.game.store.add_turn(self.claim, turn, world).await?;
        if self.has_past {
            let Sentence { code, message } = sentences::history_lost();
            self.outbox.send_if_room(ServerMessage::Notice { code, message });
        }
        Ok(())
    }
}
