//! What a language model answers. `Debug` shows sizes, never words.

use std::fmt;

use crate::provider::call::Chunk;

/// A chunk of an answer.
#[derive(Clone, PartialEq, Eq)]
pub enum LlmEvent {
    /// More text; never empty, never cut inside a character. The first does not begin with a space.
    Text(String),
    /// All text so far was thought, as its end shows, and this is said in place of it. It may be empty.
    Instead(String),
    /// All of the text has come, and the answer is a success. What still comes are its tokens, which
    /// nobody needs to wait for.
    Complete,
    /// The answer is over. Nothing comes after it.
    Done(Completion),
}

/// How an answer ended and what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion {
    /// Why the model stopped.
    pub stop_reason: StopReason,
    /// Tokens, as far as the provider told.
    pub usage: Usage,
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// It had said everything.
    EndTurn,
    /// `max_tokens`, or the model's context window, cut it off.
    MaxTokens,
    /// A stop sequence came up.
    StopSequence,
    /// It wants a tool called.
    ToolUse,
    /// It, or a filter, declined to answer.
    Refusal,
    /// Another reason, or none given.
    Other,
}

/// Tokens of one answer. `None`: the provider did not say.
///
/// `input` and `output` are totals. `cache_read` and `cache_write` are parts of `input`,
/// `reasoning` is a part of `output`, whichever way the provider counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached or not.
    pub input: Option<u64>,
    /// Tokens of the answer, shown or not.
    pub output: Option<u64>,
    /// Prompt tokens taken from the provider's cache.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: Option<u64>,
    /// Answer tokens spent on hidden reasoning.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Tokens of the answer that came as a stream: hidden reasoning is over before its first text.
    pub(crate) fn streamed(&self) -> Option<u64> {
        self.output?.checked_sub(self.reasoning.unwrap_or(0))
    }
}

/// What an attempt hears of its answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The model thinks, or has written what is not said.
    Thought,
    /// A chunk for the caller.
    Event(LlmEvent),
}

impl Chunk for Part {
    fn is_end(&self) -> bool {
        matches!(self, Self::Event(LlmEvent::Done(_)))
    }

    fn is_progress(&self) -> bool {
        *self == Self::Thought
    }

    fn is_refusal(&self) -> bool {
        match self {
            Self::Event(LlmEvent::Done(completion)) => {
                completion.stop_reason == StopReason::Refusal
            }
            _ => false,
        }
    }

    fn output_tokens(&self) -> Option<u64> {
        match self {
            Self::Event(LlmEvent::Done(completion)) => completion.usage.streamed(),
            _ => None,
        }
    }
}

impl fmt::Debug for LlmEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Instead(text) => write!(f, "Instead({} bytes)", text.len()),
            Self::Complete => f.write_str("Complete"),
            Self::Done(completion) => f.debug_tuple("Done").field(completion).finish(),
        }
    }
}
