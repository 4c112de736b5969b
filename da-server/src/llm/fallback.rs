//! Who is asked when a language model fails: what the list of them may look like.

use super::LlmConfig;
use crate::provider::{ApiKey, ProviderSetupError};

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

impl LlmConfig {
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
    use crate::llm::LlmProvider;
    use crate::provider::{RetryPolicy, seconds::tests::read};

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
}
