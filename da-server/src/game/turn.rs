//! One turn: what is asked goes to the model, its words to the player and to the voice, the
//! voice's audio to the player, and the whole into the store.

mod voice;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::Game;
use super::failure::{Cause, Failure};
use super::job::{Request, Task};
use super::outbox::{Outbox, PlayerGone};
use super::prompt::{Sampling, prompt};
use super::protocol::ServerMessage;
use super::sentences::{self, Sentence};
use super::stage::Stage;
use super::world::World;
use crate::llm::{LlmError, LlmEvent};
use crate::metrics::RequestStatus;
use crate::store::{AskedBy, Claim, StoreError, Turn, TurnStatus};
use voice::Utterance;

/// What a turn needs to know.
pub(super) struct Performance<'a> {
    pub(super) game: &'a Game,
    pub(super) outbox: &'a Outbox,
    /// Where the conversation is kept; `None` if it can't be.
    pub(super) claim: Option<Claim>,
    /// To be cancelled when the session turns out to be another connection's.
    pub(super) replaced: CancellationToken,
    /// The scene as it stood when the turn began.
    pub(super) world: World,
    /// The turn's number for the player.
    pub(super) number: u64,
    /// Whose answer it is; `None` for what nobody asked for.
    pub(super) request: Option<Request>,
}

/// Why a turn has no end of its own.
enum Stop {
    /// It failed; counted and said.
    Failed,
    PlayerGone,
}

impl From<PlayerGone> for Stop {
    fn from(_: PlayerGone) -> Self {
        Self::PlayerGone
    }
}

impl Performance<'_> {
    /// Performs `job`. Cancelling drops what runs, and with it the calls to the providers.
    pub(super) async fn perform(mut self, task: Task, cancel: CancellationToken) -> RequestStatus {
        let mut said = String::new();
        let speaking = self.speak(&task, &mut said);
        let (status, kept_as) = match cancel.run_until_cancelled(speaking).await {
            Some(Ok(())) => (RequestStatus::Success, TurnStatus::Success),
            Some(Err(Stop::Failed)) => (RequestStatus::Error, TurnStatus::Error),
            Some(Err(Stop::PlayerGone)) | None => (RequestStatus::Cancelled, TurnStatus::Cancelled),
        };
        if let Some(request) = self.request.take() {
            request.end(status);
        }
        let end = ServerMessage::TurnEnd { turn: self.number, status: status.as_str() };
        // Neither waits for the other: the store must not hold up the player, nor a player who
        // has stopped reading what is to be remembered. One who has gone needs no word of it.
        let (_, ()) = tokio::join!(self.outbox.send(end), self.keep(task, said, kept_as));
        status
    }

    /// Words, then voice; and the moment when the last of it was handed over.
    async fn speak(&mut self, task: &Task, said: &mut String) -> Result<(), Stop> {
        self.send(ServerMessage::TurnStart { turn: self.number }).await?;
        let told = match task {
            Task::Answer { asked, .. } => self.answer(asked, said).await,
            Task::Recite { text, .. } => self.tell(text, said).await.map_err(Stop::from),
        };
        let utterance = match told {
            Ok(()) => self.voice(said).await?,
            Err(Stop::PlayerGone) => return Err(Stop::PlayerGone),
            Err(Stop::Failed) => None,
        };
        self.enter(Stage::Delivery);
        let delivered = self.outbox.delivered().await?;
        if let Some(request) = &mut self.request {
            request.responded(delivered);
        }
        if let Some(margin) = utterance.and_then(Utterance::worst_margin_seconds) {
            self.game.metrics.spoken(margin);
        }
        told
    }

    /// From now on the turn waits for this.
    pub(super) fn enter(&mut self, stage: Stage) {
        if let Some(request) = &mut self.request {
            request.enter(stage);
        }
    }

    /// Waits for room on the way to the player, and stays in that stage.
    async fn send(&mut self, message: ServerMessage) -> Result<(), PlayerGone> {
        self.enter(Stage::Delivery);
        self.outbox.send(message).await
    }

    async fn tell(&mut self, text: &str, said: &mut String) -> Result<(), PlayerGone> {
        said.push_str(text);
        let piece = ServerMessage::Text { turn: self.number, text: text.to_owned() };
        self.send(piece).await
    }

    async fn answer(&mut self, asked: &str, said: &mut String) -> Result<(), Stop> {
        let game = self.game;
        let config = &game.config;
        self.enter(Stage::History);
        let history = match self.claim {
            // What went wrong is counted and in the log; the character goes on without memory.
            Some(claim) => {
                game.store.history(claim, config.history_turns).await.unwrap_or_default()
            }
            None => Vec::new(),
        };
        self.enter(Stage::Prompt);
        let sampling = Sampling { temperature: config.temperature, max_tokens: config.max_tokens };
        let prompt = prompt(&self.world, &history, asked, &sampling);
        self.enter(Stage::LlmFirstToken);
        let mut stream = match game.llm.stream(prompt).await {
            Ok(stream) => stream,
            Err(error) => return self.llm_failed(&error).await,
        };
        while let Some(event) = stream.next().await {
            match event {
                Ok(LlmEvent::Text(text)) => {
                    self.tell(&text, said).await?;
                    self.enter(Stage::LlmRest);
                }
                Ok(LlmEvent::Done(_)) => {}
                Err(error) => return self.llm_failed(&error).await,
            }
        }
        if said.trim().is_empty() {
            tracing::warn!(scene = self.world.scene().id, "the model's answer was empty");
            return self.failed(Failure::Llm(Cause::Protocol)).await;
        }
        Ok(())
    }

    async fn llm_failed(&mut self, error: &LlmError) -> Result<(), Stop> {
        tracing::warn!(%error, scene = self.world.scene().id, "no answer");
        self.failed(Failure::Llm(error.kind.into())).await
    }

    /// Counts a failure and tells the player.
    async fn failed(&mut self, failure: Failure) -> Result<(), Stop> {
        self.game.errors.count(failure.error_type());
        let name = &self.world.scene().character.name;
        let Sentence { code, message } = sentences::failure(failure, name);
        self.send(ServerMessage::Error { code, message }).await?;
        Err(Stop::Failed)
    }

    async fn keep(&self, task: Task, answer: String, status: TurnStatus) {
        let Some(claim) = self.claim.filter(|_| !answer.is_empty()) else { return };
        let (asked_by, asked) = match task {
            Task::Answer { asked_by, asked } => (asked_by, asked),
            Task::Recite { direction, .. } => (AskedBy::Scene, direction),
        };
        let turn = Turn { asked_by, asked, answer, status };
        let kept = self.game.store.add_turn(claim, &turn, &self.world.to_json()).await;
        // Whatever else goes wrong is counted and in the log.
        if let Err(StoreError::Replaced) = kept {
            tracing::warn!("a turn was not kept: its session is another connection's by now");
            self.replaced.cancel();
        }
    }
}
