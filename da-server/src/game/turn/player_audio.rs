//! The audio of one turn on its way to the player: one stream of it where the format allows that, when
//! the first of it was written, and how close it came to a pause.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::TurnRunner;
use super::voice::Sound;
use crate::game::outbound::PlayerGone;
use crate::game::protocol::ServerMessage;
use crate::tts::{AudioFormat, JoinedAudio, Playback};

/// What the player was sent.
#[derive(Default)]
pub(super) struct PlayerAudio {
    /// The stream that the player was told of and that goes on.
    open: Option<JoinedAudio>,
    first: First,
    /// How long each later chunk plays, and when it was written.
    later: Vec<(Duration, oneshot::Receiver<Instant>)>,
    /// Some chunk does not tell how long it plays, or some audio never came.
    is_untimed: bool,
}

/// The first audio of the turn.
#[derive(Default)]
enum First {
    #[default]
    NotYet,
    /// It is on its way, and plays so long.
    Sent(Duration, oneshot::Receiver<Instant>),
    /// It was written then, and plays so long.
    Written(Duration, Instant),
    /// The connection closed before that.
    Lost,
}

impl PlayerAudio {
    /// Whether the first audio is on its way.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.first, First::Sent(..))
    }

    /// Whether the player had the first of it.
    pub(super) fn is_heard(&self) -> bool {
        matches!(self.first, First::Written(..))
    }

    /// When the first audio was written to the player's socket; `None` if the connection closed before.
    /// To be asked for while it [is under way](Self::is_under_way). Cancelling it loses nothing.
    pub(super) async fn first_written(&mut self) -> Option<Instant> {
        let First::Sent(lasts, written) = &mut self.first else { return None };
        let (lasts, at) = (*lasts, written.await.ok());
        self.first = at.map_or(First::Lost, |at| First::Written(lasts, at));
        at
    }

    /// How far the audio was ahead of a player who began to play with the first chunk, where that was
    /// least. `None` if not every chunk was written yet, if there is only one, or if the format does not
    /// tell how long it plays.
    pub(super) fn worst_margin_seconds(self) -> Option<f64> {
        let First::Written(lasts, at) = self.first else { return None };
        if self.is_untimed {
            return None;
        }
        let mut playback = Playback::default();
        playback.chunk(at, lasts);
        for (lasts, mut written) in self.later {
            playback.chunk(written.try_recv().ok()?, lasts);
        }
        playback.worst_margin_seconds()
    }

    /// The voice has failed: what the player heard is not all of it.
    pub(super) fn broke_off(&mut self) {
        self.is_untimed = true;
    }

    fn sent(&mut self, lasts: Option<Duration>, written: oneshot::Receiver<Instant>) {
        self.is_untimed |= lasts.is_none();
        let lasts = lasts.unwrap_or_default();
        match self.first {
            First::NotYet => self.first = First::Sent(lasts, written),
            _ if self.is_untimed => self.later.clear(),
            _ => self.later.push((lasts, written)),
        }
    }
}

impl TurnRunner<'_> {
    /// Sends audio to the player.
    pub(super) async fn play(
        &mut self,
        audio: &mut PlayerAudio,
        sound: Sound,
    ) -> Result<(), PlayerGone> {
        let chunk = match sound {
            Sound::Begin(format) => self.open(audio, format).await?,
            Sound::Chunk(chunk) => audio.open.as_mut().map(|open| open.next(chunk)),
            Sound::End => audio.open.as_mut().map(JoinedAudio::end),
        };
        match chunk.filter(|chunk| !chunk.is_empty()) {
            Some(chunk) => self.send_audio(audio, chunk).await,
            None => Ok(()),
        }
    }

    /// The audio is over.
    pub(super) async fn close(&mut self, audio: &mut PlayerAudio) -> Result<(), PlayerGone> {
        match audio.open.take() {
            Some(_) => self.send(ServerMessage::AudioEnd { turn: self.number }).await,
            None => Ok(()),
        }
    }

    /// An utterance of this format begins. It goes on in the stream that is open if it can.
    async fn open(
        &mut self,
        audio: &mut PlayerAudio,
        format: AudioFormat,
    ) -> Result<Option<Bytes>, PlayerGone> {
        if !audio.open.as_ref().is_some_and(|open| open.takes(format)) {
            self.close(audio).await?;
            let begins = ServerMessage::AudioStart { turn: self.number, mime: format.mime() };
            self.send(begins).await?;
            audio.open = Some(JoinedAudio::new(format));
        }
        Ok(audio.open.as_mut().map(JoinedAudio::begin))
    }

    async fn send_audio(
        &mut self,
        audio: &mut PlayerAudio,
        chunk: Bytes,
    ) -> Result<(), PlayerGone> {
        let lasts = audio.open.as_ref().and_then(|open| open.format().duration(chunk.len()));
        self.enter(self.delivery());
        let written = self.outbound.audio(chunk).await?;
        audio.sent(lasts, written);
        Ok(())
    }
}
