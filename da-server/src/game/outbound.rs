//! The channel to a player's connection: bounded in messages and in bytes, in order, and able to report
//! when something has been written to the socket.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::protocol::ServerMessage;

/// A message in the channel, with the permit for its bytes.
pub struct QueuedMessage {
    outbound: Outbound,
    permit: BytePermit,
}

/// Bytes in the channel, until this is dropped.
pub struct BytePermit(
    #[allow(dead_code, reason = "it is there to be dropped")] Option<OwnedSemaphorePermit>,
);

impl QueuedMessage {
    /// The message, and the permit to keep until it is written.
    pub fn split(self) -> (Outbound, BytePermit) {
        (self.outbound, self.permit)
    }
}

/// What the connection is to send.
pub enum Outbound {
    /// A text message.
    Message(ServerMessage),
    /// A chunk of audio; reports when it has been written to the socket.
    Audio(Bytes, oneshot::Sender<Instant>),
    /// Flush marker: reports when everything queued before it has been written to the socket.
    Flush(oneshot::Sender<Instant>),
}

/// The connection has closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the player's connection has closed")]
pub struct PlayerGone;

/// The sending half of the channel. It waits when the connection is slow, so that a player who does not
/// read delays only their own session.
#[derive(Clone)]
pub struct OutboundSender {
    sender: mpsc::Sender<QueuedMessage>,
    byte_permits: Arc<Semaphore>,
    capacity_bytes: u32,
}

/// A channel for at most `messages` messages and `bytes` bytes of audio and text. A larger message is alone
/// in it.
pub fn outbound_channel(
    messages: usize,
    bytes: u32,
) -> (OutboundSender, mpsc::Receiver<QueuedMessage>) {
    let (sender, receiver) = mpsc::channel(messages.max(1));
    let capacity_bytes = bytes.max(1);
    let byte_permits = Arc::new(Semaphore::new(capacity_bytes as usize));
    (OutboundSender { sender, byte_permits, capacity_bytes }, receiver)
}

impl OutboundSender {
    /// Sends a message.
    ///
    /// # Errors
    /// The connection has closed.
    pub async fn send(&self, message: ServerMessage) -> Result<(), PlayerGone> {
        let bytes = message.text_bytes();
        self.queue(Outbound::Message(message), bytes).await
    }

    /// Sends a message unless the channel is full: for messages that a newer one replaces.
    pub fn send_if_room(&self, message: ServerMessage) -> bool {
        let queued =
            QueuedMessage { outbound: Outbound::Message(message), permit: BytePermit(None) };
        self.sender.try_send(queued).is_ok()
    }

    /// Sends a chunk of audio. The receiver gets the time when it has been written to the player's socket.
    ///
    /// # Errors
    /// The connection has closed.
    pub async fn audio(&self, chunk: Bytes) -> Result<oneshot::Receiver<Instant>, PlayerGone> {
        let (sender, receiver) = oneshot::channel();
        let bytes = chunk.len();
        self.queue(Outbound::Audio(chunk, sender), bytes).await?;
        Ok(receiver)
    }

    /// Waits until everything sent so far has been written to the player's socket, and returns when that was.
    ///
    /// # Errors
    /// The connection has closed before that.
    pub async fn delivered(&self) -> Result<Instant, PlayerGone> {
        let (sender, receiver) = oneshot::channel();
        self.queue(Outbound::Flush(sender), 0).await?;
        receiver.await.map_err(|_| PlayerGone)
    }

    /// Waits until the connection has closed.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Waits for permits. A connection that closes releases all of its own, so nobody waits for ever.
    async fn queue(&self, outbound: Outbound, bytes: usize) -> Result<(), PlayerGone> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.capacity_bytes);
        let permit = match bytes {
            0 => None,
            _ => {
                let permits = self.byte_permits.clone().acquire_many_owned(bytes).await;
                Some(permits.map_err(|_| PlayerGone)?)
            }
        };
        let queued = QueuedMessage { outbound, permit: BytePermit(permit) };
        self.sender.send(queued).await.map_err(|_| PlayerGone)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn chunk(bytes: usize) -> Bytes {
        vec![0; bytes].into()
    }

    #[tokio::test]
    async fn the_channel_is_bounded_in_bytes() {
        let (sender, mut outbound) = outbound_channel(100, 1000);
        for _ in 0..4 {
            sender.audio(chunk(250)).await.expect("a permit");
        }
        let mut waiting = Box::pin(sender.audio(chunk(250)));
        assert!(waiting.as_mut().now_or_never().is_none(), "the channel is full");
        sender.delivered().now_or_never();
        let sent = outbound.recv().await.expect("a chunk");
        assert!(waiting.as_mut().now_or_never().is_none(), "it is not sent yet");
        drop(sent);
        waiting.await.expect("a permit");
    }

    #[tokio::test]
    async fn a_chunk_larger_than_the_channel_goes_alone() {
        let (sender, mut outbound) = outbound_channel(100, 1000);
        sender.audio(chunk(1)).await.expect("a permit");
        let mut waiting = Box::pin(sender.audio(chunk(5000)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(outbound.recv().await);
        waiting.await.expect("a permit");
    }

    #[tokio::test]
    async fn who_waits_for_a_permit_gets_an_error_at_the_end() {
        let (sender, outbound) = outbound_channel(100, 1000);
        sender.audio(chunk(1000)).await.expect("a permit");
        let waiting = sender.audio(chunk(1000));
        drop(outbound);
        assert!(waiting.await.is_err());
    }
}
