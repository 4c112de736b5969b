//! Language models: a prompt goes out, text comes back piece by piece.
//!
//! # To add a provider
//! 1. Write `llm/<name>.rs`: implement [`wire::Wire`] (URL, headers, body, error bodies) and
//!    [`wire::Decoder`] (one server-sent event → text, end, or error), with recorded bytes as its
//!    unit tests. No I/O, no timing, no retry: those are done for every provider in
//!    [`provider`](crate::provider) and `llm/backend.rs`.
//! 2. Add a variant to [`LlmProtocol`] in `llm/protocol.rs`; the compiler then asks for its name
//!    in the configuration, base URL, model, key variables and `Wire`.
//! 3. Teach `xtask/standin` the protocol and add it to `PROVIDERS` in `tests/providers/bench.rs`:
//!    every black-box test then runs against it too.
//!
//! A server that speaks OpenAI's protocol needs no code: `protocol = "openai"` and its `base_url`.

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
