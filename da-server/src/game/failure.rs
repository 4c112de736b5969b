//! From how a provider call fails to the game's own, coarser error types.

use crate::metrics::ErrorType;
use crate::provider::ErrorKind;

/// Why a turn has no words, or no voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A call to the language model failed.
    Llm(Cause),
    /// A call for speech failed.
    Tts(Cause),
}

/// As far as it makes a difference to players.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Timeout,
    RateLimited,
    Unavailable,
    Refused,
    /// What there is of it is right; the rest did not come.
    Interrupted,
    Protocol,
}

impl Failure {
    pub(super) fn error_type(self) -> ErrorType {
        match self {
            Self::Llm(Cause::Timeout) => ErrorType::LlmTimeout,
            Self::Llm(Cause::RateLimited) => ErrorType::LlmRateLimited,
            Self::Llm(Cause::Unavailable) => ErrorType::LlmUnavailable,
            Self::Llm(Cause::Refused) => ErrorType::LlmRefused,
            Self::Llm(Cause::Interrupted) => ErrorType::LlmInterrupted,
            Self::Llm(Cause::Protocol) => ErrorType::LlmProtocol,
            Self::Tts(Cause::Timeout) => ErrorType::TtsTimeout,
            Self::Tts(Cause::RateLimited) => ErrorType::TtsRateLimited,
            Self::Tts(Cause::Unavailable) => ErrorType::TtsUnavailable,
            Self::Tts(Cause::Refused) => ErrorType::TtsRefused,
            Self::Tts(Cause::Interrupted) => ErrorType::TtsInterrupted,
            Self::Tts(Cause::Protocol) => ErrorType::TtsProtocol,
        }
    }
}

impl From<ErrorKind> for Cause {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Timeout | ErrorKind::Saturated => Self::Timeout,
            ErrorKind::RateLimited => Self::RateLimited,
            ErrorKind::Connect
            | ErrorKind::Tls
            | ErrorKind::Overloaded
            | ErrorKind::Server
            | ErrorKind::CircuitOpen => Self::Unavailable,
            ErrorKind::Authentication
            | ErrorKind::Quota
            | ErrorKind::InvalidRequest
            | ErrorKind::Refusal => Self::Refused,
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::Protocol
            | ErrorKind::EmptyAnswer
            | ErrorKind::NotAudio
            | ErrorKind::Cancelled => Self::Protocol,
        }
    }
}
