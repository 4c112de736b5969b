//! One turn: asks the model, sends its text to the player, has it spoken, sends the audio to the player, and
//! stores the whole.

mod synthesis;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::Game;
use super::failure::{Cause, Failure};
use super::job::{Request, Task};
use super::outbound::{OutboundSender, PlayerGone};
use super::player_texts;
use super::prompt::{Sampling, prompt};
use super::protocol::ServerMessage;
use super::stage::TurnStage;
use super::world::World;
use crate::llm::{LlmError, LlmEvent};
use crate::metrics::RequestStatus;
use crate::store::{AskedBy, Lease, TurnStatus};
use synthesis::Utterance;

/// Runs one turn.
pub(super) struct TurnRunner<'a> {
    /// The turn's number in this process, for the log.
    pub(super) id: u64,
    pub(super) game: &'a Game,
    pub(super) outbound: &'a OutboundSender,
    /// The right to write the session to the store.
    pub(super) lease: Lease,
    /// Whether the session had turns before.
    pub(super) has_past: bool,
    /// To be cancelled when the store says that the session has a newer connection.
    pub(super) replaced: CancellationToken,
    /// The scene as it stood when the turn began.
    pub(super) world: World,
    /// The turn's number for the player.
    pub(super) number: u64,
    /// The request that it answers; `None` for what nobody asked for.
    pub(super) request: Option<Request>,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndedTurn {
    /// The status under which it is counted.
    pub(super) status: RequestStatus,
    /// Whether the player got any text of it.
    pub(super) has_words: bool,
}

/// Why a turn has no end of its own.
enum Stop {
    /// It failed, which has been counted and reported to the player.
    Failed,
    PlayerGone,
}

impl From<PlayerGone> for Stop {
    fn from(_: PlayerGone) -> Self {
        Self::PlayerGone
    }
}

impl TurnRunner<'_> {
    /// Runs `task`. Cancelling drops what runs, and with it the calls to the providers.
    pub(super) async fn run(mut self, task: Task, cancel: CancellationToken) -> EndedTurn {
        let mut said = String::new();
        let speaking = self.run_steps(&task, &mut said);
        let (status, kept_as) = match cancel.run_until_cancelled(speaking).await {
            Some(Ok(())) => (RequestStatus::Success, TurnStatus::Success),
            Some(Err(Stop::Failed)) => (RequestStatus::Error, TurnStatus::Error),
            Some(Err(Stop::PlayerGone)) | None => (RequestStatus::Cancelled, TurnStatus::Cancelled),
        };
        if let Some(request) = self.request.take() {
            request.end(status);
        }
        let has_words = !said.trim().is_empty();
        // In this order: the player may only be told that the turn is kept when it is. The wait for the store
        // is bounded there; a player who has gone needs no message.
        let kept = self.persist(task, said, kept_as).await;
        let end = ServerMessage::TurnEnd { turn: self.number, status: status.as_str(), kept };
        let _ = self.outbound.send(end).await;
        EndedTurn { status, has_words }
    }

    /// The text, then the audio, and the time when the last of both was written to the socket.
    async fn run_steps(&mut self, task: &Task, said: &mut String) -> Result<(), Stop> {
        self.send(ServerMessage::TurnStart { turn: self.number }).await?;
        let told = match task {
            Task::Answer { asked_by, asked } => self.answer((*asked_by, asked), said).await,
            Task::Scripted { text, .. } => self.send_text(text, said).await.map_err(Stop::from),
        };
        let utterance = match told {
            Ok(()) => self.synthesize(said).await?,
            Err(Stop::PlayerGone) => return Err(Stop::PlayerGone),
            Err(Stop::Failed) => None,
        };
        self.enter(TurnStage::Delivery);
        let delivered = self.outbound.delivered().await?;
        if let Some(request) = &mut self.request {
            request.responded(delivered);
        }
        if let Some(margin) = utterance.and_then(Utterance::worst_margin_seconds) {
            self.game.metrics.spoken(margin);
        }
        told
    }

    /// From now on the turn is in this stage.
    pub(super) fn enter(&mut self, stage: TurnStage) {
        if let Some(request) = &mut self.request {
            request.enter(stage);
        }
    }

    /// Sends a message to the player, and stays in the stage of delivery.
    async fn send(&mut self, message: ServerMessage) -> Result<(), PlayerGone> {
        self.enter(TurnStage::Delivery);
        self.outbound.send(message).await
    }

    async fn send_text(&mut self, text: &str, said: &mut String) -> Result<(), PlayerGone> {
        said.push_str(text);
        let chunk = ServerMessage::Text { turn: self.number, text: text.to_owned() };
        self.send(chunk).await
    }

    async fn answer(&mut self, asked: (AskedBy, &str), said: &mut String) -> Result<(), Stop> {
        let game = self.game;
        let config = &game.config;
        self.enter(TurnStage::History);
        // The store counts and logs a failure; the character goes on without memory.
        let history =
            game.store.history(self.lease, config.history_turns).await.unwrap_or_default();
        self.enter(TurnStage::Prompt);
        let sampling = Sampling { temperature: config.temperature, max_tokens: config.max_tokens };
        let prompt = prompt(&self.world, &history, asked, &sampling);
        self.enter(TurnStage::LlmFirstToken);
        let mut stream = match game.llm.stream(prompt).await {
            Ok(stream) => stream,
            Err(error) => return self.llm_failed(&error).await,
        };
        while let Some(event) = stream.next().await {
            match event {
                Ok(LlmEvent::Text(text)) => {
                    self.send_text(&text, said).await?;
                    self.enter(TurnStage::LlmRest);
                }
                Ok(LlmEvent::Instead(text)) => {
                    // The player has seen it; it is not kept, and not spoken.
                    said.clear();
                    if !text.is_empty() {
                        self.send_text(&text, said).await?;
                    }
                    self.enter(TurnStage::LlmRest);
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
            let scene = &self.world.scene().id;
            tracing::warn!(turn_id = self.id, scene, "the model's answer was empty");
            return self.failed(Failure::Llm(Cause::Protocol)).await;
        }
        Ok(())
    }

    async fn llm_failed(&mut self, error: &LlmError) -> Result<(), Stop> {
        let (turn_id, scene) = (self.id, &self.world.scene().id);
        tracing::warn!(%error, turn_id, call_id = error.call_id, scene, "the LLM call failed");
        self.failed(Failure::Llm(error.kind.into())).await
    }

    /// Counts a failure and reports it to the player.
    async fn failed(&mut self, failure: Failure) -> Result<(), Stop> {
        self.game.errors.count(failure.error_type());
        let name = &self.world.scene().character.name;
        let error = player_texts::failure(failure, name).error();
        self.send(error).await?;
        Err(Stop::Failed)
    }
}
