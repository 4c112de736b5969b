//! OpenAI chat completions: `POST /v1/chat/completions`, as server-sent events or as one object.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::http::Request;
use crate::plan::Plan;
use crate::response::{Chunk, Response};
use crate::text;
use crate::wire::{Exchange, Failure, REQUESTS_PER_MINUTE, TOKENS_PER_MINUTE, json_body};

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
    let Some(model) = body["model"].as_str() else {
        return refusal(exchange, 400, "you must provide a model parameter");
    };
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        return refusal(exchange, 400, "Missing required parameter: 'messages'.");
    }
    let max_tokens = body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64());
    let completion = Completion::new(exchange, model, max_tokens, request.body.len());
    let response = if body["stream"] == true {
        let usage = body["stream_options"]["include_usage"] == true;
        Response::stream("text/event-stream; charset=utf-8", completion.events(usage))
    } else {
        Response::json(200, &completion.whole())
    };
    let response = with_rate_limits(response, exchange.remaining(REQUESTS_PER_MINUTE));
    response
        .with_header("x-request-id", exchange.id("req_"))
        .with_header("openai-version", "2020-10-01")
        .with_header("openai-processing-ms", exchange.processing.as_millis())
}

/// The refusal of a request without a key.
pub(crate) fn invalid_key(exchange: &mut Exchange, request: &Request) -> Option<Response> {
    let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let message = "You didn't provide an API key.";
    bearer
        .is_none_or(str::is_empty)
        .then(|| error(exchange, 401, "invalid_request_error", Some("invalid_api_key"), message))
}

/// An answer of the model.
struct Completion {
    id: String,
    created: i64,
    model: String,
    pieces: Vec<String>,
    finish_reason: &'static str,
    prompt_tokens: usize,
    plan: Arc<Plan>,
}

impl Completion {
    fn new(
        exchange: &mut Exchange,
        model: &str,
        max_tokens: Option<u64>,
        prompt_bytes: usize,
    ) -> Completion {
        let mut pieces = text::answer(&exchange.plan, &mut exchange.random);
        let max_tokens = max_tokens.unwrap_or(u64::MAX).max(1);
        let fits = pieces.len() as u64 <= max_tokens;
        pieces.truncate(max_tokens.try_into().unwrap_or(usize::MAX));
        Completion {
            id: exchange.id("chatcmpl-"),
            created: Timestamp::now().as_second(),
            model: model.to_owned(),
            pieces,
            finish_reason: if fits { "stop" } else { "length" },
            prompt_tokens: text::tokens_of(prompt_bytes),
            plan: exchange.plan.clone(),
        }
    }

    fn usage(&self) -> Value {
        let Plan { cache_read_tokens: cached, reasoning_tokens: reasoning, .. } = *self.plan;
        let prompt = self.prompt_tokens as u64 + cached;
        let completion = self.pieces.len() as u64 + reasoning;
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
        })
    }

    fn whole(&self) -> Value {
        let text = self.pieces.concat();
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": null},
                "logprobs": null,
                "finish_reason": self.finish_reason,
            }],
            "usage": self.usage(),
            "service_tier": "default",
        })
    }

    fn events(&self, include_usage: bool) -> Vec<Chunk> {
        let object = |choices: Value, usage: Value| {
            let mut object = json!({
                "id": self.id,
                "object": "chat.completion.chunk",
                "created": self.created,
                "model": self.model,
                "choices": choices,
            });
            if include_usage {
                object["usage"] = usage;
            }
            event(&object)
        };
        let choice = |delta: Value, finish_reason: Option<&str>| {
            let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
            object(json!([choice]), Value::Null)
        };
        let role = json!({"role": "assistant", "content": "", "refusal": null});
        let mut chunks = vec![Chunk::other(choice(role, None))];
        let content = |piece: &String| Chunk::token(choice(json!({"content": piece}), None));
        chunks.extend(self.pieces.iter().map(content));
        chunks.push(Chunk::other(choice(json!({}), Some(self.finish_reason))));
        let mut last = String::new();
        if include_usage {
            last = object(json!([]), self.usage());
        }
        chunks.push(Chunk::other(last + "data: [DONE]\n\n"));
        chunks
    }
}

fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

pub(crate) fn failure(exchange: &mut Exchange, failure: Failure) -> Response {
    match failure {
        Failure::RateLimited => {
            let code = Some("rate_limit_exceeded");
            let response =
                error(exchange, 429, "requests", code, "Rate limit reached for requests.");
            with_rate_limits(response, 0)
        }
        Failure::Overloaded => {
            let message = "The engine is currently overloaded, please try again later.";
            error(exchange, 503, "server_error", None, message)
        }
        Failure::ServerError => {
            let message = "The server had an error while processing your request.";
            error(exchange, 500, "server_error", None, message)
        }
    }
}

pub(crate) fn refusal(exchange: &mut Exchange, status: u16, message: &str) -> Response {
    error(exchange, status, "invalid_request_error", None, message)
}

pub(crate) fn error_event() -> Chunk {
    let message = "The server had an error while processing your request.";
    let error = json!({"message": message, "type": "server_error", "param": null, "code": null});
    Chunk::other(event(&json!({"error": error})))
}

fn error(
    exchange: &mut Exchange,
    status: u16,
    kind: &str,
    code: Option<&str>,
    message: &str,
) -> Response {
    let error = json!({"message": message, "type": kind, "param": null, "code": code});
    Response::json(status, &json!({"error": error}))
        .with_header("x-request-id", exchange.id("req_"))
}

fn with_rate_limits(response: Response, remaining: u64) -> Response {
    let share = remaining as f64 / REQUESTS_PER_MINUTE as f64;
    let tokens = (TOKENS_PER_MINUTE as f64 * share) as u64;
    let reset = |left: u64, limit: u64| format!("{}ms", (limit - left) * 60_000 / limit);
    response.with_headers([
        ("x-ratelimit-limit-requests", REQUESTS_PER_MINUTE.to_string()),
        ("x-ratelimit-remaining-requests", remaining.to_string()),
        ("x-ratelimit-reset-requests", reset(remaining, REQUESTS_PER_MINUTE)),
        ("x-ratelimit-limit-tokens", TOKENS_PER_MINUTE.to_string()),
        ("x-ratelimit-remaining-tokens", tokens.to_string()),
        ("x-ratelimit-reset-tokens", reset(tokens, TOKENS_PER_MINUTE)),
    ])
}
