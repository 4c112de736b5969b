//! Language models: a prompt goes out, text comes back piece by piece.
//!
//! `wire` is what a protocol implements, `protocol` lists them; `backend` sends one request, `answer` reads its
//! stream, `client` goes from one provider to the next. How to add a provider: CONTRIBUTING.md.

mod answer;
mod anthropic;
mod backend;
mod client;
mod complaint;
mod config;
mod count;
mod event;
mod fallback;
mod google;
mod history;
mod longest;
mod metrics;
mod model;
mod openai;
mod parameter;
mod price;
mod prompt;
mod protocol;
mod sent;
mod thought;
mod tokens;
mod whole;
mod wire;

pub use client::{LlmClient, LlmStream};
pub use config::LlmConfig;
pub use event::{Completion, LlmEvent, StopReason, Usage};
pub use metrics::LlmMetrics;
pub use price::{BadPrice, PriceConfig, PriceError, Prices};
pub use prompt::{Message, Prompt, Role};
pub use protocol::{Auth, LlmProtocol};
pub use tokens::TokenType;

/// How a call to a language model fails.
pub type LlmError = crate::provider::ProviderError;
