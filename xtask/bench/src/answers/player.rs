//! A player who says one line, and takes what comes of it.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::players::server::SCENE;

/// Connects, says a line, and waits for the end of its turn, well or not.
pub async fn ask_once(server: SocketAddr) -> Result<()> {
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{server}/ws")).await?;
    for message in
        [json!({"type": "start", "scene": SCENE}), json!({"type": "say", "text": "Ahoy"})]
    {
        socket.send(Message::text(message.to_string())).await?;
    }
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message? {
            let message: Value = serde_json::from_str(&text)?;
            if message["type"] == "turn_end" {
                return Ok(());
            }
        }
    }
    bail!("the server closed the connection")
}
