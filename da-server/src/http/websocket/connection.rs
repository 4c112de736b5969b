//! One WebSocket: what is read goes to the game, what the game says is written, and whichever
//! ends first ends the others.

use std::pin::pin;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Error as WireError;

use crate::game::{Game, Limits, Outbound, PlayerInput, outbox};
use crate::http::WebSocketConfig;
use crate::metrics::CloseReason;

/// Messages of a player that may wait for the game; then their socket waits.
const INBOX_MESSAGES: usize = 8;

/// A connection may be silent for so many heartbeats.
const SILENT_HEARTBEATS: u32 = 3;

type Sink = SplitSink<WebSocket, Message>;

/// A player's connection.
pub(super) struct Connection<'a> {
    socket: WebSocket,
    config: &'a WebSocketConfig,
}

impl<'a> Connection<'a> {
    pub(super) fn new(socket: WebSocket, config: &'a WebSocketConfig) -> Self {
        Self { socket, config }
    }

    /// Closes it at once.
    pub(super) async fn refuse(self, reason: CloseReason) -> CloseReason {
        let write_timeout = self.write_timeout();
        let (sink, _stream) = self.socket.split();
        close(sink, reason, write_timeout).await;
        reason
    }

    /// Plays until one side ends it, and says why.
    pub(super) async fn run(self, game: &Game, limits: Limits) -> CloseReason {
        let write_timeout = self.write_timeout();
        let heartbeat = Duration::from_secs(self.config.heartbeat_seconds.max(1));
        let (outbox, outbound) = outbox(self.config.outbound_messages);
        let (inbox_sender, inbox) = mpsc::channel(INBOX_MESSAGES);
        let (sink, stream) = self.socket.split();

        let writer = tokio::spawn(write(sink, outbound, heartbeat, write_timeout));
        let mut playing = pin!(game.play(inbox, outbox, limits));
        let reading = read(stream, inbox_sender, heartbeat * SILENT_HEARTBEATS);
        let reason = tokio::select! {
            biased;
            reason = &mut playing => reason,
            reason = reading => {
                // The inbox has closed with the reading, so this ends too.
                playing.await;
                reason
            }
        };
        match writer.await {
            // Who has said goodbye is told nothing more: that it can't be told is no loss.
            Ok(Err(_)) if reason == CloseReason::PlayerLeft => reason,
            // The writer's word counts: the game only knows that nothing goes out any more.
            Ok(Err(reason)) => reason,
            Ok(Ok(sink)) => {
                close(sink, reason, write_timeout).await;
                reason
            }
            Err(_) => CloseReason::ConnectionLost,
        }
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_secs(self.config.write_timeout_seconds.max(1))
    }
}

/// Reads until the connection ends.
async fn read(
    mut stream: SplitStream<WebSocket>,
    inbox: mpsc::Sender<PlayerInput>,
    silence: Duration,
) -> CloseReason {
    loop {
        let text = match timeout(silence, stream.next()).await {
            Err(_) => return CloseReason::HeartbeatLost,
            Ok(None) => return CloseReason::ConnectionLost,
            Ok(Some(Err(error))) => return reason_of(error),
            Ok(Some(Ok(Message::Close(_)))) => return CloseReason::PlayerLeft,
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => continue,
            Ok(Some(Ok(Message::Text(text)))) => text.to_string(),
            // No message of the game's protocol, which is for the game to say.
            Ok(Some(Ok(Message::Binary(_)))) => String::new(),
        };
        let input = PlayerInput { text, received: Instant::now() };
        if inbox.send(input).await.is_err() {
            // The game has ended, and its word on why is the one that counts.
            std::future::pending::<()>().await;
        }
    }
}

fn reason_of(error: axum::Error) -> CloseReason {
    match error.into_inner().downcast_ref::<WireError>() {
        Some(WireError::Capacity(_)) => CloseReason::MessageTooLarge,
        Some(WireError::Utf8(_)) => CloseReason::ProtocolError,
        Some(WireError::Protocol(error)) if !is_loss(error) => CloseReason::ProtocolError,
        _ => CloseReason::ConnectionLost,
    }
}

/// A connection that just ends, without saying so, is lost and not wrong.
fn is_loss(error: &tokio_tungstenite::tungstenite::error::ProtocolError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
    matches!(error, ResetWithoutClosingHandshake)
}

/// Writes what comes out of the game, and a ping now and then, until the game has ended. Hands
/// back the sink for the last word.
async fn write(
    mut sink: Sink,
    mut outbound: mpsc::Receiver<Outbound>,
    heartbeat: Duration,
    write_timeout: Duration,
) -> Result<Sink, CloseReason> {
    let mut beat = interval(heartbeat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut handed_over = None;
        let message = tokio::select! {
            outbound = outbound.recv() => match outbound {
                None => return Ok(sink),
                Some(Outbound::Audio(audio, told)) => {
                    handed_over = Some(told);
                    Message::Binary(audio)
                }
                Some(Outbound::Message(message)) => match serde_json::to_string(&message) {
                    Ok(json) => Message::Text(json.into()),
                    Err(error) => {
                        tracing::error!(%error, "a message can't be written");
                        continue;
                    }
                },
                Some(Outbound::Fence(told)) => {
                    // Whoever waited may have been interrupted.
                    let _ = told.send(Instant::now());
                    continue;
                }
            },
            _ = beat.tick() => Message::Ping(Bytes::new()),
        };
        // Sending includes flushing: what is done here has been handed to the socket.
        match timeout(write_timeout, sink.send(message)).await {
            Ok(Ok(())) => {
                if let Some(told) = handed_over {
                    // Nobody need want to know.
                    let _ = told.send(Instant::now());
                }
            }
            Ok(Err(_)) => return Err(CloseReason::ConnectionLost),
            Err(_) => return Err(CloseReason::SlowPlayer),
        }
    }
}

/// Says why, if there is still somebody to hear it.
async fn close(mut sink: Sink, reason: CloseReason, write_timeout: Duration) {
    let code = match reason {
        CloseReason::MessageTooLarge => close_code::SIZE,
        CloseReason::ProtocolError => close_code::PROTOCOL,
        CloseReason::InvalidMessages | CloseReason::Replaced => close_code::POLICY,
        CloseReason::Busy => close_code::AGAIN,
        CloseReason::ServerShutdown => close_code::AWAY,
        _ => close_code::NORMAL,
    };
    let frame = CloseFrame { code, reason: reason.as_str().into() };
    let _ = timeout(write_timeout, sink.send(Message::Close(Some(frame)))).await;
}
