//! Which language model is asked, where, and with which limits.

use std::path::PathBuf;

use serde::Deserialize;

use super::{
    anthropic::Anthropic,
    google::Google,
    openai::OpenAi,
    protocol::{Auth, LlmProtocol},
    wire::Wire,
};
use crate::provider::admission::DEFAULT_MAX_CONCURRENT;
use crate::provider::openai::is_original;
use crate::provider::{
    ApiKey, BreakerConfig, ProviderName, ProviderSetupError, RetryPolicy, Timeouts,
};

/// The configuration of the language model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LlmConfig {
    /// `"anthropic"`, `"openai"` or `"google"`.
    pub protocol: LlmProtocol,
    /// What the provider is called: `Config::load` takes that from the endpoints.
    #[serde(deserialize_with = "ProviderName::refuse")]
    pub provider: Option<ProviderName>,
    /// `http://` or `https://`; the default is the service of who defined the protocol. For
    /// OpenAI-compatible servers everything before `/chat/completions`, as in `http://localhost:11434/v1`; for Google's
    /// everything before `/models`.
    pub base_url: Option<String>,
    /// The model's name as the provider knows it; also the `model` label.
    pub model: Option<String>,
    /// A key given by the embedding program. Never read from the configuration file: there it is
    /// the provider's environment variable, or `api_key_file`.
    #[serde(skip)]
    pub api_key: Option<ApiKey>,
    /// File with the key; it wins over the environment variable.
    pub api_key_file: Option<PathBuf>,
    /// How the key is sent; Anthropic's protocol only, where it is [`Auth::Bearer`] if left out.
    pub auth: Option<Auth>,
    /// `anthropic-version`, if not the one that goes with `auth`; Anthropic's protocol only.
    pub version: Option<String>,
    /// In place of the game's, 0 to 2.
    pub temperature: Option<f64>,
    /// How many tokens the model takes, with those of the answer. Older lines of a conversation that
    /// would not fit are left out.
    pub context_tokens: Option<u32>,
    /// Whether its answers begin in the middle of thought, since the server has opened it in the prompt: they
    /// are held back until a tag closes it. Without this the first such answer tells.
    pub begins_in_thought: bool,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Further attempts.
    pub retry: RetryPolicy,
    /// Calls in flight at once; further ones wait, in their order. A call is in flight from its
    /// request to the end of its answer.
    pub max_concurrent: usize,
    /// The circuit breaker of the provider.
    pub breaker: BreakerConfig,
    /// Who is asked, one after the other, when this one fails before its first token. Each has all
    /// the settings of its own, and no fallbacks.
    pub fallback: Vec<LlmConfig>,
}

impl Default for LlmConfig {
    fn default() -> Self {
        Self {
            protocol: LlmProtocol::default(),
            provider: None,
            base_url: None,
            model: None,
            api_key: None,
            api_key_file: None,
            auth: None,
            version: None,
            temperature: None,
            context_tokens: None,
            begins_in_thought: false,
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            max_concurrent: DEFAULT_MAX_CONCURRENT,
            breaker: BreakerConfig::default(),
            fallback: Vec::new(),
        }
    }
}

impl LlmConfig {
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

    /// Whether the service of who defined the protocol is meant, which always wants a key.
    pub(super) fn is_hosted(&self) -> bool {
        self.base_url() == self.protocol.default_base_url()
    }

    pub(super) fn wire(&self) -> Result<Box<dyn Wire>, ProviderSetupError> {
        Ok(match self.protocol {
            LlmProtocol::Anthropic => Box::new(Anthropic {
                auth: self.auth.unwrap_or_default(),
                version: self.version.clone(),
            }),
            _ if self.auth.is_some() || self.version.is_some() => {
                return Err(ProviderSetupError::OnlyAnthropic);
            }
            LlmProtocol::OpenAi => Box::new(OpenAi { is_original: is_original(self.base_url()) }),
            LlmProtocol::Google => Box::new(Google),
        })
    }

    /// The variable that holds the key.
    pub(super) fn key_variable(&self) -> &'static str {
        self.protocol.key_variable(|name| std::env::var(name).ok())
    }

    /// The key in force. Only servers of one's own may do without. A key file wins over the variable,
    /// which is that of all providers of the protocol.
    pub(super) fn key(&self) -> Result<Option<ApiKey>, ProviderSetupError> {
        let hosted = self.is_hosted();
        ApiKey::in_force(
            self.api_key.as_ref(),
            self.key_variable(),
            self.api_key_file.as_deref(),
            hosted.then_some(self.protocol.provider_name()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::seconds::tests::read;

    #[test]
    fn reads_its_section() {
        let config: LlmConfig = read(
            r#"
            protocol = "openai"
            base_url = "http://localhost:11434/v1/"
            model = "llama3"
            timeouts.total_seconds = 30
            retry.max_retries = 0
            "#,
        )
        .unwrap();
        assert_eq!(config.protocol, LlmProtocol::OpenAi);
        assert_eq!(config.base_url(), "http://localhost:11434/v1");
        assert_eq!(config.model(), "llama3");
        assert!(!config.is_hosted());
        assert_eq!(config.timeouts.total.as_secs(), 30);
        assert_eq!(config.timeouts.idle, Timeouts::default().idle);
        assert_eq!(config.retry.max_retries, 0);
    }

    #[test]
    fn defaults_to_anthropic() {
        let config = LlmConfig::default();
        assert_eq!(config.base_url(), "https://api.anthropic.com");
        assert!(config.is_hosted());
    }

    #[test]
    fn settings_of_one_protocol_are_refused_beside_another() {
        for toml in ["auth = 'x-api-key'", "version = '2023-06-01'"] {
            let own: LlmConfig = read(toml).unwrap();
            assert!(own.wire().is_ok(), "{toml}");
            let other: LlmConfig = read(&format!("protocol = 'openai'\n{toml}")).unwrap();
            assert!(matches!(other.wire(), Err(ProviderSetupError::OnlyAnthropic)), "{toml}");
        }
        assert!(read::<LlmConfig>("auth = 'basic'").is_err());
    }

    #[test]
    fn a_provider_is_not_named_here() {
        let error = read::<LlmConfig>("provider = 'openai'").unwrap_err().to_string();
        assert!(error.contains("protocol = \"openai\""), "{error}");
    }

    #[test]
    fn a_key_file_wins_over_the_variable_that_others_share() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "sk-of-the-file\n").unwrap();
        let mut config = LlmConfig {
            protocol: LlmProtocol::OpenAi,
            api_key_file: Some(file.path().to_owned()),
            ..LlmConfig::default()
        };
        assert_eq!(config.key().unwrap(), ApiKey::new("sk-of-the-file"));
        std::fs::write(file.path(), " \n").unwrap();
        assert!(config.key().is_err(), "and a blank one is no licence to take it");
        config.api_key = ApiKey::new("sk-given");
        assert_eq!(config.key().unwrap(), config.api_key);
    }

    #[test]
    fn a_key_in_the_file_is_refused() {
        assert!(read::<LlmConfig>(r#"api_key = "sk-1""#).is_err());
    }
}
