//! What a turn has for its player and the connection has not taken yet. While it waits, the model and the
//! voice go on.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::game::outbound::{OutboundSender, PlayerGone};
use crate::game::protocol::ServerMessage;

/// With so much audio waiting no more is taken from the voice. Text is bounded by what an answer may have.
const MAX_AUDIO_BYTES: usize = 64 * 1024;

/// In the order in which the player gets it.
#[derive(Default)]
pub(super) struct Outbox {
    items: VecDeque<Item>,
    audio_bytes: usize,
}

enum Item {
    Message(ServerMessage),
    Audio(Bytes),
}

/// What the connection has taken.
pub(super) enum Taken {
    Message,
    /// Audio of so many bytes, and when it will have been written to the player's socket.
    Audio(usize, oneshot::Receiver<Instant>),
}

impl Outbox {
    pub(super) fn message(&mut self, message: ServerMessage) {
        self.items.push_back(Item::Message(message));
    }

    pub(super) fn audio(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.audio_bytes += chunk.len();
            self.items.push_back(Item::Audio(chunk));
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
        let taken = match self.items.front() {
            None => return Ok(Taken::Message),
            Some(Item::Message(message)) => {
                to.send(message.clone()).await.map(|()| Taken::Message)?
            }
            Some(Item::Audio(chunk)) => {
                let written = to.audio(chunk.clone()).await?;
                self.audio_bytes -= chunk.len();
                Taken::Audio(chunk.len(), written)
            }
        };
        self.items.pop_front();
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::game::outbound::{Outbound, outbound_channel};

    #[tokio::test]
    async fn what_could_not_be_sent_yet_stays_in_its_place() {
        let (sender, mut outbound) = outbound_channel(1, 1000);
        let mut outbox = Outbox::default();
        outbox.audio(Bytes::new());
        assert!(outbox.is_empty(), "nothing is no audio");
        for text in ["one", "two"] {
            outbox.message(ServerMessage::Text { turn: 1, text: text.to_owned() });
            outbox.audio(vec![0; 10].into());
        }
        let mut got = String::new();
        while !outbox.is_empty() {
            // It is given up while it waits, as when the model has more to say.
            while outbox.send_first(&sender).now_or_never().is_none() {
                match outbound.recv().await.expect("an item").split().0 {
                    Outbound::Message(ServerMessage::Text { text, .. }) => got += &text,
                    Outbound::Audio(chunk, _) => got += &chunk.len().to_string(),
                    _ => panic!("neither"),
                }
            }
        }
        assert_eq!(got, "one10two");
        assert_eq!(outbox.audio_bytes, 0);
    }

    #[test]
    fn audio_is_bounded() {
        let mut outbox = Outbox::default();
        outbox.audio(vec![0; MAX_AUDIO_BYTES - 1].into());
        assert!(outbox.takes_audio());
        outbox.audio(vec![0; 1].into());
        assert!(!outbox.takes_audio());
    }
}
