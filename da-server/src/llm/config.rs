//! Which language model is asked, where, and with which limits.

use std::path::PathBuf;

use serde::Deserialize;

use super::{anthropic::Anthropic, openai::OpenAi, wire::Wire};
use crate::provider::gate::MAX_CONCURRENT;
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

/// A fallback that can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("llm.fallback {index}, counted from 0: {why}")]
pub struct BadFallback {
    index: usize,
    why: &'static str,
}

impl BadFallback {
    /// The key of what is wrong: `llm.fallback.0`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("llm.fallback.{}", self.index)
    }
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
            max_concurrent: MAX_CONCURRENT,
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

    /// Checks the list of fallbacks.
    ///
    /// # Errors
    /// The first that can't be used, and why.
    pub fn check_fallbacks(&self) -> Result<(), BadFallback> {
        for (index, fallback) in self.fallback.iter().enumerate() {
            let bad = |why| Err(BadFallback { index, why });
            if !fallback.fallback.is_empty() {
                return bad("it has fallbacks itself; list them all in [[llm.fallback]]");
            }
            let is_same = |other: &Self| {
                (other.provider, other.model()) == (fallback.provider, fallback.model())
            };
            if is_same(self) || self.fallback[..index].iter().any(is_same) {
                return bad("its provider and model are asked before; name another of either");
            }
        }
        Ok(())
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

    /// The key of a fallback. Here a key file wins: the variable is that of all providers of one
    /// protocol, and must not be sent to the wrong one of them.
    pub(super) fn key_of_fallback(&self) -> Result<Option<ApiKey>, ProviderSetupError> {
        let Some(file) = self.api_key_file.as_deref().filter(|_| self.api_key.is_none()) else {
            return self.key();
        };
        let key = ApiKey::read(file)?;
        if key.is_none() && self.is_hosted() {
            let (provider, variable) = (self.provider.as_str(), self.provider.key_variable());
            return Err(ProviderSetupError::MissingKey { provider, variable });
        }
        Ok(key)
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
    fn fallbacks_have_settings_of_their_own() {
        let config: LlmConfig = read(
            r#"
            retry.max_retries = 0
            [[fallback]]
            provider = "openai"
            max_concurrent = 3
            [[fallback]]
            model = "claude-sonnet-5"
            "#,
        )
        .unwrap();
        assert_eq!(config.fallback.len(), 2);
        assert_eq!(config.fallback[0].provider, LlmProvider::OpenAi);
        assert_eq!(config.fallback[0].max_concurrent, 3);
        assert_eq!(config.fallback[0].retry, RetryPolicy::default());
        assert_eq!(config.check_fallbacks(), Ok(()));
    }

    #[test]
    fn fallbacks_that_repeat_or_branch_are_refused() {
        let refusal = |toml: &str| {
            let config: LlmConfig = read(toml).unwrap();
            config.check_fallbacks().expect_err("refused").to_string()
        };
        let same =
            refusal("[[fallback]]\nprovider = 'openai'\n[[fallback]]\nmodel = 'claude-haiku-4-5'");
        assert!(same.contains("fallback 1") && same.contains("asked before"), "{same}");
        let twice = "[[fallback]]\nprovider = 'openai'\n";
        assert!(refusal(&twice.repeat(2)).contains("fallback 1"));
        let branch =
            refusal("[[fallback]]\nprovider = 'openai'\n[[fallback.fallback]]\nmodel = 'm'");
        assert!(branch.contains("fallback 0") && branch.contains("itself"), "{branch}");
    }

    #[test]
    fn a_fallbacks_key_file_wins_over_what_others_share() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "sk-of-the-file\n").unwrap();
        let mut fallback = LlmConfig {
            provider: LlmProvider::OpenAi,
            api_key_file: Some(file.path().to_owned()),
            ..LlmConfig::default()
        };
        assert_eq!(fallback.key_of_fallback().unwrap(), ApiKey::new("sk-of-the-file"));
        std::fs::write(file.path(), " \n").unwrap();
        assert!(fallback.key_of_fallback().is_err(), "and a blank one is no licence to take it");
        fallback.api_key = ApiKey::new("sk-given");
        assert_eq!(fallback.key_of_fallback().unwrap(), fallback.api_key);
    }

    #[test]
    fn a_key_in_the_file_is_refused() {
        assert!(read::<LlmConfig>(r#"api_key = "sk-1""#).is_err());
    }
}
