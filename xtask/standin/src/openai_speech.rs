//! OpenAI's speech: `POST /v1/audio/speech`.

use serde_json::json;

use crate::audio::Format;
use crate::http::Request;
use crate::openai::{invalid_key, refusal};
use crate::response::Response;
use crate::speech;
use crate::wire::{Exchange, json_body};

/// Longer texts are refused, as the provider does.
const MAX_CHARACTERS: usize = 4_096;

pub(crate) fn answer(exchange: &mut Exchange, request: &Request) -> Response {
    if request.method != "POST" {
        return refusal(exchange, 405, "Not allowed: only POST is accepted here.");
    }
    if let Some(refused) = invalid_key(exchange, request) {
        return refused;
    }
    let body = match json_body(request) {
        Ok(body) => body,
        Err(message) => return refusal(exchange, 400, &message),
    };
    for field in ["model", "voice"] {
        if body[field].as_str().is_none_or(str::is_empty) {
            let message = format!("Missing required parameter: '{field}'.");
            return refusal(exchange, 400, &message);
        }
    }
    let Some(characters) = body["input"].as_str().map(|text| text.chars().count()) else {
        return refusal(exchange, 400, "Missing required parameter: 'input'.");
    };
    if !(1..=MAX_CHARACTERS).contains(&characters) {
        let message = format!("'input' must have 1 to {MAX_CHARACTERS} characters.");
        return refusal(exchange, 400, &message);
    }
    let asked = body["response_format"].as_str().unwrap_or("mp3");
    // All of it is at the provider's rate.
    let format = match asked {
        "mp3" => Format::from_name("mp3_24000_48"),
        "pcm" | "wav" => Format::from_name("pcm_24000"),
        _ => None,
    };
    let Some(format) = format else {
        return refusal(exchange, 400, "the stand-in makes mp3, pcm and wav only");
    };
    let mut spoken = speech::of(exchange, format, characters);
    let mut content_type = format.content_type();
    if asked == "wav" {
        (spoken, content_type) = (spoken.into_streamed_wav(24_000), "audio/wav");
    }
    speech::stream(exchange, content_type, &spoken).with_header("x-request-id", exchange.id("req_"))
}

/// The answer without audio that [`crate::Fault::NonAudio200`] gives, as gateways do.
pub(crate) fn non_audio(exchange: &mut Exchange) -> Response {
    let error = json!({"message": "The audio is not ready.", "type": "processing", "code": null});
    Response::json(200, &json!({"error": error})).with_header("x-request-id", exchange.id("req_"))
}
