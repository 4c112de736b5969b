//! The kinds of tokens that are told apart.

use super::Usage;

/// The kinds of tokens that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// Prompt tokens, cached or not.
    Input,
    /// Answer tokens, shown or not.
    Output,
    /// The part of input read from the provider's cache.
    CacheRead,
    /// The part of input written to the provider's cache.
    CacheWrite,
    /// The part of output spent on hidden reasoning.
    Reasoning,
}

impl TokenType {
    /// Every type, for pre-creating series.
    pub const ALL: [Self; 5] =
        [Self::Input, Self::Output, Self::CacheRead, Self::CacheWrite, Self::Reasoning];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::Reasoning => "reasoning",
        }
    }

    pub(super) const fn of(self, usage: &Usage) -> Option<u64> {
        match self {
            Self::Input => usage.input,
            Self::Output => usage.output,
            Self::CacheRead => usage.cache_read,
            Self::CacheWrite => usage.cache_write,
            Self::Reasoning => usage.reasoning,
        }
    }
}
