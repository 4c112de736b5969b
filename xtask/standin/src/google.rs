//! Google Gemini: `POST /v1/models/{model}:streamGenerateContent`, as server-sent events or as one
//! list, and `:generateContent`; under `/v1beta` too.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::http::Request;
use crate::plan::Plan;
use crate::response::{Chunk, Response};
use crate::text;
use crate::wire::{Exchange, Failure, json_body};

/// What a path of this protocol asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    model: &'a str,
    stream: bool,
}

impl Asked<'_> {
    pub(crate) fn of_path(path: &str) -> Option<Asked<'_>> {
        let path = path.strip_prefix("/v1/").or(path.strip_prefix("/v1beta/"))?;
        let (model, method) = path.strip_prefix("models/")?.rsplit_once(':')?;
        let stream = match method {
            "streamGenerateContent" => true,
            "generateContent" => false,
            _ => return None,
        };
        (!model.is_empty() && !model.contains('/')).then_some(Asked { model, stream })
    }
}

pub(crate) fn answer(exchange: &mut Exchange, request: &Request) -> Response {
    let Some(asked) = Asked::of_path(&request.path).filter(|_| request.method == "POST") else {
        return error(404, "NOT_FOUND", "Not Found");
    };
    if request.header("x-goog-api-key").is_none_or(str::is_empty) {
        let message = "Method doesn't allow unregistered callers (callers without established \
                       identity). Please use API Key or other form of API consumer identity to \
                       call this API.";
        return error(403, "PERMISSION_DENIED", message);
    }
    let body = match json_body(request) {
        Ok(body) => body,
        Err(message) => return invalid(&message),
    };
    let Some(last) = body["contents"].as_array().and_then(|contents| contents.last()) else {
        return invalid("* GenerateContentRequest.contents: contents is not specified");
    };
    if last["role"].as_str().is_some_and(|role| role != "user") {
        return invalid("Please ensure that the last content is one of the user.");
    }
    if last["parts"].as_array().is_none_or(Vec::is_empty) {
        return invalid(
            "* GenerateContentRequest.contents.parts: contents.parts must not be empty.",
        );
    }
    let max_tokens = body["generationConfig"]["maxOutputTokens"].as_u64();
    let content = Content::new(exchange, asked.model, max_tokens, request.body.len());
    let response = match (asked.stream, request.query_value("alt")) {
        (true, Some("sse")) => Response::stream("text/event-stream", content.events()),
        (true, _) => Response::json(200, &content.parts().collect()),
        (false, _) => Response::json(200, &content.whole()),
    };
    let milliseconds = exchange.processing.as_millis();
    response.with_header("server-timing", format!("gfet4t7; dur={milliseconds}"))
}

/// An answer of the model.
struct Content {
    id: String,
    model: String,
    pieces: Vec<String>,
    finish_reason: &'static str,
    prompt_tokens: u64,
    plan: Arc<Plan>,
}

impl Content {
    fn new(
        exchange: &mut Exchange,
        model: &str,
        max_tokens: Option<u64>,
        prompt_bytes: usize,
    ) -> Content {
        let mut pieces = text::answer(&exchange.plan, &mut exchange.random);
        let max_tokens = max_tokens.unwrap_or(u64::MAX).max(1);
        let fits = pieces.len() as u64 <= max_tokens;
        pieces.truncate(max_tokens.try_into().unwrap_or(usize::MAX));
        Content {
            id: exchange.id(""),
            model: model.to_owned(),
            pieces,
            finish_reason: if fits { "STOP" } else { "MAX_TOKENS" },
            prompt_tokens: text::tokens_of(prompt_bytes) as u64,
            plan: exchange.plan.clone(),
        }
    }

    /// A response that says this, when so many tokens have been said.
    fn object(&self, text: &str, tokens: usize) -> Value {
        let mut candidate =
            json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
        if tokens == self.pieces.len() {
            candidate["finishReason"] = json!(self.finish_reason);
        }
        json!({
            "candidates": [candidate],
            "usageMetadata": self.usage(tokens as u64),
            "modelVersion": self.model,
            "responseId": self.id,
        })
    }

    /// Running totals. What is zero is left out.
    fn usage(&self, tokens: u64) -> Value {
        let Plan { cache_read_tokens: cached, reasoning_tokens: thoughts, .. } = *self.plan;
        let prompt = self.prompt_tokens + cached;
        let mut usage = json!({
            "promptTokenCount": prompt,
            "candidatesTokenCount": tokens,
            "totalTokenCount": prompt + tokens + thoughts,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
        });
        for (name, count) in [("cachedContentTokenCount", cached), ("thoughtsTokenCount", thoughts)]
        {
            if count > 0 {
                usage[name] = json!(count);
            }
        }
        usage
    }

    fn whole(&self) -> Value {
        self.object(&self.pieces.concat(), self.pieces.len())
    }

    fn parts(&self) -> impl Iterator<Item = Value> {
        self.pieces.iter().zip(1..).map(|(piece, tokens)| self.object(piece, tokens))
    }

    fn events(&self) -> Vec<Chunk> {
        self.parts().map(|part| Chunk::token(event(&part))).collect()
    }
}

fn event(data: &Value) -> String {
    format!("data: {data}\r\n\r\n")
}

pub(crate) fn failure(failure: Failure) -> Response {
    let (status, name, message) = match failure {
        Failure::RateLimited => (
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan and billing details.",
        ),
        Failure::Overloaded => {
            (503, "UNAVAILABLE", "The model is overloaded. Please try again later.")
        }
        Failure::ServerError => (500, "INTERNAL", "An internal error has occurred."),
    };
    error(status, name, message)
}

pub(crate) fn refusal(status: u16, message: &str) -> Response {
    error(status, "INVALID_ARGUMENT", message)
}

pub(crate) fn error_event() -> Chunk {
    let message = "This model is currently experiencing high demand.";
    Chunk::other(event(&described(503, "UNAVAILABLE", message)))
}

fn invalid(message: &str) -> Response {
    error(400, "INVALID_ARGUMENT", message)
}

fn error(status: u16, name: &str, message: &str) -> Response {
    Response::json(status, &described(status, name, message))
}

fn described(status: u16, name: &str, message: &str) -> Value {
    json!({"error": {"code": status, "message": message, "status": name}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_and_method_are_in_the_path() {
        let asked = |path| Asked::of_path(path).map(|asked| (asked.model, asked.stream));
        assert_eq!(asked("/v1/models/m-1.5:streamGenerateContent"), Some(("m-1.5", true)));
        assert_eq!(asked("/v1beta/models/m:generateContent"), Some(("m", false)));
        for path in [
            "/v2/models/m:generateContent",
            "/v1/models/:generateContent",
            "/v1/models/m/x:generateContent",
            "/v1/models/m:countTokens",
            "/v1/models/m",
            "/v1/messages",
        ] {
            assert_eq!(asked(path), None, "{path}");
        }
    }
}
