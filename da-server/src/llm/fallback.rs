//! Who is asked when a language model fails: what the list of them may look like.

use super::LlmConfig;
use crate::provider::BadFallback;
use crate::provider::fallback::{Section, check};

impl Section for LlmConfig {
    const NAME: &'static str = "llm";

    fn fallbacks(&self) -> &[Self] {
        &self.fallback
    }

    fn has_same_target(&self, other: &Self) -> bool {
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
        assert!(same.contains("fallback 1") && same.contains("in the list already"), "{same}");
        let twice = "[[fallback]]\nprotocol = 'openai'\n";
        assert!(refusal(&twice.repeat(2)).contains("fallback 1"));
        let branch =
            refusal("[[fallback]]\nprotocol = 'openai'\n[[fallback.fallback]]\nmodel = 'm'");
        assert!(branch.contains("fallback 0") && branch.contains("itself"), "{branch}");
    }
}
