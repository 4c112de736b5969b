//! Anthropic Messages: `POST /v1/messages`, answered with server-sent events whose data carry
//! their type.

use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde_json::{Value, json};

use super::{
    Auth, Completion, LlmProtocol, Role, StopReason, Usage, count,
    parameter::Parameter,
    wire::{Decoder, Request, Step, Wire, below},
};
use crate::provider::{ApiKey, ErrorCode, ErrorKind, ProviderSetupError, ReportedError};

pub(super) struct Anthropic {
    /// How the key is sent.
    pub auth: Auth,
    /// `anthropic-version`, unless it is the one that goes with `auth`.
    pub version: Option<String>,
}

impl Wire for Anthropic {
    fn url(&self, base: &Url, _model: &str) -> Url {
        below(base, ["v1", "messages"])
    }

    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ProviderSetupError> {
        let mut headers = HeaderMap::new();
        let version = self.version.as_deref().unwrap_or(self.auth.version());
        let version = HeaderValue::try_from(version)
            .map_err(|_| ProviderSetupError::UnusableVersion { version: version.to_owned() })?;
        headers.insert("anthropic-version", version);
        let Some(key) = key else { return Ok(headers) };
        let protocol = LlmProtocol::Anthropic.provider_name();
        match self.auth {
            Auth::Bearer => headers.insert(AUTHORIZATION, key.header("Bearer ", protocol)?),
            Auth::XApiKey => headers.insert("x-api-key", key.header("", protocol)?),
        };
        Ok(headers)
    }

    fn body(&self, request: &Request<'_>) -> Value {
        let messages: Vec<_> = request
            .messages
            .iter()
            .map(|message| json!({"role": role(message.role), "content": message.text}))
            .collect();
        let mut body = json!({
            "model": request.model,
            "max_tokens": request.max_tokens,
            "messages": messages,
            "stream": true,
        });
        if !request.system.is_empty() {
            body["system"] = json!(request.system);
        }
        if let Some(temperature) = request.temperature {
            body["temperature"] = json!(temperature);
        }
        body
    }

    fn optional(&self) -> &'static [Parameter] {
        &[Parameter::Temperature]
    }

    fn parse_error(&self, body: &[u8]) -> ReportedError {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        parse_error(&body["error"])
    }

    fn events(&self, whole: Value) -> Option<Vec<String>> {
        let blocks = whole["content"].as_array()?.iter();
        let blocks =
            blocks.map(|block| json!({"type": "content_block_start", "content_block": block}));
        let begin = json!({"type": "message_start", "message": {"usage": whole["usage"]}});
        let reason =
            json!({"type": "message_delta", "delta": {"stop_reason": whole["stop_reason"]}});
        let events =
            [begin].into_iter().chain(blocks).chain([reason, json!({"type": "message_stop"})]);
        Some(events.map(|event| event.to_string()).collect())
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(AnthropicDecoder::default())
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Player => "user",
        Role::Character => "assistant",
    }
}

#[derive(Default)]
struct AnthropicDecoder {
    tokens: Tokens,
    stop_reason: Option<StopReason>,
}

/// Events are read field by field: what is not there, or not what it should be, is absent, and what
/// is added later is passed over.
impl Decoder for AnthropicDecoder {
    fn step(&mut self, data: &str) -> Result<Step, ReportedError> {
        match data.trim() {
            // Keeps the connection open.
            "" => return Ok(Step::Nothing),
            // Gateways that speak OpenAI's protocol too end with its end.
            "[DONE]" => return Ok(Step::Done(self.ended_by(StopReason::Other))),
            _ => {}
        }
        let event: Value = serde_json::from_str(data).map_err(|_| ReportedError::PROTOCOL)?;
        Ok(match event["type"].as_str() {
            Some("message_start") => {
                self.tokens.update(&event["message"]["usage"]);
                Step::Nothing
            }
            Some("content_block_start") => block_start(&event["content_block"]),
            Some("content_block_delta") => block_delta(&event["delta"]),
            Some("message_delta") => {
                self.tokens.update(&event["usage"]);
                // A later one without a reason takes none back.
                match event["delta"]["stop_reason"].as_str() {
                    Some(reason) => {
                        self.stop_reason = Some(stop_reason(reason));
                        Step::Stop
                    }
                    None => Step::Nothing,
                }
            }
            Some("message_stop") => Step::Done(self.ended_by(StopReason::Other)),
            Some("error") => return Err(parse_error(&event["error"])),
            None if event["error"].is_object() => return Err(parse_error(&event["error"])),
            // `ping`, block ends, and whatever is added later.
            _ => Step::Nothing,
        })
    }

    fn completion(&self) -> Option<Completion> {
        self.stop_reason.map(|reason| self.ended_by(reason))
    }

    fn usage(&self) -> Usage {
        self.tokens.usage()
    }
}

impl AnthropicDecoder {
    /// The reason that was told wins.
    fn ended_by(&self, reason: StopReason) -> Completion {
        Completion { stop_reason: self.stop_reason.unwrap_or(reason), usage: self.usage() }
    }
}

/// Empty from Anthropic itself; some gateways put the first words here.
fn block_start(block: &Value) -> Step {
    match block["type"].as_str() {
        Some("text") => text(&block["text"]),
        Some("thinking" | "redacted_thinking") => Step::Thought,
        _ => Step::Nothing,
    }
}

/// Citations and tool input are nothing that the character says.
fn block_delta(delta: &Value) -> Step {
    match delta["type"].as_str() {
        Some("text_delta") => text(&delta["text"]),
        Some("thinking_delta" | "signature_delta") => Step::Thought,
        _ => Step::Nothing,
    }
}

fn text(text: &Value) -> Step {
    match text.as_str() {
        Some(text) if !text.is_empty() => Step::Text(text.to_owned()),
        _ => Step::Nothing,
    }
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "end_turn" => StopReason::EndTurn,
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "tool_use" => StopReason::ToolUse,
        "refusal" => StopReason::Refusal,
        _ => StopReason::Other,
    }
}

/// Usage as this protocol counts it: `input_tokens` leaves the cached ones out.
#[derive(Default)]
struct Tokens {
    input: Option<u64>,
    output: Option<u64>,
    cache_creation: Option<u64>,
    cache_read: Option<u64>,
    thinking: Option<u64>,
}

impl Tokens {
    /// Later figures are running totals and replace earlier ones.
    fn update(&mut self, told: &Value) {
        let replace = |known: &mut Option<u64>, told| *known = count::tokens(told).or(*known);
        replace(&mut self.input, &told["input_tokens"]);
        replace(&mut self.output, &told["output_tokens"]);
        replace(&mut self.cache_creation, &told["cache_creation_input_tokens"]);
        replace(&mut self.cache_read, &told["cache_read_input_tokens"]);
        replace(&mut self.thinking, &told["output_tokens_details"]["thinking_tokens"]);
    }

    fn usage(&self) -> Usage {
        let cached = self.cache_creation.unwrap_or(0) + self.cache_read.unwrap_or(0);
        Usage {
            input: self.input.map(|input| input + cached),
            output: self.output,
            cache_read: self.cache_read,
            cache_write: self.cache_creation,
            reasoning: self.thinking,
        }
    }
}

/// The message beside the type is not kept on purpose: it may quote the prompt.
fn parse_error(error: &Value) -> ReportedError {
    let Some(code) = error["type"].as_str() else { return ReportedError::UNKNOWN };
    // An account without credit has no type of its own.
    let says = |words| error["message"].as_str().is_some_and(|message| message.contains(words));
    let kind = match code {
        "invalid_request_error" if says("credit balance is too low") => Some(ErrorKind::Quota),
        "invalid_request_error" | "not_found_error" | "request_too_large" => {
            Some(ErrorKind::InvalidRequest)
        }
        "authentication_error" | "permission_error" => Some(ErrorKind::Authentication),
        "billing_error" => Some(ErrorKind::Quota),
        "rate_limit_error" => Some(ErrorKind::RateLimited),
        "overloaded_error" => Some(ErrorKind::Overloaded),
        "api_error" | "conflict_error" | "timeout_error" => Some(ErrorKind::Server),
        _ => None,
    };
    ReportedError { kind, code: ErrorCode::new(code) }
}

#[cfg(test)]
mod tests;
