//! The parameters of a request that a server may not know, and what was learned of them.

use std::sync::atomic::{AtomicU8, Ordering};

/// A parameter that a protocol can do without. Closed, because it becomes a label value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// Newer models choose their words as they were trained to, and refuse to be told.
    Temperature,
    /// The limit of an answer as most servers call it.
    MaxTokens,
    /// The same limit as OpenAI calls it by now: its newer models refuse the older name.
    MaxCompletionTokens,
    /// Asks for the count of tokens; strict servers don't know it.
    StreamOptions,
}

impl Parameter {
    pub(crate) const ALL: [Self; 4] =
        [Self::Temperature, Self::MaxTokens, Self::MaxCompletionTokens, Self::StreamOptions];

    /// Its name on the wire, and the label value.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Temperature => "temperature",
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
            Self::StreamOptions => "stream_options",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Parameters that are to be left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refused(u8);

impl Refused {
    pub(crate) const fn has(self, parameter: Parameter) -> bool {
        self.0 & parameter.bit() != 0
    }

    #[cfg(test)]
    pub(crate) fn of(parameters: &[Parameter]) -> Self {
        Self(parameters.iter().fold(0, |bits, parameter| bits | parameter.bit()))
    }
}

/// What one provider and model has refused so far, for as long as the process runs.
#[derive(Debug, Default)]
pub(super) struct Learned(AtomicU8);

impl Learned {
    pub(super) fn so_far(&self) -> Refused {
        Refused(self.0.load(Ordering::Relaxed))
    }

    /// Remembers that `parameter` is refused; whether that is news.
    pub(super) fn refuses(&self, parameter: Parameter) -> bool {
        self.0.fetch_or(parameter.bit(), Ordering::Relaxed) & parameter.bit() == 0
    }
}
