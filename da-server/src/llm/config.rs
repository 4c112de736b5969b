//! Which language model is asked, where, and with which limits.

use std::path::PathBuf;

use serde::Deserialize;

use super::{anthropic::Anthropic, openai::OpenAi, wire::Wire};
use crate::provider::gate::DEFAULT_MAX_CONCURRENT;
use crate::provider::{ApiKey, BreakerConfig, ProviderSetupError, RetryPolicy, Timeouts};

/// The wire protocols, named after who defined them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LlmProvider {
    /// Anthropic Messages.
    #[default]
    Anthropic,
    /// OpenAI chat.completions, spoken by many servers.
    OpenAi,
}

impl LlmProvider {
    /// The label value: OTel's `gen_ai.provider.name`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
        }
    }

    /// The provider's own service. As in the official SDKs, OpenAI's has the version in it.
    #[must_use]
    pub const fn default_base_url(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com",
            Self::OpenAi => "https://api.openai.com/v1",
        }
    }

    /// A small, quick model: a character should answer at once.
    #[must_use]
    pub const fn default_model(self) -> &'static str {
        match self {
            Self::Anthropic => "claude-haiku-4-5",
            Self::OpenAi => "gpt-4.1-mini",
        }
    }

    /// The environment variable that holds the key.
    #[must_use]
    pub const fn key_variable(self) -> &'static str {
        match self {
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
        }
    }

    pub(super) fn wire(self, hosted: bool) -> Box<dyn Wire> {
        match self {
            Self::Anthropic => Box::new(Anthropic),
            Self::OpenAi => Box::new(OpenAi { hosted }),
        }
    }
}

/// The configuration of the language model.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LlmConfig {
    /// `"anthropic"` or `"openai"`.
    pub provider: LlmProvider,
    /// `http://` or `https://`; the default is the provider's own service. For OpenAI-compatible
    /// servers everything before `/chat/completions`, as in `http://localhost:11434/v1`.
    pub base_url: Option<String>,
    /// The model's name as the provider knows it; also the `model` label.
    pub model: Option<String>,
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
    /// Who is asked, one after the other, when this one fails before its first token. Each has all
    /// the settings of its own, and no fallbacks.
    pub fallback: Vec<LlmConfig>,
}

impl Default for LlmConfig {
    fn default() -> Self {
        Self {
            provider: LlmProvider::default(),
            base_url: None,
            model: None,
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

impl LlmConfig {
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

    /// Whether the provider's own service is meant, which always wants a key.
    pub(super) fn is_hosted(&self) -> bool {
        self.base_url() == self.provider.default_base_url()
    }

    /// The key in force. Only servers of one's own may do without.
    pub(super) fn key(&self) -> Result<Option<ApiKey>, ProviderSetupError> {
        let hosted = self.is_hosted();
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
        let config: LlmConfig = read(
            r#"
            provider = "openai"
            base_url = "http://localhost:11434/v1/"
            model = "llama3"
            timeouts.total_seconds = 30
            retry.max_retries = 0
            "#,
        )
        .unwrap();
        assert_eq!(config.provider, LlmProvider::OpenAi);
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
    fn a_key_in_the_file_is_refused() {
        assert!(read::<LlmConfig>(r#"api_key = "sk-1""#).is_err());
    }
}
