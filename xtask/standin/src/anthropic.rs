//! Anthropic Messages: `POST /v1/messages`, as server-sent events or as one JSON object.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::http::Request;
use crate::plan::Plan;
use crate::response::{Chunk, Response};
use crate::text;
use crate::wire::{Exchange, Failure, REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE, json_body};

pub(crate) fn answer(exchange: &mut Exchange, request: &Request) -> Response {
    if request.method != "POST" {
        return error(exchange, 405, "invalid_request_error", "Method Not Allowed");
    }
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    // SDKs send the one by now, and sent the other until 2026.
    if bearer.or(request.header("x-api-key")).is_none_or(str::is_empty) {
        let message = "Authorization: Bearer or x-api-key header is required";
        return error(exchange, 401, "authentication_error", message);
    }
    if request.header("anthropic-version").is_none_or(str::is_empty) {
        return invalid(exchange, "anthropic-version: header is required");
    }
    let body = match json_body(request) {
        Ok(body) => body,
        Err(message) => return invalid(exchange, &message),
    };
    let Some(model) = body["model"].as_str() else {
        return invalid(exchange, "model: Field required");
    };
    let Some(max_tokens) = body["max_tokens"].as_u64().filter(|tokens| *tokens > 0) else {
        return invalid(exchange, "max_tokens: Field required");
    };
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        return invalid(exchange, "messages: at least one message is required");
    }
    let message = Message::new(exchange, model, max_tokens, request.body.len());
    let response = if body["stream"] == true {
        Response::stream("text/event-stream; charset=utf-8", message.events())
    } else {
        Response::json(200, &message.whole())
    };
    with_headers(exchange, response, exchange.remaining(REQUESTS_PER_MINUTE))
}

/// An answer of the model.
struct Message {
    id: String,
    model: String,
    pieces: Vec<String>,
    stop_reason: &'static str,
    input_tokens: usize,
    plan: Arc<Plan>,
}

impl Message {
    fn new(exchange: &mut Exchange, model: &str, max_tokens: u64, prompt_bytes: usize) -> Message {
        let mut pieces = text::answer(&exchange.plan, &mut exchange.random);
        let fits = pieces.len() as u64 <= max_tokens;
        pieces.truncate(max_tokens.try_into().unwrap_or(usize::MAX));
        Message {
            id: exchange.id("msg_"),
            model: model.to_owned(),
            pieces,
            stop_reason: if fits { "end_turn" } else { "max_tokens" },
            input_tokens: text::tokens_of(prompt_bytes),
            plan: exchange.plan.clone(),
        }
    }

    /// As it is before its end (no stop reason) or after.
    fn object(&self, content: Value, stop_reason: Option<&str>, output_tokens: u64) -> Value {
        json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": {
                "input_tokens": self.input_tokens,
                "cache_creation_input_tokens": self.plan.cache_write_tokens,
                "cache_read_input_tokens": self.plan.cache_read_tokens,
                "output_tokens": output_tokens,
            },
        })
    }

    fn whole(&self) -> Value {
        let content = json!([{"type": "text", "text": self.pieces.concat()}]);
        self.object(content, Some(self.stop_reason), self.output_tokens())
    }

    /// This protocol does not tell reasoning from what is said.
    fn output_tokens(&self) -> u64 {
        self.pieces.len() as u64 + self.plan.reasoning_tokens
    }

    fn events(&self) -> Vec<Chunk> {
        let start = json!({"type": "message_start", "message": self.object(json!([]), None, 1)});
        let block = json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
        let delta = |piece: &String| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}});
        let stop = json!({"type": "content_block_stop", "index": 0});
        let end = json!({
            "type": "message_delta",
            "delta": {"stop_reason": self.stop_reason, "stop_sequence": null},
            "usage": {"output_tokens": self.output_tokens()},
        });
        let mut chunks = vec![
            Chunk::other(event(&start)),
            Chunk::other(event(&block) + &event(&json!({"type": "ping"}))),
        ];
        chunks.extend(self.pieces.iter().map(|piece| Chunk::token(event(&delta(piece)))));
        let last = event(&stop) + &event(&end) + &event(&json!({"type": "message_stop"}));
        chunks.push(Chunk::other(last));
        chunks
    }
}

fn event(data: &Value) -> String {
    let name = data["type"].as_str().unwrap_or("message");
    format!("event: {name}\ndata: {data}\n\n")
}

pub(crate) fn failure(exchange: &mut Exchange, failure: Failure) -> Response {
    let (status, kind, message) = match failure {
        Failure::RateLimited => {
            (429, "rate_limit_error", "This request would exceed your rate limit.")
        }
        Failure::Overloaded => (529, "overloaded_error", "Overloaded"),
        Failure::ServerError => (500, "api_error", "Internal server error"),
    };
    let response = error(exchange, status, kind, message);
    match failure {
        Failure::RateLimited => with_rate_limits(response, 0),
        Failure::Overloaded | Failure::ServerError => response,
    }
}

pub(crate) fn refusal(exchange: &mut Exchange, status: u16, message: &str) -> Response {
    error(exchange, status, "invalid_request_error", message)
}

pub(crate) fn error_event() -> Chunk {
    let error = json!({"type": "overloaded_error", "message": "Overloaded"});
    Chunk::other(event(&json!({"type": "error", "error": error})))
}

fn invalid(exchange: &mut Exchange, message: &str) -> Response {
    error(exchange, 400, "invalid_request_error", message)
}

fn error(exchange: &mut Exchange, status: u16, kind: &str, message: &str) -> Response {
    let id = exchange.id("req_");
    let error = json!({"type": kind, "message": message});
    let body = json!({"type": "error", "error": error, "request_id": id});
    Response::json(status, &body).with_header("request-id", id)
}

fn with_headers(exchange: &mut Exchange, response: Response, remaining: u64) -> Response {
    with_rate_limits(response.with_header("request-id", exchange.id("req_")), remaining)
}

fn with_rate_limits(response: Response, remaining: u64) -> Response {
    let now = Timestamp::now();
    let reset = now.checked_add(SignedDuration::from_secs(60)).unwrap_or(now);
    let reset = reset.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let share = remaining as f64 / REQUESTS_PER_MINUTE as f64;
    let tokens = |limit: u64| ((limit as f64 * share) as u64).to_string();
    let (input, output) = (TOKENS_PER_MINUTE * 4 / 5, TOKENS_PER_MINUTE / 5);
    response.with_headers([
        ("anthropic-ratelimit-requests-limit", REQUESTS_PER_MINUTE.to_string()),
        ("anthropic-ratelimit-requests-remaining", remaining.to_string()),
        ("anthropic-ratelimit-requests-reset", reset.clone()),
        ("anthropic-ratelimit-tokens-limit", TOKENS_PER_MINUTE.to_string()),
        ("anthropic-ratelimit-tokens-remaining", tokens(TOKENS_PER_MINUTE)),
        ("anthropic-ratelimit-tokens-reset", reset.clone()),
        ("anthropic-ratelimit-input-tokens-limit", input.to_string()),
        ("anthropic-ratelimit-input-tokens-remaining", tokens(input)),
        ("anthropic-ratelimit-input-tokens-reset", reset.clone()),
        ("anthropic-ratelimit-output-tokens-limit", output.to_string()),
        ("anthropic-ratelimit-output-tokens-remaining", tokens(output)),
        ("anthropic-ratelimit-output-tokens-reset", reset),
    ])
}
