//! The way to the player: bounded, in order, and able to say when something has left.

use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::protocol::ServerMessage;

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
pub struct Outbox(mpsc::Sender<Outbound>);

/// An outbox, and the connection's end of it; `capacity` messages may be on the way.
pub fn outbox(capacity: usize) -> (Outbox, mpsc::Receiver<Outbound>) {
    let (sender, receiver) = mpsc::channel(capacity.max(1));
    (Outbox(sender), receiver)
}

impl Outbox {
    /// Sends a message.
    ///
    /// # Errors
    /// The connection has closed.
    pub async fn send(&self, message: ServerMessage) -> Result<(), PlayerGone> {
        self.0.send(Outbound::Message(message)).await.map_err(|_| PlayerGone)
    }

    /// Sends a message unless the way is full: for what a newer message makes up for.
    pub fn send_if_room(&self, message: ServerMessage) -> bool {
        self.0.try_send(Outbound::Message(message)).is_ok()
    }

    /// Sends a piece of audio, and hands back where it will be said when that was handed to the
    /// player's socket.
    ///
    /// # Errors
    /// The connection has closed.
    pub async fn audio(&self, piece: Bytes) -> Result<oneshot::Receiver<Instant>, PlayerGone> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(Outbound::Audio(piece, sender)).await.map_err(|_| PlayerGone)?;
        Ok(receiver)
    }

    /// When everything sent so far had been handed to the player's socket.
    ///
    /// # Errors
    /// The connection has closed before that.
    pub async fn delivered(&self) -> Result<Instant, PlayerGone> {
        let (sender, receiver) = oneshot::channel();
        self.0.send(Outbound::Fence(sender)).await.map_err(|_| PlayerGone)?;
        receiver.await.map_err(|_| PlayerGone)
    }

    /// Waits until the connection has closed.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}
