//! A player: a WebSocket client that knows the protocol.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::server::PATIENCE;

pub struct Player {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub token: String,
}

/// What came from the server.
#[derive(Debug)]
pub enum Received {
    Message(Value),
    Audio(Bytes),
    Closed(Option<CloseFrame>),
}

/// One turn as the player saw it.
#[derive(Debug, Default)]
pub struct SeenTurn {
    pub number: u64,
    pub pieces: Vec<(Instant, String)>,
    pub mime: Option<String>,
    pub audio: Vec<u8>,
    pub audio_ended: bool,
    pub errors: Vec<(String, String)>,
    pub status: String,
}

impl SeenTurn {
    pub fn text(&self) -> String {
        self.pieces.iter().map(|(_, piece)| piece.as_str()).collect()
    }

    pub fn error_codes(&self) -> Vec<&str> {
        self.errors.iter().map(|(code, _)| code.as_str()).collect()
    }
}

impl Player {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_from(address, None).await.expect("connected")
    }

    /// As a page of `origin` does.
    pub async fn connect_from(
        address: SocketAddr,
        origin: Option<&str>,
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}/ws").into_client_request()?;
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().expect("origin"));
        }
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Self { socket, token: String::new() })
    }

    /// Begins a scene and keeps the token.
    pub async fn start(&mut self, scene: &str) -> Value {
        self.start_as(json!({"type": "start", "scene": scene})).await
    }

    pub async fn start_as(&mut self, message: Value) -> Value {
        self.send(message).await;
        let session = self.wait_for("session").await;
        self.token = session["token"].as_str().expect("token").to_owned();
        session
    }

    pub async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        // The server may have closed already; what it said then is what the test looks at.
        let _ = self.socket.send(Message::text(text)).await;
    }

    pub async fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).await.expect("sent");
    }

    pub async fn say(&mut self, text: &str) {
        self.send(json!({"type": "say", "text": text})).await;
    }

    pub async fn press(&mut self, control: &str) {
        self.send(json!({"type": "press", "control": control})).await;
    }

    /// The next thing that came.
    pub async fn receive(&mut self) -> Received {
        loop {
            return match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    Received::Message(serde_json::from_str(&text).expect("JSON"))
                }
                Some(Ok(Message::Binary(audio))) => Received::Audio(audio),
                Some(Ok(Message::Close(frame))) => Received::Closed(frame),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Received::Closed(None),
            };
        }
    }

    /// The next message of this type; others are skipped.
    pub async fn wait_for(&mut self, kind: &str) -> Value {
        let waiting = async {
            loop {
                match self.receive().await {
                    Received::Message(message) if message["type"] == kind => return message,
                    Received::Closed(frame) => panic!("closed before {kind}: {frame:?}"),
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("no {kind} in time"))
    }

    /// The next state of the scene in which this holds.
    pub async fn wait_for_state(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let state = self.wait_for("state").await;
                if holds(&state) {
                    return state;
                }
            }
        };
        timeout(PATIENCE, waiting).await.expect("such a state in time")
    }

    /// The code of the next error.
    pub async fn wait_for_error(&mut self) -> String {
        let error = self.wait_for("error").await;
        assert!(!error["message"].as_str().expect("sentence").is_empty());
        error["code"].as_str().expect("code").to_owned()
    }

    /// The code and the reason that the server closes with.
    pub async fn wait_for_close(&mut self) -> (u16, String) {
        let waiting = async {
            loop {
                if let Received::Closed(frame) = self.receive().await {
                    let frame = frame.expect("a closing message");
                    return (frame.code.into(), frame.reason.to_string());
                }
            }
        };
        timeout(PATIENCE, waiting).await.expect("closed in time")
    }

    /// Waits for a line's first piece.
    pub async fn hear_first_piece(&mut self) -> SeenTurn {
        self.hear(|turn| !turn.pieces.is_empty()).await
    }

    /// The next turn, to its end.
    pub async fn hear_turn(&mut self) -> SeenTurn {
        self.hear(|turn| !turn.status.is_empty()).await
    }

    /// Hears a turn to its end, or else how the server says goodbye.
    pub async fn hear_turn_or_close(&mut self) -> Option<(u16, String)> {
        let waiting = async {
            loop {
                match self.receive().await {
                    Received::Message(message) if message["type"] == "turn_end" => return None,
                    Received::Closed(frame) => {
                        let frame = frame.expect("a closing message");
                        return Some((frame.code.into(), frame.reason.to_string()));
                    }
                    _ => {}
                }
            }
        };
        timeout(PATIENCE, waiting).await.expect("either in time")
    }

    async fn hear(&mut self, enough: impl Fn(&SeenTurn) -> bool) -> SeenTurn {
        let hearing = async {
            let mut turn = SeenTurn::default();
            while !enough(&turn) {
                match self.receive().await {
                    Received::Audio(audio) => {
                        assert!(turn.mime.is_some() && !turn.audio_ended, "audio out of place");
                        turn.audio.extend_from_slice(&audio);
                    }
                    Received::Message(message) => turn.see(&message),
                    Received::Closed(frame) => panic!("closed within a turn: {frame:?}"),
                }
            }
            turn
        };
        timeout(PATIENCE, hearing).await.expect("heard in time")
    }

    /// Leaves as a page does.
    pub async fn leave(mut self) {
        let _ = self.socket.close(None).await;
        let closing = async { while !matches!(self.receive().await, Received::Closed(_)) {} };
        timeout(PATIENCE, closing).await.expect("closed in time");
    }
}

impl SeenTurn {
    fn see(&mut self, message: &Value) {
        let text = |key: &str| message[key].as_str().expect(key).to_owned();
        let is_ours = |turn: &Self| message["turn"].as_u64() == Some(turn.number);
        match message["type"].as_str().expect("type") {
            "turn_start" => self.number = message["turn"].as_u64().expect("number"),
            "text" => {
                assert!(is_ours(self));
                self.pieces.push((Instant::now(), text("text")));
            }
            "audio_start" => {
                assert!(is_ours(self));
                self.mime = Some(text("mime"));
            }
            "audio_end" => {
                assert!(is_ours(self));
                self.audio_ended = true;
            }
            "turn_end" => {
                assert!(is_ours(self));
                self.status = text("status");
            }
            "error" => self.errors.push((text("code"), text("message"))),
            "state" | "notice" | "session" => {}
            other => panic!("unknown message {other}"),
        }
    }
}
