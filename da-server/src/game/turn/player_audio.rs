//! The audio of one turn for its player: one stream of it where the format allows that, when the first of it
//! was written, and how close it came to a pause.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::outbox::Outbox;
use super::voice::VoiceEvent;
use crate::game::outbound::PlayerGone;
use crate::tts::{JoinedAudio, Playback};

/// What the player gets.
#[derive(Default)]
pub(super) struct PlayerAudio {
    /// The stream that goes on.
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
}

impl PlayerAudio {
    /// More audio for the player.
    pub(super) fn play(&mut self, event: VoiceEvent, outbox: &mut Outbox) {
        match event {
            VoiceEvent::Begin(format) => {
                if !self.open.as_mut().is_some_and(|open| open.goes_on_with(format)) {
                    self.close(outbox);
                    outbox.audio_start(format.mime());
                    self.open = Some(JoinedAudio::new(format));
                }
            }
            VoiceEvent::Chunk(chunk) => self.add(outbox, |open| open.next(chunk)),
            VoiceEvent::End => self.add(outbox, JoinedAudio::end),
        }
    }

    fn add(&mut self, outbox: &mut Outbox, next: impl FnOnce(&mut JoinedAudio) -> Bytes) {
        if let Some(open) = &mut self.open {
            let chunk = next(open);
            let lasts = open.format().duration(chunk.len());
            outbox.audio(chunk, lasts);
        }
    }

    /// The stream is over.
    pub(super) fn close(&mut self, outbox: &mut Outbox) {
        if self.open.take().is_some() {
            outbox.audio_end();
        }
    }

    /// What was spoken so far is not to be heard.
    pub(super) fn take_back(&mut self, outbox: &mut Outbox) {
        self.open = None;
        self.is_untimed = true;
        outbox.take_back();
    }

    /// The voice has failed: what the player heard is not all of it.
    pub(super) fn break_off(&mut self, outbox: &mut Outbox) {
        self.is_untimed = true;
        self.close(outbox);
    }

    /// The connection has taken a chunk that plays so long.
    pub(super) fn sent(&mut self, lasts: Option<Duration>, written: oneshot::Receiver<Instant>) {
        self.is_untimed |= lasts.is_none();
        let lasts = lasts.unwrap_or_default();
        match self.first {
            First::NotYet => self.first = First::Sent(lasts, written),
            _ if self.is_untimed => self.later.clear(),
            _ => self.later.push((lasts, written)),
        }
    }

    /// Whether the first audio is on its way.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.first, First::Sent(..))
    }

    /// Whether the player had the first of it.
    pub(super) fn is_heard(&self) -> bool {
        matches!(self.first, First::Written(..))
    }

    /// When the first audio was written to the player's socket, which is to be asked for while it
    /// [is under way](Self::is_under_way). Cancelling it loses nothing.
    ///
    /// # Errors
    /// The connection closed before that.
    pub(super) async fn first_written(&mut self) -> Result<Instant, PlayerGone> {
        let First::Sent(lasts, written) = &mut self.first else { return Err(PlayerGone) };
        let (lasts, at) = (*lasts, written.await.map_err(|_| PlayerGone)?);
        self.first = First::Written(lasts, at);
        Ok(at)
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
}
