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
use super::sentences;
use super::stage::Stage;
use super::world::World;
use crate::llm::{LlmError, LlmEvent};
use crate::metrics::RequestStatus;
use crate::store::{AskedBy, Claim, TurnStatus};
use voice::Utterance;

/// What a turn needs to know.
pub(super) struct Performance<'a> {
    pub(super) game: &'a Game,
    pub(super) outbox: &'a Outbox,
    /// Where the conversation is kept.
    pub(super) claim: Claim,
    /// Something was said in this session before.
    pub(super) has_past: bool,
    /// To be cancelled when the session turns out to be another connection's.
    pub(super) replaced: CancellationToken,
    /// The scene as it stood when the turn began.
    pub(super) world: World,
    /// The turn's number for the player.
    pub(super) number: u64,
    /// Whose answer it is; `None` for what nobody asked for.
    pub(super) request: Option<Request>,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// As what it is counted.
    pub(super) status: RequestStatus,
    /// Whether the player had any words of it.
    pub(super) has_words: bool,
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
    pub(super) async fn perform(mut self, task: Task, cancel: CancellationToken) -> Ended {
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
        let has_words = !said.trim().is_empty();
        // In this order: what a player was told is kept has to be. The store waits for no player, and a
        // player for the store no longer than is bounded there; one who has gone needs no word of it.
        let kept = self.keep(task, said, kept_as).await;
        let end = ServerMessage::TurnEnd { turn: self.number, status: status.as_str(), kept };
        let _ = self.outbox.send(end).await;
        Ended { status, has_words }
    }

    /// Words, then voice; and the moment when the last of it was handed over.
    async fn speak(&mut self, task: &Task, said: &mut String) -> Result<(), Stop> {
        self.send(ServerMessage::TurnStart { turn: self.number }).await?;
        let told = match task {
            Task::Answer { asked_by, asked } => self.answer((*asked_by, asked), said).await,
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

    async fn answer(&mut self, asked: (AskedBy, &str), said: &mut String) -> Result<(), Stop> {
        let game = self.game;
        let config = &game.config;
        self.enter(Stage::History);
        // What went wrong is counted and in the log; the character goes on without memory.
        let history =
            game.store.history(self.claim, config.history_turns).await.unwrap_or_default();
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
                Ok(LlmEvent::Instead(text)) => {
                    // The player has seen it; it is not kept, and not spoken.
                    said.clear();
                    if !text.is_empty() {
                        self.tell(&text, said).await?;
                    }
                    self.enter(Stage::LlmRest);
                }
                Ok(LlmEvent::Complete) => {
                    stream.read_on();
                    break;
                }
                Ok(LlmEvent::Done(_)) => break,
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
        let error = sentences::failure(failure, name).error();
        self.send(error).await?;
        Err(Stop::Failed)
    }
}
