//! Which provider's protocol a request is in, and what the protocols share.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::audio::Audio;
use crate::http::Request;
use crate::plan::Plan;
use crate::response::{Chunk, Response};
use crate::{anthropic, elevenlabs, google, openai, openai_speech};

/// The request limit per minute that the rate limit headers speak of.
pub(crate) const REQUESTS_PER_MINUTE: u64 = 4_000;
/// The token limit per minute that the rate limit headers speak of.
pub(crate) const TOKENS_PER_MINUTE: u64 = 400_000;

/// A wire protocol, recognised by the path so that every name speaks all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Anthropic,
    OpenAi,
    Google,
    OpenAiSpeech,
    ElevenLabs,
}

/// A failure that every protocol has words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    RateLimited,
    Overloaded,
    ServerError,
}

/// What an answer is made from, beside the request.
pub(crate) struct Exchange {
    /// Counted from 1.
    pub(crate) number: u64,
    pub(crate) plan: Arc<Plan>,
    pub(crate) random: StdRng,
    /// What the provider takes to answer, as drawn from the plan.
    pub(crate) processing: Duration,
    /// Requests being answered now, this one included.
    pub(crate) in_flight: usize,
    pub(crate) audio: Arc<Audio>,
}

impl Exchange {
    /// A random identifier in hexadecimal behind a prefix.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        let (high, low): (u64, u32) = (self.random.random(), self.random.random());
        format!("{prefix}{high:016x}{low:08x}")
    }

    /// What is left of a limit that every request takes one unit of.
    pub(crate) fn remaining(&self, limit: u64) -> u64 {
        limit - self.number % limit
    }
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

/// The body as a JSON object, or what is wrong with it.
pub(crate) fn json_body(request: &Request) -> Result<Value, String> {
    match serde_json::from_slice(&request.body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("the body must be a JSON object".to_owned()),
        // Only the place: the parser's message may quote the body.
        Err(error) => Err(format!("the body is not JSON (column {})", error.column())),
    }
}
