//! A player, over a WebSocket.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::server::SCENE;

/// A player in the scene.
pub struct Player(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Player {
    /// Connects and begins.
    pub async fn connect(server: SocketAddr) -> Result<Self> {
        let (socket, _) = tokio_tungstenite::connect_async(format!("ws://{server}/ws")).await?;
        let mut player = Self(socket);
        player.send(&json!({"type": "start", "scene": SCENE})).await?;
        player.hear("session").await?;
        Ok(player)
    }

    /// Says one line after the other, and returns how long each took to be answered, milliseconds.
    pub async fn speak_until(&mut self, end: Instant) -> Result<Vec<f64>> {
        let mut took_ms = Vec::new();
        while Instant::now() < end {
            let said = Instant::now();
            self.send(&json!({"type": "say", "text": "Tell me what you see from up there."}))
                .await?;
            let ended = self.hear("turn_end").await?;
            ensure!(ended["status"] == "success", "a turn ended as {}", ended["status"]);
            took_ms.push(said.elapsed().as_secs_f64() * 1e3);
        }
        Ok(took_ms)
    }

    /// Stays, and answers pings.
    pub async fn listen(&mut self) -> Result<Value> {
        self.hear("nothing of that kind").await
    }

    async fn send(&mut self, message: &Value) -> Result<()> {
        self.0.send(Message::text(message.to_string())).await.context("the server does not listen")
    }

    async fn hear(&mut self, kind: &str) -> Result<Value> {
        while let Some(message) = self.0.next().await {
            if let Message::Text(text) = message? {
                let message: Value = serde_json::from_str(&text)?;
                ensure!(message["type"] != "error", "the server says {message}");
                if message["type"] == kind {
                    return Ok(message);
                }
            }
        }
        bail!("the server closed the connection")
    }
}
