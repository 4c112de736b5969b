//! Who speaks, where, and with which limits.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::{
    AudioFormat, elevenlabs::ElevenLabs, openai::OpenAi, protocol::TtsProtocol, wire::Wire,
};
use crate::provider::admission::DEFAULT_MAX_CONCURRENT;
use crate::provider::openai::is_original;
use crate::provider::{
    ApiKey, BreakerConfig, ProviderName, ProviderSetupError, RetryPolicy, Timeouts,
};

/// The configuration of a speech provider.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TtsConfig {
    /// `"elevenlabs"` or `"openai"`.
    pub protocol: TtsProtocol,
    /// What the provider is called: `Config::load` takes that from the endpoints.
    #[serde(deserialize_with = "ProviderName::refuse")]
    pub provider: Option<ProviderName>,
    /// `http://` or `https://`; the default is the provider's own service. For OpenAI-compatible
    /// servers everything before `/audio/speech`, as in `http://localhost:8880/v1`.
    pub base_url: Option<String>,
    /// The model's name as the provider knows it.
    pub model: Option<String>,
    /// The voice, as the provider knows it, of characters whom `voices` does not name. Without it
    /// that of the scene, which is one of ElevenLabs.
    pub voice: Option<String>,
    /// Character id → voice, as the provider knows it.
    pub voices: BTreeMap<String, String>,
    /// The audio format that is asked for: see [`AudioFormat`].
    pub output_format: Option<String>,
    /// A key given by the embedding program. Never read from the configuration file: there it is
    /// the provider's environment variable, or `api_key_file`.
    #[serde(skip)]
    pub api_key: Option<ApiKey>,
    /// File with the key; it wins over the environment variable.
    pub api_key_file: Option<PathBuf>,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Further attempts.
    pub retry: RetryPolicy,
    /// Calls in flight at once; further ones wait, in their order. A call is in flight from its
    /// request to the end of its answer.
    pub max_concurrent: usize,
    /// The circuit breaker of the provider.
    pub breaker: BreakerConfig,
    /// Who is asked, one after the other, when this one fails before its first audio. Each has all
    /// the settings of its own, and no fallbacks.
    pub fallback: Vec<TtsConfig>,
}

impl Default for TtsConfig {
    fn default() -> Self {
        Self {
            protocol: TtsProtocol::default(),
            provider: None,
            base_url: None,
            model: None,
            voice: None,
            voices: BTreeMap::new(),
            output_format: None,
            api_key: None,
            api_key_file: None,
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            max_concurrent: DEFAULT_MAX_CONCURRENT,
            breaker: BreakerConfig::default(),
            fallback: Vec::new(),
        }
    }
}

impl TtsConfig {
    /// The base URL in force, without a slash at its end.
    #[must_use]
    pub fn base_url(&self) -> &str {
        let url = self.base_url.as_deref();
        url.unwrap_or(self.protocol.default_base_url()).trim_end_matches('/')
    }

    /// The model in force.
    #[must_use]
    pub fn model(&self) -> &str {
        let model = self.model.as_deref();
        model.unwrap_or(self.protocol.default_model())
    }

    /// What the provider is called: after its protocol, if nobody knows better.
    #[must_use]
    pub fn provider(&self) -> ProviderName {
        self.provider.clone().unwrap_or_else(|| self.protocol.provider_name().into())
    }

    /// The audio format in force.
    ///
    /// # Errors
    /// [`ProviderSetupError::OutputFormat`] if its name is unknown, and
    /// [`ProviderSetupError::UnavailableFormat`] if the provider does not give it.
    pub fn format(&self) -> Result<AudioFormat, ProviderSetupError> {
        let name = self.output_format.as_deref();
        let format = name.unwrap_or(self.protocol.default_format()).parse()?;
        self.wire().check_format(format)?;
        Ok(format)
    }

    /// Checks the audio formats of this section and its fallbacks.
    ///
    /// # Errors
    /// See [`Self::format`], with the key that is wrong.
    pub fn check_formats(&self) -> Result<(), (String, ProviderSetupError)> {
        let bad = |section: String| move |error| (format!("{section}.output_format"), error);
        self.format().map_err(bad("tts".to_owned()))?;
        for (index, fallback) in self.fallback.iter().enumerate() {
            fallback.format().map_err(bad(format!("tts.fallback.{index}")))?;
        }
        Ok(())
    }

    pub(super) fn wire(&self) -> Box<dyn Wire> {
        match self.protocol {
            TtsProtocol::ElevenLabs => Box::new(ElevenLabs),
            TtsProtocol::OpenAi => Box::new(OpenAi { is_original: is_original(self.base_url()) }),
        }
    }

    /// The key in force. Only servers of one's own may do without. A key file wins over the variable,
    /// which is that of all providers of the protocol, and OpenAI's that of language models as well.
    pub(super) fn key(&self) -> Result<Option<ApiKey>, ProviderSetupError> {
        let is_hosted = self.base_url() == self.protocol.default_base_url();
        ApiKey::in_force(
            self.api_key.as_ref(),
            self.protocol.key_variable(),
            self.api_key_file.as_deref(),
            is_hosted.then_some(self.protocol.provider_name()),
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
    fn default_formats_are_known() {
        for protocol in [TtsProtocol::ElevenLabs, TtsProtocol::OpenAi] {
            let config = TtsConfig { protocol, ..TtsConfig::default() };
            assert_eq!(config.format().unwrap().to_string(), protocol.default_format());
        }
    }

    #[test]
    fn what_openais_own_service_gives_is_known_and_what_others_give_is_not() {
        let toml = "protocol = 'openai'\noutput_format = 'pcm_16000'\n";
        assert!(read::<TtsConfig>(toml).unwrap().format().is_err());
        let local = format!("{toml}base_url = 'http://localhost:8880/v1'");
        assert!(read::<TtsConfig>(&local).unwrap().format().is_ok());
    }

    #[test]
    fn a_key_file_wins_over_a_variable_that_language_models_share() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "sk-of-the-file\n").unwrap();
        let mut config = TtsConfig {
            protocol: TtsProtocol::OpenAi,
            api_key_file: Some(file.path().to_owned()),
            ..TtsConfig::default()
        };
        assert_eq!(config.key().unwrap(), ApiKey::new("sk-of-the-file"));
        std::fs::write(file.path(), " \n").unwrap();
        assert!(config.key().is_err(), "and a blank one is no licence to take it");
        config.api_key = ApiKey::new("sk-given");
        assert_eq!(config.key().unwrap(), config.api_key);
    }
}
