//! The audio of one turn for its player: one stream of it where the format allows that, when the first of it
//! was written, and how close it came to a pause.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::outbox::Outbox;
use super::voice::Sound;
use crate::game::protocol::ServerMessage;
use crate::tts::{AudioFormat, JoinedAudio, Playback};

/// What the player gets.
pub(super) struct PlayerAudio {
    /// The turn's number for the player.
    turn: u64,
    /// The stream that the player was told of and that goes on.
    open: Option<JoinedAudio>,
    format: Option<AudioFormat>,
    first: First,
    /// How long each later chunk plays, and when it was written.
    later: Vec<(Duration, oneshot::Receiver<Instant>)>,
    /// Some chunk does not tell how long it plays, or some audio never came.
    is_untimed: bool,
}

/// The first audio of the turn.
enum First {
    NotYet,
    /// It is on its way, and plays so long.
    Sent(Duration, oneshot::Receiver<Instant>),
    /// It was written then, and plays so long.
    Written(Duration, Instant),
    /// The connection closed before that.
    Lost,
}

impl PlayerAudio {
    pub(super) fn new(turn: u64) -> Self {
        Self {
            turn,
            open: None,
            format: None,
            first: First::NotYet,
            later: Vec::new(),
            is_untimed: false,
        }
    }

    /// More audio for the player.
    pub(super) fn play(&mut self, sound: Sound, outbox: &mut Outbox) {
        match sound {
            Sound::Begin(format) => {
                if !self.open.as_mut().is_some_and(|open| open.goes_on_with(format)) {
                    self.close(outbox);
                    let (turn, mime) = (self.turn, format.mime());
                    outbox.message(ServerMessage::AudioStart { turn, mime });
                    self.open = Some(JoinedAudio::new(format));
                    self.format = Some(format);
                }
            }
            Sound::Chunk(chunk) => {
                outbox.audio(self.open.as_mut().map(|open| open.next(chunk)).unwrap_or_default());
            }
            Sound::End => {
                outbox.audio(self.open.as_mut().map(JoinedAudio::end).unwrap_or_default());
            }
        }
    }

    /// The stream is over.
    pub(super) fn close(&mut self, outbox: &mut Outbox) {
        if self.open.take().is_some() {
            outbox.message(ServerMessage::AudioEnd { turn: self.turn });
        }
    }

    /// What the player has of it is not to be heard.
    pub(super) fn drop_all(&mut self, outbox: &mut Outbox) {
        self.break_off(outbox);
        if self.format.is_some() {
            outbox.message(ServerMessage::AudioDrop { turn: self.turn });
        }
    }

    /// The voice has failed: what the player heard is not all of it.
    pub(super) fn break_off(&mut self, outbox: &mut Outbox) {
        self.is_untimed = true;
        self.close(outbox);
    }

    /// The connection has taken a chunk of so many bytes.
    pub(super) fn sent(&mut self, bytes: usize, written: oneshot::Receiver<Instant>) {
        let lasts = self.format.and_then(|format| format.duration(bytes));
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
}
