//! The way to the player: bounded in messages and in bytes, in order, and able to say when something
//! has left.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::protocol::ServerMessage;

/// Something to send, and the room that it takes until it is dropped.
pub struct Queued {
    outbound: Outbound,
    room: Room,
}

/// Taken on the way until it is dropped.
pub struct Room(
    #[allow(dead_code, reason = "it is there to be dropped")] Option<OwnedSemaphorePermit>,
);

impl Queued {
    /// What is to be sent, and the room to keep until that is done.
    pub fn split(self) -> (Outbound, Room) {
        (self.outbound, self.room)
    }
}

/// What the connection is to send.
pub enum Outbound {
    /// A text message.
    Message(ServerMessage),
    /// A piece of audio; and tell when it was handed to the socket.
    Audio(Bytes, oneshot::Sender<Instant>),
    /// Nothing; but tell when everything before it was handed to the socket.
    Fence(oneshot::Sender<Instant>),
}

/// The connection takes nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the player's connection has closed")]
pub struct PlayerGone;

/// The game's end of the way. It waits when the connection is slow, so that a player who does not
/// read holds up only their own session.
#[derive(Clone)]
pub struct Outbox {
    sender: mpsc::Sender<Queued>,
    room_bytes: Arc<Semaphore>,
    capacity_bytes: u32,
}

/// An outbox, and the connection's end of it. So many messages may be on the way, and so many bytes of
/// audio and of what somebody said; one piece that is larger goes alone.
pub fn outbox(messages: usize, bytes: u32) -> (Outbox, mpsc::Receiver<Queued>) {
    let (sender, receiver) = mpsc::channel(messages.max(1));
    let capacity_bytes = bytes.max(1);
    let room_bytes = Arc::new(Semaphore::new(capacity_bytes as usize));
    (Outbox { sender, room_bytes, capacity_bytes }, receiver)
}

impl Outbox {
    /// Sends a message.
    ///
    /// # Errors
    /// The connection has closed.
    pub async fn send(&self, message: ServerMessage) -> Result<(), PlayerGone> {
        let bytes = message.text_bytes();
        self.queue(Outbound::Message(message), bytes).await
    }

    /// Sends a message unless the way is full: for what a newer message makes up for.
    pub fn send_if_room(&self, message: ServerMessage) -> bool {
        let queued = Queued { outbound: Outbound::Message(message), room: Room(None) };
        self.sender.try_send(queued).is_ok()
    }

    /// Sends a piece of audio, and hands back where it will be said when that was handed to the
    /// player's socket.
    ///
    /// # Errors
    /// The connection has closed.
    pub async fn audio(&self, piece: Bytes) -> Result<oneshot::Receiver<Instant>, PlayerGone> {
        let (sender, receiver) = oneshot::channel();
        let bytes = piece.len();
        self.queue(Outbound::Audio(piece, sender), bytes).await?;
        Ok(receiver)
    }

    /// When everything sent so far had been handed to the player's socket.
    ///
    /// # Errors
    /// The connection has closed before that.
    pub async fn delivered(&self) -> Result<Instant, PlayerGone> {
        let (sender, receiver) = oneshot::channel();
        self.queue(Outbound::Fence(sender), 0).await?;
        receiver.await.map_err(|_| PlayerGone)
    }

    /// Waits until the connection has closed.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Waits for room. A connection that closes gives back all that it has, so nobody waits for ever.
    async fn queue(&self, outbound: Outbound, bytes: usize) -> Result<(), PlayerGone> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.capacity_bytes);
        let room = match bytes {
            0 => None,
            _ => {
                let room = self.room_bytes.clone().acquire_many_owned(bytes).await;
                Some(room.map_err(|_| PlayerGone)?)
            }
        };
        let queued = Queued { outbound, room: Room(room) };
        self.sender.send(queued).await.map_err(|_| PlayerGone)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn piece(bytes: usize) -> Bytes {
        vec![0; bytes].into()
    }

    #[tokio::test]
    async fn what_is_on_the_way_is_bounded_in_bytes() {
        let (outbox, mut outbound) = outbox(100, 1000);
        for _ in 0..4 {
            outbox.audio(piece(250)).await.expect("room");
        }
        let mut waiting = Box::pin(outbox.audio(piece(250)));
        assert!(waiting.as_mut().now_or_never().is_none(), "the way is full");
        outbox.delivered().now_or_never();
        let sent = outbound.recv().await.expect("a piece");
        assert!(waiting.as_mut().now_or_never().is_none(), "it is not sent yet");
        drop(sent);
        waiting.await.expect("room");
    }

    #[tokio::test]
    async fn a_piece_larger_than_the_way_goes_alone() {
        let (outbox, mut outbound) = outbox(100, 1000);
        outbox.audio(piece(1)).await.expect("room");
        let mut waiting = Box::pin(outbox.audio(piece(5000)));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(outbound.recv().await);
        waiting.await.expect("room");
    }

    #[tokio::test]
    async fn who_waits_for_room_hears_of_the_end() {
        let (outbox, outbound) = outbox(100, 1000);
        outbox.audio(piece(1000)).await.expect("room");
        let waiting = outbox.audio(piece(1000));
        drop(outbound);
        assert!(waiting.await.is_err());
    }
}
