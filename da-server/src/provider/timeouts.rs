//! How long a call may take.

use std::time::Duration;

use serde::Deserialize;

/// The time limits of a call to a provider.
///
/// The first two belong to each attempt, the last to the logical call with all its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// From the start of an attempt, or the end of its wait for others in flight, to its first
    /// content: a text token, or an audio byte. Headers, pings and role markers do not count. While
    /// a model thinks, it begins anew with each piece of thought.
    /// Key `first_content_seconds`.
    #[serde(rename = "first_content_seconds", with = "super::seconds::limit")]
    pub first_content: Duration,
    /// Between two reads of one response body; a ping counts as life. Key `idle_seconds`.
    #[serde(rename = "idle_seconds", with = "super::seconds::limit")]
    pub idle: Duration,
    /// The whole logical call: every attempt, the pauses between them, and the stream to its
    /// last byte. Key `total_seconds`.
    #[serde(rename = "total_seconds", with = "super::seconds::limit")]
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_content: Duration::from_secs(20),
            idle: Duration::from_secs(20),
            total: Duration::from_secs(60),
        }
    }
}
