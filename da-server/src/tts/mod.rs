//! Speech: a line of text goes out, audio comes back as it is made.
//!
//! `wire` is what a protocol implements, `protocol` lists them; `backend` sends one request and looks at what
//! really came (`container`). How to add a provider: CONTRIBUTING.md.

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
mod joined;
mod metrics;
mod openai;
mod playback;
mod protocol;
mod remembered;
mod silence;
mod speech;
mod voices;
mod wav;
mod wire;

pub use client::{AudioStream, TtsClient};
pub use config::TtsConfig;
pub use format::{AudioFormat, Codec};
pub use joined::JoinedAudio;
pub use metrics::TtsMetrics;
pub use playback::Playback;
pub use protocol::TtsProtocol;
pub use speech::Speech;
pub use voices::UnknownVoice;

/// How a call to a speech provider fails.
pub type TtsError = crate::provider::ProviderError;
