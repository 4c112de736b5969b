//! Who is asked when a language model fails: what the list of them may look like.

use super::LlmConfig;
use crate::provider::fallback::{Section, check};
use crate::provider::{ApiKey, BadFallback, ProviderSetupError};

impl Section for LlmConfig {
    const NAME: &'static str = "llm";

    fn fallbacks(&self) -> &[Self] {
        &self.fallback
    }

    fn asks_as(&self, other: &Self) -> bool {
        (other.provider(), other.model()) == (self.provider(), self.model())
    }
}

impl LlmConfig {
    /// Checks the list of fallbacks.
    ///
    /// # Errors
    /// The first that can't be used, and why.
    pub fn check_fallbacks(&self) -> Result<(), BadFallback> {
        check(self)
    }

    /// The key of a fallback. Here a key file wins: the variable is that of all providers of one
    /// protocol, and must not be sent to the wrong one of them.
    pub(super) fn key_of_fallback(&self) -> Result<Option<ApiKey>, ProviderSetupError> {
        ApiKey::of_ones_own(
            self.api_key.as_ref(),
            self.key_variable(),
            self.api_key_file.as_deref(),
            self.is_hosted().then_some(self.protocol.as_str()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::LlmProtocol;
    use crate::provider::{RetryPolicy, seconds::tests::read};

    #[test]
    fn fallbacks_have_settings_of_their_own() {
        let config: LlmConfig = read(
            r#"
            retry.max_retries = 0
            [[fallback]]
            protocol = "openai"
            max_concurrent = 3
            [[fallback]]
            model = "claude-sonnet-5"
            "#,
        )
        .unwrap();
        assert_eq!(config.fallback.len(), 2);
        assert_eq!(config.fallback[0].protocol, LlmProtocol::OpenAi);
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
            refusal("[[fallback]]\nprotocol = 'openai'\n[[fallback]]\nmodel = 'claude-haiku-5-5'");
        assert!(same.contains("fallback 1") && same.contains("asked before"), "{same}");
        let twice = "[[fallback]]\nprotocol = 'openai'\n";
        assert!(refusal(&twice.repeat(2)).contains("fallback 1"));
        let branch =
            refusal("[[fallback]]\nprotocol = 'openai'\n[[fallback.fallback]]\nmodel = 'm'");
        assert!(branch.contains("fallback 0") && branch.contains("itself"), "{branch}");
    }

    #[test]
    fn a_fallbacks_key_file_wins_over_what_others_share() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "sk-of-the-file\n").unwrap();
        let mut fallback = LlmConfig {
            protocol: LlmProtocol::OpenAi,
            api_key_file: Some(file.path().to_owned()),
            ..LlmConfig::default()
        };
        assert_eq!(fallback.key_of_fallback().unwrap(), ApiKey::new("sk-of-the-file"));
        std::fs::write(file.path(), " \n").unwrap();
        assert!(fallback.key_of_fallback().is_err(), "and a blank one is no licence to take it");
        fallback.api_key = ApiKey::new("sk-given");
        assert_eq!(fallback.key_of_fallback().unwrap(), fallback.api_key);
    }
}
