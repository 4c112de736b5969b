//! Label values that more than one module uses. Each set is closed, so a label can't grow.

/// How a player's request ended: `requests_total{status}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestStatus {
    /// The whole answer was handed to the player.
    Success,
    /// The answer is missing or broken off.
    Error,
    /// The player interrupted it, superseded it or left.
    Cancelled,
    /// It was not accepted: invalid, too early, or the queue was full.
    Rejected,
}

impl RequestStatus {
    /// Every value, for pre-creating series.
    pub const ALL: [Self; 4] = [Self::Success, Self::Error, Self::Cancelled, Self::Rejected];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
        }
    }
}

/// What failed: `errors_total{error_type}`. One failure counts once, under one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// The LLM gave no answer in time.
    LlmTimeout,
    /// The LLM's provider asked for fewer calls.
    LlmRateLimited,
    /// The LLM's provider could not be reached, or said that it is overloaded or broken.
    LlmUnavailable,
    /// The LLM's provider refused the key, the account or the request: it needs an operator.
    LlmRefused,
    /// The connection ended before the LLM's answer did.
    LlmInterrupted,
    /// The LLM's answer was not what its protocol promises, or empty.
    LlmProtocol,
    /// As [`Self::LlmTimeout`], for speech.
    TtsTimeout,
    /// As [`Self::LlmRateLimited`], for speech.
    TtsRateLimited,
    /// As [`Self::LlmUnavailable`], for speech.
    TtsUnavailable,
    /// As [`Self::LlmRefused`], for speech.
    TtsRefused,
    /// As [`Self::LlmInterrupted`], for speech.
    TtsInterrupted,
    /// As [`Self::LlmProtocol`], for speech.
    TtsProtocol,
    /// A query failed, or the database can't be opened.
    Database,
    /// A player's message that the protocol does not know.
    InvalidMessage,
    /// A player's connection took too long to accept what was sent.
    SlowPlayer,
}

impl ErrorType {
    /// Every value, for pre-creating series.
    pub const ALL: [Self; 15] = [
        Self::LlmTimeout,
        Self::LlmRateLimited,
        Self::LlmUnavailable,
        Self::LlmRefused,
        Self::LlmInterrupted,
        Self::LlmProtocol,
        Self::TtsTimeout,
        Self::TtsRateLimited,
        Self::TtsUnavailable,
        Self::TtsRefused,
        Self::TtsInterrupted,
        Self::TtsProtocol,
        Self::Database,
        Self::InvalidMessage,
        Self::SlowPlayer,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LlmTimeout => "llm_timeout",
            Self::LlmRateLimited => "llm_rate_limited",
            Self::LlmUnavailable => "llm_unavailable",
            Self::LlmRefused => "llm_refused",
            Self::LlmInterrupted => "llm_interrupted",
            Self::LlmProtocol => "llm_protocol",
            Self::TtsTimeout => "tts_timeout",
            Self::TtsRateLimited => "tts_rate_limited",
            Self::TtsUnavailable => "tts_unavailable",
            Self::TtsRefused => "tts_refused",
            Self::TtsInterrupted => "tts_interrupted",
            Self::TtsProtocol => "tts_protocol",
            Self::Database => "database",
            Self::InvalidMessage => "invalid_message",
            Self::SlowPlayer => "slow_player",
        }
    }
}

/// Why a player's connection ended, or was not let in: `websocket_closes_total{reason}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The player closed it.
    PlayerLeft,
    /// It broke.
    ConnectionLost,
    /// It gave no sign of life.
    HeartbeatLost,
    /// The player did nothing for too long.
    Idle,
    /// It took no data for too long.
    SlowPlayer,
    /// The player sent a message that is too large.
    MessageTooLarge,
    /// The player sent what is no WebSocket message.
    ProtocolError,
    /// The player sent what the game does not know, at first or too often.
    InvalidMessages,
    /// The player came back over another connection.
    Replaced,
    /// The server has as many sessions, or starts in a minute, as it may, or can't open one.
    Busy,
    /// Of one address as many sessions are open as may be.
    TooManySessions,
    /// Of one address as many sessions were started lately as may be.
    TooManyStarts,
    /// The session that a player came back to could not be read.
    StoreUnavailable,
    /// A page of another site wanted to connect.
    OriginRefused,
    /// The server stops.
    ServerShutdown,
}

impl CloseReason {
    /// Every value, for pre-creating series.
    pub const ALL: [Self; 15] = [
        Self::PlayerLeft,
        Self::ConnectionLost,
        Self::HeartbeatLost,
        Self::Idle,
        Self::SlowPlayer,
        Self::MessageTooLarge,
        Self::ProtocolError,
        Self::InvalidMessages,
        Self::Replaced,
        Self::Busy,
        Self::TooManySessions,
        Self::TooManyStarts,
        Self::StoreUnavailable,
        Self::OriginRefused,
        Self::ServerShutdown,
    ];

    /// The label value, and what the closing message says.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlayerLeft => "player_left",
            Self::ConnectionLost => "connection_lost",
            Self::HeartbeatLost => "heartbeat_lost",
            Self::Idle => "idle",
            Self::SlowPlayer => "slow_player",
            Self::MessageTooLarge => "message_too_large",
            Self::ProtocolError => "protocol_error",
            Self::InvalidMessages => "invalid_messages",
            Self::Replaced => "replaced",
            Self::Busy => "busy",
            Self::TooManySessions => "too_many_sessions",
            Self::TooManyStarts => "too_many_starts",
            Self::StoreUnavailable => "store_unavailable",
            Self::OriginRefused => "origin_refused",
            Self::ServerShutdown => "server_shutdown",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_value_is_listed_once() {
        let distinct = |values: &[&str]| values.iter().collect::<HashSet<_>>().len();
        assert_eq!(distinct(&RequestStatus::ALL.map(RequestStatus::as_str)), 4);
        assert_eq!(distinct(&ErrorType::ALL.map(ErrorType::as_str)), 15);
        assert_eq!(distinct(&CloseReason::ALL.map(CloseReason::as_str)), 15);
    }
}
