//! Which provider's protocol a request is in.

use serde_json::json;

use crate::http::Request;
use crate::response::{Chunk, Response};
use crate::wire::{Exchange, Failure};
use crate::{anthropic, elevenlabs, google, openai, openai_speech};

/// A wire protocol, recognised by the path so that every name speaks all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Anthropic,
    OpenAi,
    Google,
    OpenAiSpeech,
    ElevenLabs,
}

impl Protocol {
    pub(crate) fn of_path(path: &str) -> Option<Protocol> {
        match path {
            "/v1/messages" => Some(Protocol::Anthropic),
            "/v1/chat/completions" => Some(Protocol::OpenAi),
            _ if google::Asked::of_path(path).is_some() => Some(Protocol::Google),
            "/v1/audio/speech" => Some(Protocol::OpenAiSpeech),
            _ if elevenlabs::voice_of(path).is_some() => Some(Protocol::ElevenLabs),
            _ => None,
        }
    }

    /// What the provider would answer: status 200, or the error that the request deserves.
    pub(crate) fn answer(self, exchange: &mut Exchange, request: &Request) -> Response {
        match self {
            Protocol::Anthropic => anthropic::answer(exchange, request),
            Protocol::OpenAi => openai::answer(exchange, request),
            Protocol::Google => google::answer(exchange, request),
            Protocol::OpenAiSpeech => openai_speech::answer(exchange, request),
            Protocol::ElevenLabs => elevenlabs::answer(exchange, request),
        }
    }

    pub(crate) fn failure(self, exchange: &mut Exchange, failure: Failure) -> Response {
        match self {
            Protocol::Anthropic => anthropic::failure(exchange, failure),
            Protocol::Google => google::failure(failure),
            Protocol::OpenAi | Protocol::OpenAiSpeech => openai::failure(exchange, failure),
            Protocol::ElevenLabs => elevenlabs::failure(exchange, failure),
        }
    }

    /// A refusal that is not in the provider's own vocabulary, in its form.
    pub(crate) fn refusal(self, exchange: &mut Exchange, status: u16, message: &str) -> Response {
        match self {
            Protocol::Anthropic => anthropic::refusal(exchange, status, message),
            Protocol::Google => google::refusal(status, message),
            Protocol::OpenAi | Protocol::OpenAiSpeech => openai::refusal(exchange, status, message),
            Protocol::ElevenLabs => elevenlabs::refusal(exchange, status, message),
        }
    }

    /// The event that says, in the middle of a stream, that it failed. None for audio.
    pub(crate) fn error_event(self) -> Option<Chunk> {
        match self {
            Protocol::Anthropic => Some(anthropic::error_event()),
            Protocol::OpenAi => Some(openai::error_event()),
            Protocol::Google => Some(google::error_event()),
            Protocol::OpenAiSpeech | Protocol::ElevenLabs => None,
        }
    }

    /// Whether it answers with events, which hold text. The others answer with audio.
    pub(crate) fn has_events(self) -> bool {
        matches!(self, Protocol::Anthropic | Protocol::OpenAi | Protocol::Google)
    }

    /// An answer without audio where that is due.
    pub(crate) fn non_audio(self, exchange: &mut Exchange) -> Option<Response> {
        match self {
            Protocol::Anthropic | Protocol::OpenAi | Protocol::Google => None,
            Protocol::OpenAiSpeech => Some(openai_speech::non_audio(exchange)),
            Protocol::ElevenLabs => Some(elevenlabs::non_audio(exchange)),
        }
    }
}

/// The answer to a path that no provider has.
pub(crate) fn not_found() -> Response {
    let message = "the stand-in has POST /v1/messages, /v1/chat/completions, \
                   /v1/models/{model}:streamGenerateContent, /v1/audio/speech and \
                   /v1/text-to-speech/{voice_id}[/stream]";
    Response::json(404, &json!({"error": {"type": "not_found_error", "message": message}}))
}
