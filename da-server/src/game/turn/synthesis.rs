//! Speech synthesis of a turn: its text goes to the speech provider, the audio to the player.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::oneshot;

use super::{Stop, TurnRunner};
use crate::game::failure::Failure;
use crate::game::outbound::PlayerGone;
use crate::game::protocol::ServerMessage;
use crate::game::stage::TurnStage;
use crate::tts::{Playback, Speech, TtsClient, TtsError};

/// The chunks of a whole utterance: how long each plays, and when it was written to the player's socket.
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

impl TurnRunner<'_> {
    /// Has the text spoken. A failure costs the player the audio, not the text: it is counted and reported,
    /// and the turn goes on. `None`: nothing was spoken to its end, or the format does not tell how long it
    /// plays.
    pub(super) async fn synthesize(&mut self, said: &str) -> Result<Option<Utterance>, PlayerGone> {
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
                let (turn_id, scene) = (self.id, &self.world.scene().id);
                tracing::warn!(%error, turn_id, call_id = error.call_id, scene, "the TTS call failed");
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
        self.enter(TurnStage::TtsFirstByte);
        let mut audio = tts.speak(speech).await?;
        let format = audio.format;
        if self.send(ServerMessage::AudioStart { turn, mime: format.mime() }).await.is_err() {
            return Ok(Err(PlayerGone));
        }
        let mut broken = None;
        let mut chunks = Some(Vec::new());
        self.enter(TurnStage::TtsRest);
        while let Some(chunk) = audio.next().await {
            match chunk {
                Ok(chunk) => {
                    let lasts = format.duration(chunk.len());
                    self.enter(TurnStage::Delivery);
                    let Ok(handed_over) = self.outbound.audio(chunk).await else {
                        return Ok(Err(PlayerGone));
                    };
                    match (&mut chunks, lasts) {
                        (Some(chunks), Some(lasts)) => chunks.push((lasts, handed_over)),
                        _ => chunks = None,
                    }
                    self.enter(TurnStage::TtsRest);
                }
                Err(error) => broken = Some(error),
            }
        }
        let ended = self.send(ServerMessage::AudioEnd { turn }).await;
        broken.map_or(Ok(ended.map(|()| chunks.map(Utterance))), Err)
    }
}
