//! What the operator says about players' connections: `[websocket]`.

use serde::Deserialize;

/// `[websocket]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketConfig {
    /// Origins, as `https://game.example`, whose pages may connect beside the server's own.
    pub allowed_origins: Vec<String>,
    /// Open sessions at once.
    pub max_sessions: usize,
    /// Longest message of a player, bytes.
    pub max_message_bytes: usize,
    /// How often a connection is asked whether it is alive; after three times as long without a
    /// sign it is closed.
    pub heartbeat_seconds: u64,
    /// A player who does nothing for so long is sent away.
    pub idle_seconds: u64,
    /// A connection that takes no data for so long is closed.
    pub write_timeout_seconds: u64,
    /// How many messages may wait for a connection; then the game waits for it.
    pub outbound_messages: usize,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            max_sessions: 256,
            max_message_bytes: 16 * 1024,
            heartbeat_seconds: 20,
            idle_seconds: 900,
            write_timeout_seconds: 10,
            outbound_messages: 256,
        }
    }
}
