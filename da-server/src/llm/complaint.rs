//! What a provider's refusal names: a parameter that it does not take, or a conversation that is
//! too long. The words are looked through and not kept: they may quote the prompt or the key.

use serde_json::Value;

use super::parameter::Parameter;

/// A refusal after which the request can be made again in another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    /// The conversation does not fit into the model.
    TooLong,
    /// This parameter is not taken.
    Parameter(Parameter),
}

/// How providers and servers say that a conversation is too long, in lower case: error codes, and
/// what is the same in all their sentences.
const TOO_LONG: [&str; 20] = [
    "context_length_exceeded",
    "exceed_context_size_error",
    "model_max_prompt_tokens_exceeded",
    "request_too_large",
    "maximum context length",
    "exceeds the available context size",
    "exceed context limit",
    "exceeds the context window",
    "exceeds the context length",
    "exceeds the maximum number of tokens",
    "exceeds maximum context length",
    "prompt is too long",
    "input is too long",
    "context length exceeded",
    "max_new_tokens` must be <=",
    "`inputs` must have less than",
    "exceeded model token limit",
    "loaded with context length of only",
    "prompt too long",
    "prompt exceeds max length",
];

/// What they say is too long, where the sentence is one that nobody knows yet; and how they say so. A
/// sentence with one of both is about it, unless it is about the limit of the answer.
const LENGTHS: [&str; 8] = [
    "context length",
    "context window",
    "context size",
    "context limit",
    "prompt length",
    "input length",
    "tokens in the prompt",
    "input tokens",
];
const EXCEEDED: [&str; 9] = [
    "exceed",
    "too long",
    "too large",
    "too many",
    "longer than",
    "larger than",
    "greater than",
    "maximum",
    "should be [",
];
const OF_THE_ANSWER: [&str; 4] =
    ["max_tokens", "max_completion_tokens", "max_output_tokens", "maxoutputtokens"];

/// How they say that a parameter itself, rather than its value, is the trouble.
const NOT_TAKEN: [&str; 17] = [
    "unsupported",
    "not support",
    "n't support",
    "deprecated",
    "unrecognized",
    "unknown",
    "unexpected",
    "not permitted",
    "not allowed",
    "forbidden",
    "extra inputs",
    "extra fields",
    "only the default",
    "no longer",
    "not accepted",
    "not available",
    "not recognized",
];

/// Members of an error's JSON in which it is described. What else there is may be an echo of the
/// request, and with it words of a player.
const DESCRIPTIONS: [&str; 16] = [
    "error",
    "errors",
    "message",
    "msg",
    "code",
    "type",
    "status",
    "reason",
    "detail",
    "details",
    "description",
    "title",
    "metadata",
    "raw",
    "fieldViolations",
    "object",
];

/// Members that hold nothing but the name of what was refused.
const NAMES: [&str; 3] = ["param", "loc", "field"];

/// What the `body` of an answer with this status complains of. `sent` are those parameters of the request
/// that it can do without.
pub(super) fn complaint(status: u16, body: &[u8], sent: &[Parameter]) -> Option<Complaint> {
    if !matches!(status, 400 | 413 | 422 | 500) {
        return None;
    }
    let said = Said::of(body);
    if status == 413 || said.is_too_long() {
        return Some(Complaint::TooLong);
    }
    // Some older servers answer 500 to what is too long, but to a parameter nobody does.
    if status == 500 {
        return None;
    }
    sent.iter().copied().find(|parameter| said.refuses(*parameter)).map(Complaint::Parameter)
}

/// What an error's body says, in lower case.
#[derive(Default)]
struct Said {
    names: Vec<String>,
    words: String,
}

impl Said {
    fn of(body: &[u8]) -> Self {
        let mut said = Self::default();
        match serde_json::from_slice(body) {
            Ok(value) => said.hear("error", &value),
            Err(_) => said.words = String::from_utf8_lossy(body).to_lowercase(),
        }
        said
    }

    fn hear(&mut self, member: &str, value: &Value) {
        match value {
            Value::String(text) if NAMES.contains(&member) => self.names.push(text.to_lowercase()),
            Value::String(text) => {
                self.words.push_str(&text.to_lowercase());
                self.words.push('\n');
            }
            Value::Array(items) => items.iter().for_each(|item| self.hear(member, item)),
            Value::Object(members) => {
                let heard = |name: &str| DESCRIPTIONS.contains(&name) || NAMES.contains(&name);
                members.iter().filter(|(name, _)| heard(name)).for_each(|(name, value)| {
                    self.hear(name, value);
                });
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Whether the conversation is.
    fn is_too_long(&self) -> bool {
        let sentences = || self.words.lines().flat_map(|line| line.split(". "));
        TOO_LONG.iter().any(|words| self.words.contains(words))
            || sentences().any(|sentence| {
                let has = |words: &[&str]| words.iter().any(|words| sentence.contains(words));
                has(&LENGTHS) && has(&EXCEEDED) && !has(&OF_THE_ANSWER)
            })
    }

    /// Whether `parameter` is what it is about. A limit may also be too high, which leaving it out
    /// would not mend but hide; and a sentence may name stream_options for another reason.
    fn refuses(&self, parameter: Parameter) -> bool {
        let name = parameter.as_str();
        // A path to it is a name as well: `generation_config.temperature`.
        let by_name = self.names.iter().any(|named| named.rsplit('.').next() == Some(name));
        let not_taken = || NOT_TAKEN.iter().any(|words| self.words.contains(words));
        match parameter {
            Parameter::Temperature => by_name || self.mentions(name),
            Parameter::StreamOptions => by_name || (self.mentions(name) && not_taken()),
            Parameter::MaxTokens | Parameter::MaxCompletionTokens => {
                (by_name || self.mentions(name)) && not_taken()
            }
        }
    }

    /// Whether the words hold `name` as a word of its own.
    fn mentions(&self, name: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        self.words.match_indices(name).any(|(at, _)| {
            let before = self.words[..at].chars().next_back();
            let after = self.words[at + name.len()..].chars().next();
            !before.is_some_and(is_part) && !after.is_some_and(is_part)
        })
    }
}

#[cfg(test)]
mod tests;
