//! A player: a WebSocket client that knows the protocol.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use da_standin::now_ns;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::seen_turn::SeenTurn;

/// Longer than anything takes that a player waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection of a player.
pub struct Player {
    /// For what no client would send.
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// That of the session, once there is one.
    pub token: String,
}

/// What came from the server.
#[derive(Debug)]
pub enum Received {
    /// Of any type.
    Message(Value),
    /// A piece of it.
    Audio(Bytes),
    /// With the server's goodbye, if it said one.
    Closed(Option<CloseFrame>),
}

/// No scene has it.
const NO_CONTROL: &str = "no_such_thing";

impl Player {
    /// As a program does.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_from(address, None).await.expect("connected")
    }

    /// As a page of `origin` does.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn connect_from(
        address: SocketAddr,
        origin: Option<&str>,
    ) -> Result<Self, tungstenite::Error> {
        let headers = origin.map(|origin| ("origin", origin));
        Self::connect_with(address, headers.as_slice()).await
    }

    /// With these headers in place of, or beside, those that a client sends anyway.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn connect_with(
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}/ws").into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header's value"));
        }
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Self { socket, token: String::new() })
    }

    /// From this address of this machine, with these headers, which may come more than once.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn connect_at(
        from: Ipv4Addr,
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        let mut request = format!("ws://{address}/ws").into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().expect("a header's value"));
        }
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = MaybeTlsStream::Plain(socket.connect(address).await?);
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        Ok(Self { socket, token: String::new() })
    }

    /// Begins a scene and keeps the token.
    pub async fn start(&mut self, scene: &str) -> Value {
        self.start_as(json!({"type": "start", "scene": scene})).await
    }

    /// The same with a message of the caller's.
    pub async fn start_as(&mut self, message: Value) -> Value {
        self.send(message).await;
        let session = self.wait_for("session").await;
        self.token = session["token"].as_str().expect("token").to_owned();
        session
    }

    /// Sends a message, if there is still somebody to take it.
    pub async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    /// Sends any text.
    pub async fn send_text(&mut self, text: &str) {
        // The server may have closed already; what it said then is what the test looks at.
        let _ = self.socket.send(Message::text(text)).await;
    }

    /// Sends what no player would.
    pub async fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).await.expect("sent");
    }

    /// Says a line.
    pub async fn say(&mut self, text: &str) {
        self.send(json!({"type": "say", "text": text})).await;
    }

    /// Presses a control.
    pub async fn press(&mut self, control: &str) {
        self.send(json!({"type": "press", "control": control})).await;
    }

    /// Asks for something to which there is an answer at once: with it, everything that was sent
    /// before has been taken up.
    pub async fn mark(&mut self) {
        self.press(NO_CONTROL).await;
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
        self.wait_within(PATIENCE, kind).await
    }

    /// The same, for what may take longer or shorter than anything else here.
    pub async fn wait_within(&mut self, patience: Duration, kind: &str) -> Value {
        let waiting = async {
            loop {
                match self.receive().await {
                    Received::Message(message) if message["type"] == kind => return message,
                    Received::Closed(frame) => panic!("closed before {kind}: {frame:?}"),
                    _ => {}
                }
            }
        };
        timeout(patience, waiting).await.unwrap_or_else(|_| panic!("no {kind} in time"))
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

    /// Waits for a line's first audio.
    pub async fn hear_first_audio(&mut self) -> SeenTurn {
        self.hear(|turn| !turn.audio.is_empty()).await
    }

    /// Waits until a line has been heard to its last sound.
    pub async fn hear_whole_audio(&mut self) -> SeenTurn {
        self.hear(|turn| turn.audio_ended).await
    }

    /// The next turn, to its end.
    pub async fn hear_turn(&mut self) -> SeenTurn {
        self.hear(|turn| !turn.status.is_empty()).await
    }

    /// The next turn, to its end, and the answer to a mark, in whichever order they come.
    pub async fn hear_turn_and_mark(&mut self) -> SeenTurn {
        self.hear(|turn| !turn.status.is_empty() && turn.marked_ns.is_some()).await
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
                        turn.audio_came.push((now_ns(), audio.len()));
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
