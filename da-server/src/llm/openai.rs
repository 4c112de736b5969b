//! OpenAI chat.completions: `POST {base}/chat/completions`, answered with server-sent events that
//! have only data, the last of which is `[DONE]`.

use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Completion, LlmProvider, Prompt, Role, StopReason, Usage,
    wire::{Decoder, Step, Wire},
};
use crate::provider::{ApiKey, ErrorCode, ErrorKind, Fault, ProviderSetupError};

pub(super) struct OpenAi {
    /// OpenAI's own service, which names the token limit otherwise than its imitators.
    pub hosted: bool,
}

impl Wire for OpenAi {
    fn path(&self) -> &'static str {
        "/chat/completions"
    }

    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ProviderSetupError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert(AUTHORIZATION, key.header("Bearer ", LlmProvider::OpenAi.as_str())?);
        }
        Ok(headers)
    }

    fn body(&self, model: &str, prompt: &Prompt) -> Value {
        let system = (!prompt.system.is_empty())
            .then(|| json!({"role": "system", "content": prompt.system}));
        let spoken = prompt
            .messages
            .iter()
            .map(|message| json!({"role": role(message.role), "content": message.text}));
        let messages: Vec<_> = system.into_iter().chain(spoken).collect();
        // OpenAI's newer models refuse `max_tokens`; several compatible servers know only that.
        let limit = if self.hosted { "max_completion_tokens" } else { "max_tokens" };
        json!({
            "model": model,
            limit: prompt.max_tokens,
            "temperature": prompt.temperature,
            "messages": messages,
            "stream": true,
            "stream_options": {"include_usage": true},
        })
    }

    fn fault(&self, body: &[u8]) -> Fault {
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(body) => body.error.fault(),
            Err(_) => Fault::UNKNOWN,
        }
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(OpenAiDecoder::default())
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Player => "user",
        Role::Character => "assistant",
    }
}

#[derive(Default)]
struct OpenAiDecoder {
    usage: Usage,
    stop_reason: Option<StopReason>,
}

impl Decoder for OpenAiDecoder {
    fn step(&mut self, data: &str) -> Result<Step, Fault> {
        if data == "[DONE]" {
            return Ok(Step::Done(Completion {
                stop_reason: self.stop_reason.unwrap_or(StopReason::Other),
                usage: self.usage,
            }));
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|_| Fault::PROTOCOL)?;
        if let Some(error) = chunk.error {
            return Err(error.fault());
        }
        if let Some(tokens) = chunk.usage {
            self.usage = tokens.usage();
        }
        // One choice is asked for, so one is all there is.
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(Step::Nothing);
        };
        if let Some(reason) = choice.finish_reason {
            self.stop_reason = Some(stop_reason(&reason));
        }
        match choice.delta.and_then(|delta| delta.content) {
            Some(text) if !text.is_empty() => Ok(Step::Text(text)),
            _ => Ok(Step::Nothing),
        }
    }

    fn usage(&self) -> Usage {
        self.usage
    }
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "stop" => StopReason::EndTurn,
        "length" => StopReason::MaxTokens,
        "tool_calls" | "function_call" => StopReason::ToolUse,
        "content_filter" => StopReason::Refusal,
        _ => StopReason::Other,
    }
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Tokens>,
    error: Option<ApiError>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

/// Usage as this protocol counts it: the totals hold the details.
#[derive(Deserialize)]
struct Tokens {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Tokens {
    fn usage(self) -> Usage {
        Usage {
            input: self.prompt_tokens,
            output: self.completion_tokens,
            cache_read: self.prompt_tokens_details.and_then(|d| d.cached_tokens),
            cache_write: None,
            reasoning: self.completion_tokens_details.and_then(|d| d.reasoning_tokens),
        }
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ApiError,
}

/// The message beside these is left unread on purpose: it may quote the key. `code` is a string,
/// a number or null, depending on the server.
#[derive(Deserialize)]
struct ApiError {
    #[serde(rename = "type", default)]
    class: Value,
    #[serde(default)]
    code: Value,
}

impl ApiError {
    fn fault(&self) -> Fault {
        let class = self.class.as_str();
        let code = self.code.as_str().or(class);
        let kind = match (code, class) {
            // Comes as HTTP 429, but waiting does not help.
            (Some("insufficient_quota"), _) | (_, Some("insufficient_quota")) => {
                Some(ErrorKind::Quota)
            }
            (Some("invalid_api_key"), _) => Some(ErrorKind::Authentication),
            (Some("rate_limit_exceeded"), _) => Some(ErrorKind::RateLimited),
            (_, Some("invalid_request_error")) => Some(ErrorKind::InvalidRequest),
            (_, Some("server_error")) => Some(ErrorKind::Server),
            _ => None,
        };
        Fault { kind, code: code.and_then(ErrorCode::new) }
    }
}

#[cfg(test)]
mod tests;
