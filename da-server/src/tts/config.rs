//! Who speaks, where, and with which limits.

use std::path::PathBuf;

use serde::Deserialize;

use super::{AudioFormat, elevenlabs::ElevenLabs, wire::Wire};
use crate::provider::gate::DEFAULT_MAX_CONCURRENT;
use crate::provider::{ApiKey, BreakerConfig, ProviderSetupError, RetryPolicy, Timeouts};

/// The wire protocols, named after who defined them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TtsProvider {
    /// ElevenLabs text to speech, streamed over HTTP.
    #[default]
    ElevenLabs,
}

impl TtsProvider {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ElevenLabs => "elevenlabs",
        }
    }

    /// The provider's own service.
    #[must_use]
    pub const fn default_base_url(self) -> &'static str {
        match self {
            Self::ElevenLabs => "https://api.elevenlabs.io",
        }
    }

    /// The model that begins to speak soonest.
    #[must_use]
    pub const fn default_model(self) -> &'static str {
        match self {
            Self::ElevenLabs => "eleven_flash_v2_5",
        }
    }

    /// The environment variable that holds the key.
    #[must_use]
    pub const fn key_variable(self) -> &'static str {
        match self {
            Self::ElevenLabs => "ELEVENLABS_API_KEY",
        }
    }

    pub(super) fn wire(self) -> Box<dyn Wire> {
        match self {
            Self::ElevenLabs => Box::new(ElevenLabs),
        }
    }
}

/// The configuration of the speech provider.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TtsConfig {
    /// `"elevenlabs"`.
    pub provider: TtsProvider,
    /// `http://` or `https://`; the default is the provider's own service.
    pub base_url: Option<String>,
    /// The model's name as the provider knows it.
    pub model: Option<String>,
    /// The provider's name of the audio format: see [`AudioFormat`].
    pub output_format: String,
    /// A key given by the embedding program. Never read from the configuration file: there it is
    /// the provider's environment variable, or `api_key_file`.
    #[serde(skip)]
    pub api_key: Option<ApiKey>,
    /// File with the key; the environment variable wins over it.
    pub api_key_file: Option<PathBuf>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Further attempts.
    pub retry: RetryPolicy,
    /// Calls in flight at once; further ones wait, in their order. A call is in flight from its
    /// request to the end of its answer.
    pub max_concurrent: usize,
    /// When the provider is left alone.
    pub breaker: BreakerConfig,
}

impl Default for TtsConfig {
    fn default() -> Self {
        Self {
            provider: TtsProvider::default(),
            base_url: None,
            model: None,
            output_format: "mp3_44100_128".to_owned(),
            api_key: None,
            api_key_file: None,
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            max_concurrent: DEFAULT_MAX_CONCURRENT,
            breaker: BreakerConfig::default(),
        }
    }
}

impl TtsConfig {
    /// The base URL in force, without a slash at its end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        let url = self.base_url.as_deref();
        url.unwrap_or(self.provider.default_base_url()).trim_end_matches('/')
    }

    /// The model in force.
    #[must_use]
    pub fn model(&self) -> &str {
        let model = self.model.as_deref();
        model.unwrap_or(self.provider.default_model())
    }

    /// The audio format in force.
    ///
    /// # Errors
    /// [`ProviderSetupError::OutputFormat`] if its name is unknown.
    pub fn format(&self) -> Result<AudioFormat, ProviderSetupError> {
        self.output_format.parse()
    }

    /// The key in force. Only servers of one's own may do without.
    pub(super) fn key(&self) -> Result<Option<ApiKey>, ProviderSetupError> {
        let hosted = self.base_url() == self.provider.default_base_url();
        ApiKey::in_force(
            self.api_key.as_ref(),
            self.provider.key_variable(),
            self.api_key_file.as_deref(),
            hosted.then_some(self.provider.as_str()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::seconds::tests::read;

    #[test]
    fn reads_its_section() {
        let config: TtsConfig = read(
            r#"
            base_url = "http://127.0.0.1:9000/"
            output_format = "pcm_16000"
            timeouts.first_content_seconds = 3
            "#,
        )
        .unwrap();
        assert_eq!(config.base_url(), "http://127.0.0.1:9000");
        assert_eq!(config.format().unwrap().sample_rate_hz, 16_000);
        assert_eq!(config.timeouts.first_content.as_secs(), 3);
        assert_eq!(config.model(), "eleven_flash_v2_5");
    }

    #[test]
    fn default_format_is_known() {
        assert!(TtsConfig::default().format().is_ok());
    }
}
