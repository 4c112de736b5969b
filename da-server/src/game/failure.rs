//! From how a provider call fails to the game's own, coarser error types.

use crate::metrics::ErrorType;
use crate::provider::ErrorKind;

enum Failure {
    Timeout,
    RateLimited,
    Unavailable,
    Refused,
    Protocol,
}

fn failure(kind: ErrorKind) -> Failure {
    match kind {
        ErrorKind::Timeout => Failure::Timeout,
        ErrorKind::RateLimited => Failure::RateLimited,
        ErrorKind::Connect | ErrorKind::Tls | ErrorKind::Overloaded | ErrorKind::Server => {
            Failure::Unavailable
        }
        ErrorKind::Authentication | ErrorKind::Quota | ErrorKind::InvalidRequest => {
            Failure::Refused
        }
        ErrorKind::Protocol
        | ErrorKind::Interrupted
        | ErrorKind::NotAudio
        | ErrorKind::Cancelled => Failure::Protocol,
    }
}

/// A call to the language model failed.
pub(super) fn of_llm(kind: ErrorKind) -> ErrorType {
    match failure(kind) {
        Failure::Timeout => ErrorType::LlmTimeout,
        Failure::RateLimited => ErrorType::LlmRateLimited,
        Failure::Unavailable => ErrorType::LlmUnavailable,
        Failure::Refused => ErrorType::LlmRefused,
        Failure::Protocol => ErrorType::LlmProtocol,
    }
}

/// A call for speech failed.
pub(super) fn of_tts(kind: ErrorKind) -> ErrorType {
    match failure(kind) {
        Failure::Timeout => ErrorType::TtsTimeout,
        Failure::RateLimited => ErrorType::TtsRateLimited,
        Failure::Unavailable => ErrorType::TtsUnavailable,
        Failure::Refused => ErrorType::TtsRefused,
        Failure::Protocol => ErrorType::TtsProtocol,
    }
}
