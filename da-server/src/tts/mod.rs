//! Speech: a line of text goes out, audio comes back as it is made.
//!
//! # To add a provider
//! 1. Write `tts/<name>.rs`: implement [`wire::Wire`] (URL, headers, body, error bodies), with
//!    unit tests. No I/O, no timing, no retry: those are done for every provider in
//!    [`provider`](crate::provider) and `tts/client.rs`.
//! 2. Add a variant to [`TtsProvider`] in `tts/config.rs`; the compiler then asks for its label
//!    value, base URL, model, key variable and `Wire`.
//! 3. Teach `xtask/standin` the protocol and have `tests/providers/tts.rs` ask it.

mod client;
mod config;
mod elevenlabs;
mod format;
mod meter;
mod metrics;
mod playback;
mod silence;
mod speech;
mod wire;

pub use client::{AudioStream, TtsClient};
pub use config::{TtsConfig, TtsProvider};
pub use format::{AudioFormat, Codec};
pub use metrics::TtsMetrics;
pub use playback::Playback;
pub use speech::Speech;

/// How a call to a speech provider fails.
pub type TtsError = crate::provider::ProviderError;
