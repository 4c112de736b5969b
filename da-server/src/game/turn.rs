//! One turn: what is asked goes to the model, its words to the player and to the voice, the
//! voice's audio to the player, and the whole into the store.

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::Game;
use super::failure::{Cause, Failure};
use super::job::{Job, Request, Task};
use super::outbox::{Outbox, PlayerGone};
use super::prompt::{Sampling, prompt};
use super::protocol::ServerMessage;
use super::sentences::{self, Sentence};
use super::world::World;
use crate::llm::{LlmError, LlmEvent};
use crate::metrics::RequestStatus;
use crate::store::{AskedBy, SessionId, Turn, TurnStatus};
use crate::tts::{Speech, TtsClient, TtsError};

/// What a turn needs to know.
pub(super) struct Performance<'a> {
    pub(super) game: &'a Game,
    pub(super) outbox: &'a Outbox,
    /// Where the conversation is kept; `None` if it can't be.
    pub(super) session: Option<SessionId>,
    /// The scene as it stood when the turn began.
    pub(super) world: World,
    /// The turn's number for the player.
    pub(super) number: u64,
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
    pub(super) async fn perform(self, job: Job, cancel: CancellationToken) -> RequestStatus {
        let Job { task, request } = job;
        let mut said = String::new();
        let speaking = self.speak(&task, request.as_ref(), &mut said);
        let (status, kept_as) = match cancel.run_until_cancelled(speaking).await {
            Some(Ok(())) => (RequestStatus::Success, TurnStatus::Success),
            Some(Err(Stop::Failed)) => (RequestStatus::Error, TurnStatus::Error),
            Some(Err(Stop::PlayerGone)) | None => (RequestStatus::Cancelled, TurnStatus::Cancelled),
        };
        if let Some(request) = request {
            request.end(status);
        }
        let end = ServerMessage::TurnEnd { turn: self.number, status: status.as_str() };
        // Neither waits for the other: the store must not hold up the player, nor a player who
        // has stopped reading what is to be remembered. One who has gone needs no word of it.
        let (_, ()) = tokio::join!(self.outbox.send(end), self.keep(task, said, kept_as));
        status
    }

    /// Words, then voice; and the moment when the last of it was handed over.
    async fn speak(
        &self,
        task: &Task,
        request: Option<&Request>,
        said: &mut String,
    ) -> Result<(), Stop> {
        self.outbox.send(ServerMessage::TurnStart { turn: self.number }).await?;
        let told = match task {
            Task::Answer { asked, .. } => self.answer(asked, said).await,
            Task::Recite { text, .. } => self.tell(text, said).await.map_err(Stop::from),
        };
        match told {
            Ok(()) => self.voice(said).await?,
            Err(Stop::PlayerGone) => return Err(Stop::PlayerGone),
            Err(Stop::Failed) => {}
        }
        let delivered = self.outbox.delivered().await?;
        if let Some(request) = request {
            request.responded(delivered);
        }
        told
    }

    async fn tell(&self, text: &str, said: &mut String) -> Result<(), PlayerGone> {
        said.push_str(text);
        let piece = ServerMessage::Text { turn: self.number, text: text.to_owned() };
        self.outbox.send(piece).await
    }

    async fn answer(&self, asked: &str, said: &mut String) -> Result<(), Stop> {
        let config = &self.game.config;
        let history = match self.session {
            // What went wrong is counted and in the log; the character goes on without memory.
            Some(id) => self.game.store.history(id, config.history_turns).await.unwrap_or_default(),
            None => Vec::new(),
        };
        let sampling = Sampling { temperature: config.temperature, max_tokens: config.max_tokens };
        let prompt = prompt(&self.world, &history, asked, &sampling);
        let mut stream = match self.game.llm.stream(prompt).await {
            Ok(stream) => stream,
            Err(error) => return self.llm_failed(&error).await,
        };
        while let Some(event) = stream.next().await {
            match event {
                Ok(LlmEvent::Text(text)) => self.tell(&text, said).await?,
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

    /// Speaks what was said. A failure costs the player the voice, not the words: it is counted
    /// and said, and the turn goes on.
    async fn voice(&self, said: &str) -> Result<(), PlayerGone> {
        let Some(tts) = &self.game.tts else { return Ok(()) };
        let speech = Speech {
            text: said.trim().to_owned(),
            voice_id: self.game.voice(&self.world.scene().character).to_owned(),
        };
        match self.stream_audio(tts, speech).await {
            Ok(delivered) => delivered,
            Err(error) => {
                tracing::warn!(%error, scene = self.world.scene().id, "no voice");
                match self.failed(Failure::Tts(error.kind.into())).await {
                    Err(Stop::PlayerGone) => Err(PlayerGone),
                    _ => Ok(()),
                }
            }
        }
    }

    async fn stream_audio(
        &self,
        tts: &TtsClient,
        speech: Speech,
    ) -> Result<Result<(), PlayerGone>, TtsError> {
        let turn = self.number;
        let mut audio = tts.speak(speech).await?;
        let start = ServerMessage::AudioStart { turn, mime: audio.format.mime() };
        if self.outbox.send(start).await.is_err() {
            return Ok(Err(PlayerGone));
        }
        let mut broken = None;
        while let Some(piece) = audio.next().await {
            match piece {
                Ok(piece) => {
                    if self.outbox.audio(piece).await.is_err() {
                        return Ok(Err(PlayerGone));
                    }
                }
                Err(error) => broken = Some(error),
            }
        }
        let ended = self.outbox.send(ServerMessage::AudioEnd { turn }).await;
        broken.map_or(Ok(ended), Err)
    }

    async fn llm_failed(&self, error: &LlmError) -> Result<(), Stop> {
        tracing::warn!(%error, scene = self.world.scene().id, "no answer");
        self.failed(Failure::Llm(error.kind.into())).await
    }

    /// Counts a failure and tells the player.
    async fn failed(&self, failure: Failure) -> Result<(), Stop> {
        self.game.errors.count(failure.error_type());
        let name = &self.world.scene().character.name;
        let Sentence { code, message } = sentences::failure(failure, name);
        self.outbox.send(ServerMessage::Error { code, message }).await?;
        Err(Stop::Failed)
    }

    async fn keep(&self, task: Task, answer: String, status: TurnStatus) {
        let Some(id) = self.session.filter(|_| !answer.is_empty()) else { return };
        let (asked_by, asked) = match task {
            Task::Answer { asked_by, asked } => (asked_by, asked),
            Task::Recite { direction, .. } => (AskedBy::Scene, direction),
        };
        let store = &self.game.store;
        // What goes wrong is counted and in the log.
        let _ = store.add_turn(id, &Turn { asked_by, asked, answer, status }).await;
        let _ = store.save_world(id, &self.world.to_json()).await;
    }
}
