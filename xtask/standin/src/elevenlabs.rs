//! ElevenLabs text to speech: `POST /v1/text-to-speech/{voice_id}/stream`, and without `/stream`.

use serde_json::json;

use crate::audio::Format;
use crate::http::Request;
use crate::response::{Body, Response};
use crate::speech;
use crate::wire::{Exchange, Failure, json_body};

/// The limit that the concurrency headers speak of.
const MAX_CONCURRENT: usize = 15;
/// Longer texts are refused, as the provider does.
const MAX_CHARACTERS: usize = 5_000;

/// The voice in a path of this protocol.
pub(crate) fn voice_of(path: &str) -> Option<&str> {
    let voice = path.strip_prefix("/v1/text-to-speech/")?;
    let voice = voice.strip_suffix("/stream").unwrap_or(voice);
    (!voice.is_empty() && !voice.contains('/')).then_some(voice)
}

pub(crate) fn answer(exchange: &mut Exchange, request: &Request) -> Response {
    if request.method != "POST" {
        return refusal(exchange, 405, "Method Not Allowed");
    }
    if request.header("xi-api-key").is_none_or(str::is_empty) {
        let message = "Neither authorization header nor xi-api-key received, please provide one.";
        return error(exchange, 401, "authentication_error", "needs_authorization", message);
    }
    let body = match json_body(request) {
        Ok(body) => body,
        Err(message) => return unprocessable(exchange, "json_invalid", json!(["body"]), &message),
    };
    let Some(text) = body["text"].as_str() else {
        return unprocessable(exchange, "missing", json!(["body", "text"]), "Field required");
    };
    let characters = text.chars().count();
    if !(1..=MAX_CHARACTERS).contains(&characters) {
        let message = format!("the text must have 1 to {MAX_CHARACTERS} characters");
        return error(exchange, 400, "validation_error", "invalid_text_length", &message);
    }
    let asked = request.query_value("output_format").unwrap_or(Format::DEFAULT);
    let Some(format) = Format::from_name(asked) else {
        let message = "the stand-in makes pcm_* and mp3_* only";
        return error(exchange, 400, "validation_error", "invalid_output_format", message);
    };
    let speech = speech::of(exchange, format, characters);
    let mut response = speech::stream(exchange, format.content_type(), &speech);
    if !request.path.ends_with("/stream") {
        response.body = Body::Whole(speech.bytes);
    }
    response
        .with_header("request-id", exchange.id(""))
        .with_header("character-cost", characters)
        .with_header("current-concurrent-requests", exchange.in_flight)
        .with_header("maximum-concurrent-requests", MAX_CONCURRENT)
}

/// The answer without audio that [`crate::Fault::NonAudio200`] gives.
pub(crate) fn non_audio(exchange: &mut Exchange) -> Response {
    let detail = json!({"status": "processing", "message": "The audio is not ready."});
    Response::json(200, &json!({"detail": detail})).with_header("request-id", exchange.id(""))
}

pub(crate) fn failure(exchange: &mut Exchange, failure: Failure) -> Response {
    let (status, kind, code, message) = match failure {
        Failure::RateLimited => {
            (429, "rate_limit_error", "rate_limit_exceeded", "Rate limit exceeded.")
        }
        Failure::Overloaded => (503, "service_unavailable", "system_busy", "The system is busy."),
        Failure::ServerError => {
            (500, "internal_error", "internal_server_error", "Something went wrong.")
        }
    };
    error(exchange, status, kind, code, message)
}

pub(crate) fn refusal(exchange: &mut Exchange, status: u16, message: &str) -> Response {
    error(exchange, status, "validation_error", "invalid_request", message)
}

fn error(exchange: &mut Exchange, status: u16, kind: &str, code: &str, message: &str) -> Response {
    let id = exchange.id("");
    let detail = json!({
        "type": kind,
        "code": code,
        "message": message,
        "status": code,
        "request_id": id,
        "param": null,
    });
    Response::json(status, &json!({"detail": detail})).with_header("request-id", id)
}

fn unprocessable(
    exchange: &mut Exchange,
    kind: &str,
    place: serde_json::Value,
    message: &str,
) -> Response {
    let detail = json!([{"loc": place, "msg": message, "type": kind}]);
    Response::json(422, &json!({"detail": detail})).with_header("request-id", exchange.id(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voice_is_one_segment_of_the_path() {
        assert_eq!(voice_of("/v1/text-to-speech/abc/stream"), Some("abc"));
        assert_eq!(voice_of("/v1/text-to-speech/abc"), Some("abc"));
        assert_eq!(voice_of("/v1/text-to-speech//stream"), None);
        assert_eq!(voice_of("/v1/text-to-speech/a/b/stream"), None);
        assert_eq!(voice_of("/v1/messages"), None);
    }
}
