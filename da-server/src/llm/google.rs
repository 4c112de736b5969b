//! Google Gemini: `POST {base}/models/{model}:streamGenerateContent?alt=sse`, answered with
//! server-sent events that have only data, each the next part of the response. None of them is the
//! last by its form: the reason to stop comes with a part, and then the body ends.

mod error;

use reqwest::{Url, header::HeaderMap};
use serde_json::{Value, json};

use super::{
    Completion, LlmProtocol, Role, StopReason, Usage, count,
    parameter::Parameter,
    wire::{Decoder, Request, Step, Wire, below},
};
use crate::provider::{ApiKey, ProviderSetupError, ReportedError};

pub(super) struct Google;

impl Wire for Google {
    fn url(&self, base: &Url, model: &str) -> Url {
        // As in the SDKs, a name may say what it is the name of.
        let (kind, name) = match model.split_once('/') {
            Some((kind @ ("models" | "tunedModels"), name)) => (kind, name),
            _ => ("models", model),
        };
        let mut url = below(base, [kind, &format!("{name}:streamGenerateContent")]);
        // Without it one JSON list comes in place of events.
        url.query_pairs_mut().append_pair("alt", "sse");
        url
    }

    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ProviderSetupError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert("x-goog-api-key", key.header("", LlmProtocol::Google.provider_name())?);
        }
        Ok(headers)
    }

    fn body(&self, request: &Request<'_>) -> Value {
        let content = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
        let contents: Vec<_> = request
            .messages
            .iter()
            .map(|message| content(role(message.role), &message.text))
            .collect();
        let mut body = json!({
            "contents": contents,
            "generationConfig": {"maxOutputTokens": request.max_tokens},
        });
        if !request.system.is_empty() {
            body["systemInstruction"] = content("user", request.system);
        }
        if let Some(temperature) = request.temperature {
            body["generationConfig"]["temperature"] = json!(temperature);
        }
        body
    }

    fn optional(&self) -> &'static [Parameter] {
        &[Parameter::Temperature]
    }

    fn parse_error(&self, body: &[u8]) -> ReportedError {
        error::in_body(body)
    }

    /// The parts of the response are in a list where `alt=sse` is not understood.
    fn events(&self, whole: Value) -> Option<Vec<String>> {
        let parts = match whole {
            Value::Array(parts) => parts,
            part => vec![part],
        };
        let is_answer = parts.iter().any(|part| part["candidates"].is_array());
        is_answer.then(|| parts.iter().map(Value::to_string).collect())
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(GoogleDecoder::default())
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Player => "user",
        Role::Character => "model",
    }
}

#[derive(Default)]
struct GoogleDecoder {
    tokens: Tokens,
    stop_reason: Option<StopReason>,
}

/// Chunks are read field by field: what is not there, or not what it should be, is absent, and what
/// is added later is passed over.
impl Decoder for GoogleDecoder {
    fn step(&mut self, data: &str) -> Result<Step, ReportedError> {
        match data.trim() {
            // Keeps the connection open.
            "" => return Ok(Step::Nothing),
            // Gateways that speak OpenAI's protocol too end with its end.
            "[DONE]" => return Ok(Step::Done(self.ended_by(StopReason::Other))),
            _ => {}
        }
        let chunk: Value = serde_json::from_str(data).map_err(|_| ReportedError::PROTOCOL)?;
        if let Some(reported) = error::in_chunk(&chunk) {
            return Err(reported);
        }
        self.tokens.update(&chunk["usageMetadata"]);
        // One candidate is asked for, so one is all there is.
        let candidate = &chunk["candidates"][0];
        let reason = candidate["finishReason"].as_str().and_then(stop_reason);
        self.stop_reason = reason.or(self.stop_reason);
        let parts = candidate["content"]["parts"].as_array().map_or(&[][..], Vec::as_slice);
        let text: String = parts
            .iter()
            .filter(|part| !is_thought(part))
            .filter_map(|part| part["text"].as_str())
            .collect();
        Ok(if !text.is_empty() {
            Step::Text(text)
        } else if parts.iter().any(is_thought) {
            Step::Thought
        } else if reason.is_some() {
            Step::Stop
        } else {
            Step::Nothing
        })
    }

    fn completion(&self) -> Option<Completion> {
        self.stop_reason.map(|reason| self.ended_by(reason))
    }

    fn usage(&self) -> Usage {
        self.tokens.usage()
    }
}

impl GoogleDecoder {
    /// The reason that was told wins.
    fn ended_by(&self, reason: StopReason) -> Completion {
        Completion { stop_reason: self.stop_reason.unwrap_or(reason), usage: self.usage() }
    }
}

fn is_thought(part: &Value) -> bool {
    part["thought"] == true
}

/// Why it stopped; `None` for what says that it did not.
fn stop_reason(reason: &str) -> Option<StopReason> {
    Some(match reason {
        "" | "FINISH_REASON_UNSPECIFIED" => return None,
        "STOP" => StopReason::EndTurn,
        "MAX_TOKENS" | "CONTINUATION" => StopReason::MaxTokens,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
        | "ESCALATION" | "MODEL_ARMOR" => StopReason::Refusal,
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" => {
            StopReason::ToolUse
        }
        _ => StopReason::Other,
    })
}

/// Usage as this protocol counts it: the prompt holds what was cached, but the candidates leave out
/// what the model thought.
#[derive(Default)]
struct Tokens {
    prompt: Option<u64>,
    cached: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
}

impl Tokens {
    /// Every chunk has running totals, perhaps not all of them.
    fn update(&mut self, told: &Value) {
        let replace = |known: &mut Option<u64>, told| *known = count::tokens(told).or(*known);
        replace(&mut self.prompt, &told["promptTokenCount"]);
        replace(&mut self.cached, &told["cachedContentTokenCount"]);
        replace(&mut self.candidates, &told["candidatesTokenCount"]);
        replace(&mut self.thoughts, &told["thoughtsTokenCount"]);
    }

    fn usage(&self) -> Usage {
        // A zero is not written.
        let output = self.candidates.or(self.thoughts.map(|_| 0));
        Usage {
            input: self.prompt,
            output: output.map(|said| said + self.thoughts.unwrap_or(0)),
            cache_read: self.cached,
            cache_write: None,
            reasoning: self.thoughts,
        }
    }
}

#[cfg(test)]
mod tests;
