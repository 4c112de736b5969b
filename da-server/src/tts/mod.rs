//! Speech: a line of text goes out, audio comes back as it is made.
//!
//! # To add a provider
//! 1. Write `tts/<name>.rs`: implement [`wire::Wire`] (formats, URL, headers, body, error bodies),
//!    with unit tests. No I/O, no timing, no retry: those are done for every provider in
//!    [`provider`](crate::provider) and `tts/backend.rs`, which also looks at what really came
//!    (`container`).
//! 2. Add a variant to [`TtsProtocol`] in `tts/protocol.rs`; the compiler then asks for its
//!    name in the configuration, base URL, model, format, key variable and `Wire`.
//! 3. Teach `xtask/standin` the protocol and add it to `VOICES` in `tests/providers/bench.rs`:
//!    every black-box test of speech then runs against it too.
//!
//! A server that speaks OpenAI's protocol needs no code: `protocol = "openai"` and its `base_url`.

mod audio_stats;
mod backend;
mod client;
mod coalesce;
mod config;
mod container;
mod elevenlabs;
mod fallback;
mod format;
mod frames;
#[cfg(test)]
mod fuzz;
mod metrics;
mod openai;
mod playback;
mod protocol;
mod silence;
mod speech;
mod voices;
mod wav;
mod wire;

pub use client::{AudioStream, TtsClient};
pub use config::TtsConfig;
pub use format::{AudioFormat, Codec};
pub use metrics::TtsMetrics;
pub use playback::Playback;
pub use protocol::TtsProtocol;
pub use speech::Speech;
pub use voices::UnknownVoice;

/// How a call to a speech provider fails.
pub type TtsError = crate::provider::ProviderError;
