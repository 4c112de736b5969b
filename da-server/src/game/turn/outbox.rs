//! What a turn has for its player and the connection has not taken yet. While it waits, the model and the
//! voice go on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::game::outbound::{OutboundSender, PlayerGone};
use crate::game::protocol::ServerMessage;

/// With so much audio waiting no more is taken from the voice. Text is bounded by what an answer may have.
const MAX_AUDIO_BYTES: usize = 64 * 1024;

/// In the order in which the player gets it.
pub(super) struct Outbox {
    /// The turn's number for the player.
    turn: u64,
    items: VecDeque<Item>,
    audio_bytes: usize,
    /// Whether the player was told of audio, and whether its end was not told yet.
    told_of_audio: bool,
    is_open: bool,
}

enum Item {
    /// Text that comes while it waits goes into the same item.
    Text(String),
    AudioStart(String),
    /// A chunk, and how long it plays if that is known.
    Audio(Bytes, Option<Duration>),
    AudioEnd,
    Other(ServerMessage),
}

/// What the connection has taken.
pub(super) enum Taken {
    Text(String),
    /// Audio, how long it plays if that is known, and when it will have been written to the player's socket.
    Audio(Option<Duration>, oneshot::Receiver<Instant>),
    Other,
}

impl Outbox {
    pub(super) fn new(turn: u64) -> Self {
        Self { turn, items: VecDeque::new(), audio_bytes: 0, told_of_audio: false, is_open: false }
    }

    pub(super) fn text(&mut self, text: &str) {
        match self.items.back_mut() {
            Some(Item::Text(waiting)) => waiting.push_str(text),
            _ => self.items.push_back(Item::Text(text.to_owned())),
        }
    }

    pub(super) fn audio_start(&mut self, mime: String) {
        self.items.push_back(Item::AudioStart(mime));
    }

    pub(super) fn audio(&mut self, chunk: Bytes, lasts: Option<Duration>) {
        if !chunk.is_empty() {
            self.audio_bytes += chunk.len();
            self.items.push_back(Item::Audio(chunk, lasts));
        }
    }

    pub(super) fn audio_end(&mut self) {
        self.items.push_back(Item::AudioEnd);
    }

    /// Any other message of the turn.
    pub(super) fn message(&mut self, message: ServerMessage) {
        self.items.push_back(Item::Other(message));
    }

    /// Forgets the text and audio that wait, and takes back the audio that was sent.
    pub(super) fn take_back(&mut self) {
        self.items.retain(|item| matches!(item, Item::Other(_)));
        self.audio_bytes = 0;
        if self.is_open {
            self.audio_end();
        }
        if self.told_of_audio {
            self.message(ServerMessage::AudioDrop { turn: self.turn });
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether there is room for more audio.
    pub(super) fn takes_audio(&self) -> bool {
        self.audio_bytes < MAX_AUDIO_BYTES
    }

    /// Waits until the connection takes the first item; at once if there is none. Cancelling it loses
    /// nothing.
    ///
    /// # Errors
    /// The connection has closed.
    pub(super) async fn send_first(&mut self, to: &OutboundSender) -> Result<Taken, PlayerGone> {
        let turn = self.turn;
        match self.items.front() {
            None => return Ok(Taken::Other),
            Some(Item::Audio(chunk, lasts)) => {
                let written = to.audio(chunk.clone()).await?;
                let (bytes, lasts) = (chunk.len(), *lasts);
                self.audio_bytes -= bytes;
                self.items.pop_front();
                return Ok(Taken::Audio(lasts, written));
            }
            Some(Item::Text(text)) => {
                to.send(ServerMessage::Text { turn, text: text.clone() }).await?;
            }
            Some(Item::AudioStart(mime)) => {
                to.send(ServerMessage::AudioStart { turn, mime: mime.clone() }).await?;
                (self.told_of_audio, self.is_open) = (true, true);
            }
            Some(Item::AudioEnd) => {
                to.send(ServerMessage::AudioEnd { turn }).await?;
                self.is_open = false;
            }
            Some(Item::Other(message)) => to.send(message.clone()).await?,
        }
        match self.items.pop_front() {
            Some(Item::Text(text)) => Ok(Taken::Text(text)),
            _ => Ok(Taken::Other),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::sync::mpsc::Receiver;

    use super::*;
    use crate::game::outbound::{Outbound, QueuedMessage, outbound_channel};

    /// All that the player gets, if the connection takes one thing at a time and the turn gives up waiting
    /// whenever it does not.
    async fn sent(
        outbox: &mut Outbox,
        to: &OutboundSender,
        got: &mut Receiver<QueuedMessage>,
    ) -> Vec<String> {
        let mut all = Vec::new();
        while !outbox.is_empty() {
            while outbox.send_first(to).now_or_never().is_none() {
                all.push(shown(got.recv().await.expect("an item")));
            }
        }
        while let Ok(item) = got.try_recv() {
            all.push(shown(item));
        }
        all
    }

    fn shown(item: QueuedMessage) -> String {
        match item.split().0 {
            Outbound::Message(message) => serde_json::to_value(&message).map_or_else(
                |error| error.to_string(),
                |message| match message["text"].as_str() {
                    Some(text) => text.to_owned(),
                    None => message["type"].to_string(),
                },
            ),
            Outbound::Audio(chunk, _) => chunk.len().to_string(),
            Outbound::Flush(_) => "flush".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_waits_stays_in_its_place() {
        let (to, mut got) = outbound_channel(1, 1000);
        let mut outbox = Outbox::new(1);
        outbox.audio(Bytes::new(), None);
        assert!(outbox.is_empty(), "nothing is no audio");
        outbox.text("one ");
        outbox.text("text");
        outbox.audio_start("audio/mpeg".to_owned());
        outbox.audio(vec![0; 10].into(), None);
        outbox.text("more");
        outbox.audio(vec![0; 11].into(), None);
        outbox.audio_end();
        let all = sent(&mut outbox, &to, &mut got).await;
        assert_eq!(all, ["one text", "\"audio_start\"", "10", "more", "11", "\"audio_end\""]);
        assert_eq!(outbox.audio_bytes, 0);
    }

    #[tokio::test]
    async fn what_is_taken_back_is_not_sent_and_what_was_sent_is_dropped() {
        let (to, mut got) = outbound_channel(10, 1000);
        for (told, expected) in [
            (0, &[][..]),
            (1, &["\"audio_start\"", "\"audio_end\"", "\"audio_drop\""]),
            (2, &["\"audio_start\"", "10", "\"audio_end\"", "\"audio_drop\""]),
            (3, &["\"audio_start\"", "10", "\"audio_end\"", "\"audio_drop\""]),
            (
                4,
                &[
                    "\"audio_start\"",
                    "10",
                    "\"audio_end\"",
                    "\"audio_start\"",
                    "\"audio_end\"",
                    "\"audio_drop\"",
                ],
            ),
        ] {
            let mut outbox = Outbox::new(1);
            outbox.audio_start("a".to_owned());
            outbox.audio(vec![0; 10].into(), None);
            outbox.audio_end();
            outbox.audio_start("b".to_owned());
            outbox.text("thought");
            for _ in 0..told {
                outbox.send_first(&to).await.expect("sent");
            }
            outbox.take_back();
            assert_eq!(sent(&mut outbox, &to, &mut got).await, expected, "{told}");
        }
    }

    #[test]
    fn audio_is_bounded() {
        let mut outbox = Outbox::new(1);
        outbox.audio(vec![0; MAX_AUDIO_BYTES - 1].into(), None);
        assert!(outbox.takes_audio());
        outbox.audio(vec![0; 1].into(), None);
        assert!(!outbox.takes_audio());
    }
}
