//! Who is asked when a voice fails: what the list of them may look like.

use super::TtsConfig;
use crate::provider::BadFallback;
use crate::provider::fallback::{Section, check};

impl Section for TtsConfig {
    const NAME: &'static str = "tts";

    fn fallbacks(&self) -> &[Self] {
        &self.fallback
    }

    fn has_same_target(&self, other: &Self) -> bool {
        (other.provider(), other.model()) == (self.provider(), self.model())
    }
}

impl TtsConfig {
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
    use crate::provider::seconds::tests::read;

    #[test]
    fn fallbacks_are_checked_as_those_of_language_models_are() {
        let check = |toml: &str| {
            let config: TtsConfig = read(toml).unwrap();
            config.check_fallbacks().err().map(|bad| (bad.key(), bad.to_string()))
        };
        let openai = "[[fallback]]\nprotocol = 'openai'\n";
        assert_eq!(check(openai), None);
        assert_eq!(check("[[fallback]]\nmodel = 'eleven_v3'"), None);
        let (key, said) = check(&openai.repeat(2)).unwrap();
        assert_eq!(key, "tts.fallback.1");
        assert!(said.contains("in the list already"), "{said}");
        let (_, said) = check(&format!("{openai}[[fallback.fallback]]\nmodel = 'm'")).unwrap();
        assert!(said.contains("[[tts.fallback]]"), "{said}");
    }
}
