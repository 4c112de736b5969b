//! Anthropic Messages: `POST /v1/messages`, answered with server-sent events whose data carry
//! their type.

use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Completion, LlmProvider, Prompt, Role, StopReason, Usage,
    wire::{Decoder, Step, Wire},
};
use crate::provider::{ApiKey, ErrorCode, ErrorKind, Fault, ProviderSetupError};

pub(super) struct Anthropic;

impl Wire for Anthropic {
    fn path(&self) -> &'static str {
        "/v1/messages"
    }

    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ProviderSetupError> {
        let mut headers = HeaderMap::new();
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        if let Some(key) = key {
            headers.insert("x-api-key", key.header("", LlmProvider::Anthropic.as_str())?);
        }
        Ok(headers)
    }

    fn body(&self, model: &str, prompt: &Prompt) -> Value {
        let messages: Vec<_> = prompt
            .messages
            .iter()
            .map(|message| json!({"role": role(message.role), "content": message.text}))
            .collect();
        let mut body = json!({
            "model": model,
            "max_tokens": prompt.max_tokens,
            "temperature": prompt.temperature,
            "messages": messages,
            "stream": true,
        });
        if !prompt.system.is_empty() {
            body["system"] = json!(prompt.system);
        }
        body
    }

    fn fault(&self, body: &[u8]) -> Fault {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(body) => body.error.fault(),
            Err(_) => Fault::UNKNOWN,
        }
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

impl Decoder for AnthropicDecoder {
    fn step(&mut self, data: &str) -> Result<Step, Fault> {
        let event = serde_json::from_str(data).map_err(|_| Fault::PROTOCOL)?;
        match event {
            Event::MessageStart { message } => self.tokens.update(message.usage),
            Event::ContentBlockDelta { delta } => {
                if let Delta::TextDelta { text } = delta
                    && !text.is_empty()
                {
                    return Ok(Step::Text(text));
                }
            }
            Event::MessageDelta { delta, usage } => {
                self.tokens.update(usage);
                if let Some(reason) = delta.stop_reason {
                    self.stop_reason = Some(stop_reason(&reason));
                }
            }
            Event::MessageStop => {
                return Ok(Step::Done(Completion {
                    stop_reason: self.stop_reason.unwrap_or(StopReason::Other),
                    usage: self.usage(),
                }));
            }
            Event::Error { error } => return Err(error.fault()),
            Event::Other => {}
        }
        Ok(Step::Nothing)
    }

    fn usage(&self) -> Usage {
        self.tokens.usage()
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

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockDelta {
        delta: Delta,
    },
    MessageDelta {
        delta: Stop,
        #[serde(default)]
        usage: Tokens,
    },
    MessageStop,
    Error {
        error: ApiError,
    },
    /// `ping`, block starts and stops, and whatever is added later.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    usage: Tokens,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Delta {
    TextDelta {
        text: String,
    },
    /// Thinking, signatures, citations, tool input: nothing that the character says.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Stop {
    stop_reason: Option<String>,
}

/// Usage as this protocol counts it: `input_tokens` leaves the cached ones out.
#[derive(Default, Deserialize)]
struct Tokens {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
}

impl Tokens {
    /// Later figures are running totals and replace earlier ones.
    fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens =
            later.cache_read_input_tokens.or(self.cache_read_input_tokens);
    }

    fn usage(&self) -> Usage {
        let cached = [self.cache_creation_input_tokens, self.cache_read_input_tokens];
        let total = |input| cached.into_iter().flatten().fold(input, u64::saturating_add);
        Usage {
            input: self.input_tokens.map(total),
            output: self.output_tokens,
            cache_read: self.cache_read_input_tokens,
            cache_write: self.cache_creation_input_tokens,
            reasoning: None,
        }
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ApiError,
}

/// The message beside the type is left unread on purpose.
#[derive(Deserialize)]
struct ApiError {
    #[serde(rename = "type")]
    code: String,
}

impl ApiError {
    fn fault(&self) -> Fault {
        let kind = match self.code.as_str() {
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
        Fault { kind, code: ErrorCode::new(&self.code) }
    }
}

#[cfg(test)]
mod tests;
