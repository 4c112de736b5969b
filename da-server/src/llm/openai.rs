//! OpenAI chat.completions: `POST {base}/chat/completions`, answered with server-sent events that
//! have only data, the last of which is `[DONE]`.

use reqwest::{
    Url,
    header::{AUTHORIZATION, HeaderMap},
};
use serde_json::{Value, json};

use super::{
    Completion, LlmProtocol, Role, StopReason, Usage, count,
    parameter::Parameter,
    wire::{Decoder, Request, Step, Wire, below},
};
use crate::provider::{ApiKey, ProviderSetupError, ReportedError, openai as openai_protocol};

pub(super) struct OpenAi {
    /// OpenAI's own models, which name the token limit otherwise than their imitators.
    pub is_original: bool,
}

impl Wire for OpenAi {
    fn url(&self, base: &Url, _model: &str) -> Url {
        below(base, ["chat", "completions"])
    }

    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ProviderSetupError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers
                .insert(AUTHORIZATION, key.header("Bearer ", LlmProtocol::OpenAi.provider_name())?);
        }
        Ok(headers)
    }

    fn body(&self, request: &Request<'_>) -> Value {
        let system = (!request.system.is_empty())
            .then(|| json!({"role": "system", "content": request.system}));
        let spoken = request
            .messages
            .iter()
            .map(|message| json!({"role": role(message.role), "content": message.text}));
        let messages: Vec<_> = system.into_iter().chain(spoken).collect();
        let mut body = json!({"model": request.model, "messages": messages, "stream": true});
        // OpenAI's newer models refuse `max_tokens`; several compatible servers know only that.
        let mut names = [Parameter::MaxTokens, Parameter::MaxCompletionTokens];
        if self.is_original {
            names.reverse();
        }
        if let Some(limit) = names.into_iter().find(|name| !request.refused.has(*name)) {
            body[limit.as_str()] = json!(request.max_tokens);
        }
        if !request.refused.has(Parameter::StreamOptions) {
            body[Parameter::StreamOptions.as_str()] = json!({"include_usage": true});
        }
        if let Some(temperature) = request.temperature {
            body["temperature"] = json!(temperature);
        }
        body
    }

    fn optional(&self) -> &'static [Parameter] {
        &Parameter::ALL
    }

    fn parse_error(&self, body: &[u8]) -> ReportedError {
        openai_protocol::in_body(body)
    }

    fn events(&self, mut whole: Value) -> Option<Vec<String>> {
        let choice = whole.pointer_mut("/choices/0")?.as_object_mut()?;
        let message = choice.remove("message").filter(Value::is_object)?;
        choice.insert("delta".to_owned(), message);
        Some(vec![whole.to_string(), "[DONE]".to_owned()])
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
    /// The model has said that it declines, where it does not count as said.
    declined: bool,
}

/// Chunks are read field by field, since every server leaves out, adds and nulls others: what is not
/// there, or not what it should be, is absent.
impl Decoder for OpenAiDecoder {
    fn step(&mut self, data: &str) -> Result<Step, ReportedError> {
        match data.trim() {
            // Keeps the connection open.
            "" => return Ok(Step::Nothing),
            "[DONE]" => return Ok(Step::Done(self.ended_by(StopReason::Other))),
            _ => {}
        }
        let chunk: Value = serde_json::from_str(data).map_err(|_| ReportedError::PROTOCOL)?;
        if let Some(reported) = openai_protocol::in_chunk(&chunk) {
            return Err(reported);
        }
        // One choice is asked for, so one is all there is.
        let choice = &chunk["choices"][0];
        // Moonshot and Groq have places of their own for it.
        for told in [&choice["usage"], &chunk["x_groq"]["usage"], &chunk["usage"]] {
            self.update_usage(told);
        }
        // Some servers write "" for null, and at least one "null".
        let reason = choice["finish_reason"].as_str();
        let reason = reason.filter(|reason| !matches!(*reason, "" | "null")).map(stop_reason);
        self.stop_reason = reason.or(self.stop_reason);
        let delta = &choice["delta"];
        // Words of its own for that it declines, which ends like any answer.
        self.declined |= delta["refusal"].as_str().is_some_and(|words| !words.is_empty());
        let text = text(&delta["content"]);
        Ok(if !text.is_empty() {
            Step::Text(text)
        } else if is_thought(delta) {
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
        self.usage
    }
}

impl OpenAiDecoder {
    /// The reason that was told wins, and a refusal over that.
    fn ended_by(&self, reason: StopReason) -> Completion {
        let told = self.stop_reason.unwrap_or(reason);
        let stop_reason = if self.declined { StopReason::Refusal } else { told };
        Completion { stop_reason, usage: self.usage }
    }

    /// Usage as this protocol counts it: the totals hold the details. It may come in parts.
    fn update_usage(&mut self, told: &Value) {
        let (known, count) = (self.usage, count::tokens);
        self.usage = Usage {
            input: count(&told["prompt_tokens"]).or(known.input),
            output: count(&told["completion_tokens"]).or(known.output),
            // OpenAI's place for it, Moonshot's and DeepSeek's.
            cache_read: count(&told["prompt_tokens_details"]["cached_tokens"])
                .or_else(|| count(&told["cached_tokens"]))
                .or_else(|| count(&told["prompt_cache_hit_tokens"]))
                .or(known.cache_read),
            cache_write: None,
            reasoning: count(&told["completion_tokens_details"]["reasoning_tokens"])
                .or(known.reasoning),
        };
    }
}

/// The text of `content`, which is a string or a list of parts, of which only some are text.
fn text(content: &Value) -> String {
    let part = |part: &Value| match part["type"].as_str() {
        None | Some("text" | "output_text") => part["text"].as_str().map(ToOwned::to_owned),
        Some(_) => None,
    };
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(part).collect(),
        _ => String::new(),
    }
}

/// Whether the model thinks, or words a refusal: servers put that into fields of its own, or into parts
/// of `content`.
fn is_thought(delta: &Value) -> bool {
    let fields =
        ["reasoning_content", "reasoning", "thinking", "reasoning_details", "refusal", "content"];
    fields.iter().any(|field| match &delta[*field] {
        Value::String(text) => !text.is_empty(),
        Value::Array(parts) => !parts.is_empty(),
        _ => false,
    })
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

#[cfg(test)]
mod tests;
