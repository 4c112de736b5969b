//! The voice of a turn: what was said goes out, audio comes and is handed on.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::oneshot;

use super::{Performance, Stop};
use crate::game::failure::Failure;
use crate::game::outbox::PlayerGone;
use crate::game::protocol::ServerMessage;
use crate::game::stage::Stage;
use crate::tts::{Playback, Speech, TtsClient, TtsError};

/// The chunks of a whole utterance: how long each plays, and the word that it was handed to the
/// player's socket.
pub(super) struct Utterance(Vec<(Duration, oneshot::Receiver<Instant>)>);

impl Utterance {
    /// How far the audio was ahead of a player who began to play with the first chunk, where that
    /// was least. `None` if not every chunk was handed over yet, or there is only one.
    pub(super) fn worst_margin_seconds(self) -> Option<f64> {
        let mut playback = Playback::default();
        for (lasts, mut handed_over) in self.0 {
            playback.chunk(handed_over.try_recv().ok()?, lasts);
        }
        playback.worst_margin_seconds()
    }
}

impl Performance<'_> {
    /// Speaks what was said. A failure costs the player the voice, not the words: it is counted
    /// and said, and the turn goes on. `None`: nothing was spoken to its end, or nobody can tell
    /// how long it plays.
    pub(super) async fn voice(&mut self, said: &str) -> Result<Option<Utterance>, PlayerGone> {
        let game = self.game;
        let Some(tts) = &game.tts else { return Ok(None) };
        let character = &self.world.scene().character;
        let speech = Speech {
            text: said.trim().to_owned(),
            character: character.id.clone(),
            voice_id: character.voice.clone(),
        };
        match self.stream_audio(tts, speech).await {
            Ok(delivered) => delivered,
            Err(error) => {
                tracing::warn!(%error, scene = self.world.scene().id, "no voice");
                match self.failed(Failure::Tts(error.kind.into())).await {
                    Err(Stop::PlayerGone) => Err(PlayerGone),
                    _ => Ok(None),
                }
            }
        }
    }

    async fn stream_audio(
        &mut self,
        tts: &TtsClient,
        speech: Speech,
    ) -> Result<Result<Option<Utterance>, PlayerGone>, TtsError> {
        let turn = self.number;
        self.enter(Stage::TtsFirstByte);
        let mut audio = tts.speak(speech).await?;
        let format = audio.format;
        if self.send(ServerMessage::AudioStart { turn, mime: format.mime() }).await.is_err() {
            return Ok(Err(PlayerGone));
        }
        let mut broken = None;
        let mut chunks = Some(Vec::new());
        self.enter(Stage::TtsRest);
        while let Some(chunk) = audio.next().await {
            match chunk {
                Ok(chunk) => {
                    let lasts = format.duration(chunk.len());
                    self.enter(Stage::Delivery);
                    let Ok(handed_over) = self.outbox.audio(chunk).await else {
                        return Ok(Err(PlayerGone));
                    };
                    match (&mut chunks, lasts) {
                        (Some(chunks), Some(lasts)) => chunks.push((lasts, handed_over)),
                        _ => chunks = None,
                    }
                    self.enter(Stage::TtsRest);
                }
                Err(error) => broken = Some(error),
            }
        }
        let ended = self.send(ServerMessage::AudioEnd { turn }).await;
        broken.map_or(Ok(ended.map(|()| chunks.map(Utterance))), Err)
    }
}
