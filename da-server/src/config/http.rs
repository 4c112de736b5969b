//! What the operator says about players' connections and about who reads the metrics: `[websocket]`,
//! `[metrics]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::trusted_proxy::TrustedProxy;

/// `[websocket]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketConfig {
    /// Origins, as `https://game.example`, whose pages may connect beside the server's own.
    pub allowed_origins: Vec<String>,
    /// From where proxies of the operator's connect: they are believed whom they connect for.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Open sessions at once.
    pub max_sessions: usize,
    /// Open sessions at once from one address.
    pub max_sessions_per_address: usize,
    /// Sessions that may be started in a minute; as many at once.
    pub starts_per_minute: u32,
    /// The same from one address.
    pub starts_per_minute_per_address: u32,
    /// What players at one address may ask in a minute, all together; a third of it at once.
    pub requests_per_minute_per_address: u32,
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
    /// How many bytes of audio and text may wait for a connection.
    pub outbound_bytes: u32,
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            trusted_proxies: TrustedProxy::on_this_machine(),
            max_sessions: 256,
            max_sessions_per_address: 64,
            starts_per_minute: 600,
            starts_per_minute_per_address: 60,
            requests_per_minute_per_address: 400,
            max_message_bytes: 16 * 1024,
            heartbeat_seconds: 20,
            idle_seconds: 900,
            write_timeout_seconds: 10,
            outbound_messages: 256,
            outbound_bytes: 256 * 1024,
        }
    }
}

/// `[metrics]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// A listener of its own for `/metrics` and `/health`; without it they are served beside the
    /// game.
    pub listen: Option<SocketAddr>,
    /// A file that holds the token which `Authorization: Bearer` must carry.
    pub bearer_token_file: Option<PathBuf>,
    /// A file with users, TLS and response headers, as Prometheus' exporters have them.
    pub web_config_file: Option<PathBuf>,
}
