//! One WebSocket: what is read goes to the game, what the game says is written, and whichever
//! ends first ends the others.

use std::pin::pin;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::Error as WireError;

use super::session_limiter::Refusal;
use crate::config::WebSocketConfig;
use crate::game::protocol::ServerMessage;
use crate::game::{
    Game, Limits, Outbound, PlayerInput, QueuedMessage, not_let_in, outbound_channel,
};
use crate::metrics::CloseReason;

/// Messages of a player that may wait for the game; then their socket waits.
const INBOX_MESSAGES: usize = 8;

/// A connection is closed after this many heartbeats of silence.
const MAX_SILENT_HEARTBEATS: u32 = 3;

/// How long the client may take to answer the closing message.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Sink = SplitSink<WebSocket, Message>;

/// A connection whose game is over, with the socket unless that is lost.
pub(super) struct EndedConnection {
    pub(super) reason: CloseReason,
    write_timeout: Duration,
    open: Option<(Sink, SplitStream<WebSocket>)>,
}

/// A player's connection.
pub(super) struct PlayerConnection<'a> {
    socket: WebSocket,
    config: &'a WebSocketConfig,
}

impl<'a> PlayerConnection<'a> {
    pub(super) fn new(socket: WebSocket, config: &'a WebSocketConfig) -> Self {
        Self { socket, config }
    }

    /// Tells the client why it is not admitted, and when to try again.
    pub(super) async fn refuse(self, refusal: Refusal) -> EndedConnection {
        let Refusal { reason, retry_after } = refusal;
        let write_timeout = self.write_timeout();
        let (mut sink, stream) = self.socket.split();
        if let Some(why) = not_let_in(reason, retry_after).and_then(|why| text(&why)) {
            // If this can't be sent, the closing message can't be sent either.
            let _ = timeout(write_timeout, sink.send(why)).await;
        }
        EndedConnection { reason, write_timeout, open: Some((sink, stream)) }
    }

    /// Plays until one side ends it, and says why.
    pub(super) async fn run(self, game: &Game, limits: Limits) -> EndedConnection {
        let write_timeout = self.write_timeout();
        let heartbeat = Duration::from_secs(self.config.heartbeat_seconds.max(1));
        let WebSocketConfig { outbound_messages, outbound_bytes, .. } = *self.config;
        let (sender, outbound) = outbound_channel(outbound_messages, outbound_bytes);
        let (inbox_sender, inbox) = mpsc::channel(INBOX_MESSAGES);
        let (sink, mut stream) = self.socket.split();

        let writer = tokio::spawn(write(sink, outbound, heartbeat, write_timeout));
        let reason = {
            let mut playing = pin!(game.play(inbox, sender, limits));
            let reading = read(&mut stream, inbox_sender, heartbeat * MAX_SILENT_HEARTBEATS);
            tokio::select! {
                biased;
                reason = &mut playing => reason,
                reason = reading => {
                    // The inbox has closed with the reading, so this ends too.
                    playing.await;
                    reason
                }
            }
        };
        let (reason, open) = match rest_written(writer, write_timeout).await {
            Ok(sink) => (reason, Some((sink, stream))),
            // A client that has closed the connection expects nothing more.
            Err(_) if reason == CloseReason::PlayerLeft => (reason, None),
            // The writer's reason counts: the game only knows that nothing can be written any more.
            Err(reason) => (reason, None),
        };
        EndedConnection { reason, write_timeout, open }
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_secs(self.config.write_timeout_seconds.max(1))
    }
}

impl EndedConnection {
    /// Sends the closing message, unless the socket is lost, and waits for the answer. What the client still
    /// sends is read meanwhile: a socket that is closed over unread bytes is reset, and a reset may arrive
    /// before the reason does.
    pub(super) async fn close(self) {
        let Some((mut sink, mut stream)) = self.open else { return };
        let frame = CloseFrame { code: code(self.reason), reason: self.reason.as_str().into() };
        let sent = timeout(self.write_timeout, sink.send(Message::Close(Some(frame)))).await;
        if let Ok(Ok(())) = sent {
            let reading = async { while let Some(Ok(_)) = stream.next().await {} };
            // A client that does not answer is not waited for.
            let _ = timeout(CLOSE_TIMEOUT, reading).await;
        }
    }
}

/// Reads until the connection ends.
async fn read(
    stream: &mut SplitStream<WebSocket>,
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
            // The game has ended, and its reason counts.
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

/// A connection that ends without a closing message is lost, which is no protocol error.
fn is_loss(error: &tokio_tungstenite::tungstenite::error::ProtocolError) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
    matches!(error, ResetWithoutClosingHandshake)
}

/// Writes the game's messages, and pings, until the game has ended. Returns the sink for the closing
/// message.
async fn write(
    mut sink: Sink,
    mut outbound: mpsc::Receiver<QueuedMessage>,
    heartbeat: Duration,
    write_timeout: Duration,
) -> Result<Sink, CloseReason> {
    let mut beat = interval(heartbeat);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut handed_over = None;
        // Its permit is held until it has been written.
        let queued = tokio::select! {
            queued = outbound.recv() => match queued {
                None => return Ok(sink),
                queued => queued,
            },
            _ = beat.tick() => None,
        };
        let (outbound, _permit) = queued.map(QueuedMessage::split).unzip();
        let message = match outbound {
            None => Message::Ping(Bytes::new()),
            Some(Outbound::Audio(audio, told)) => {
                handed_over = Some(told);
                Message::Binary(audio)
            }
            Some(Outbound::Message(message)) => match text(&message) {
                Some(message) => message,
                None => continue,
            },
            Some(Outbound::Flush(told)) => {
                // The turn that waited may have been interrupted.
                let _ = told.send(Instant::now());
                continue;
            }
        };
        // Sending includes flushing: what is done here has been handed to the socket.
        match timeout(write_timeout, sink.send(message)).await {
            Ok(Ok(())) => {
                if let Some(told) = handed_over {
                    // The receiver may be gone.
                    let _ = told.send(Instant::now());
                }
            }
            Ok(Err(_)) => return Err(CloseReason::ConnectionLost),
            Err(_) => return Err(CloseReason::SlowPlayer),
        }
    }
}

/// Waits until all queued messages have been written, for as long as one message may take: a client that
/// reads slowly on purpose would otherwise stay for that long per message.
async fn rest_written<T>(
    mut writer: JoinHandle<Result<T, CloseReason>>,
    write_timeout: Duration,
) -> Result<T, CloseReason> {
    match timeout(write_timeout, &mut writer).await {
        Ok(Ok(written)) => written,
        Ok(Err(_)) => Err(CloseReason::ConnectionLost),
        Err(_) => {
            writer.abort();
            Err(CloseReason::SlowPlayer)
        }
    }
}

/// The message as JSON.
fn text(message: &ServerMessage) -> Option<Message> {
    match serde_json::to_string(message) {
        Ok(json) => Some(Message::Text(json.into())),
        Err(error) => {
            tracing::error!(%error, "can't encode a message to a player as JSON");
            None
        }
    }
}

fn code(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::MessageTooLarge => close_code::SIZE,
        CloseReason::ProtocolError => close_code::PROTOCOL,
        CloseReason::InvalidMessages | CloseReason::Replaced => close_code::POLICY,
        CloseReason::Busy
        | CloseReason::TooManySessions
        | CloseReason::TooManyStarts
        | CloseReason::StoreUnavailable => close_code::AGAIN,
        CloseReason::ServerShutdown => close_code::AWAY,
        _ => close_code::NORMAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_reads_slowly_on_purpose_keeps_no_seat_beyond_the_end() {
        let (message, mut messages) = mpsc::channel::<()>(256);
        // Each message may take as long as this, and there are more of them than anybody waits for.
        let slowly = tokio::spawn(async move {
            while messages.recv().await.is_some() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        });
        for _ in 0..256 {
            message.send(()).await.expect("there is room");
        }
        drop(message);
        let ended = slowly.abort_handle();
        let written = rest_written(slowly, Duration::from_millis(50)).await;
        assert_eq!(written, Err(CloseReason::SlowPlayer));
        while !ended.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}
