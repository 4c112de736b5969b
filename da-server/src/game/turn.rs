//! One turn: asks the model, sends its text to the player, has each sentence spoken as soon as it is there,
//! sends the audio to the player, and stores the whole.
//!
//! `sentences` cuts the text, `voice` has it spoken, `speaker` is both. `player_audio` makes one stream of the
//! audio, `outbox` holds what the player's connection has not taken yet, and `speak` is what goes on at once.

mod outbox;
mod player_audio;
mod sentences;
mod speak;
mod speaker;
mod voice;

use tokio_util::sync::CancellationToken;

use super::Game;
use super::failure::Failure;
use super::job::{Request, Task};
use super::outbound::{OutboundSender, PlayerGone};
use super::player_texts;
use super::prompt::{Sampling, prompt};
use super::protocol::ServerMessage;
use super::stage::TurnStage;
use super::world::World;
use crate::llm::{LlmError, LlmStream};
use crate::metrics::RequestStatus;
use crate::store::{AskedBy, Lease, TurnStatus};
use outbox::Outbox;
use player_audio::PlayerAudio;
use speak::TurnSpeech;
use speaker::Speaker;

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
    /// Whether it is in one of the stages of the rest.
    pub(super) in_rest: bool,
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

    /// Text and audio, and the time when the last of both was written to the socket.
    async fn run_steps(&mut self, task: &Task, said: &mut String) -> Result<(), Stop> {
        self.enter(TurnStage::Delivery);
        self.outbound.send(ServerMessage::TurnStart { turn: self.number }).await?;
        let (game, scene) = (self.game, self.world.scene().clone());
        let mut speech = TurnSpeech {
            answer: None,
            speaker: Speaker::new(game.tts.as_ref(), &scene.character),
            audio: PlayerAudio::default(),
            outbox: Outbox::new(self.number),
            has_words: false,
        };
        let mut outcome = Ok(());
        match task {
            Task::Answer { asked_by, asked } => match self.ask((*asked_by, asked)).await {
                Ok(answer) => speech.answer = Some(answer),
                Err(failure) => {
                    self.fail(failure, &mut speech.outbox);
                    outcome = Err(Stop::Failed);
                }
            },
            Task::Scripted { text, .. } => {
                speech.speaker.recite(text);
                speech.outbox.text(text);
            }
        }
        match self.speak(&mut speech, said).await {
            Err(Stop::PlayerGone) => return Err(Stop::PlayerGone),
            spoken => outcome = outcome.and(spoken),
        }
        self.enter(self.delivery());
        let delivered = self.outbound.delivered().await?;
        if let Some(request) = &mut self.request {
            request.responded(delivered);
        }
        if let Some(margin) = speech.audio.worst_margin_seconds() {
            game.metrics.spoken(margin);
        }
        outcome
    }

    /// Asks the model, and waits for its first text.
    async fn ask(&mut self, asked: (AskedBy, &str)) -> Result<LlmStream, Failure> {
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
        game.llm.stream(prompt).await.map_err(|error| self.llm_failure(&error))
    }

    /// From now on the turn is in this stage.
    pub(super) fn enter(&mut self, stage: TurnStage) {
        self.in_rest |= stage == TurnStage::Rest;
        if let Some(request) = &mut self.request {
            request.enter(stage);
        }
    }

    /// The stage in which the turn waits for the player's connection.
    fn delivery(&self) -> TurnStage {
        if self.in_rest { TurnStage::RestDelivery } else { TurnStage::Delivery }
    }

    fn llm_failure(&self, error: &LlmError) -> Failure {
        let (turn_id, scene) = (self.id, &self.world.scene().id);
        tracing::warn!(%error, turn_id, call_id = error.call_id, scene, "the LLM call failed");
        Failure::Llm(error.kind.into())
    }

    /// Counts a failure and reports it to the player.
    fn fail(&self, failure: Failure, outbox: &mut Outbox) {
        self.game.errors.count(failure.error_type());
        let name = &self.world.scene().character.name;
        outbox.message(player_texts::failure(failure, name).error());
    }
}
