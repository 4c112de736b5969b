//! The wire protocols that language models speak.

use serde::Deserialize;

use crate::provider::ApiKey;

/// The wire protocols, named after who defined them. Whoever speaks one can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LlmProtocol {
    /// Anthropic Messages.
    #[default]
    Anthropic,
    /// OpenAI chat.completions, spoken by many servers.
    OpenAi,
    /// Google's Gemini API.
    Google,
}

impl LlmProtocol {
    /// The catalogue's name of who defined it: the label `provider` of calls to its service. In the
    /// configuration the protocol is the variant in lower case.
    #[must_use]
    pub const fn provider_name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAi => "openai",
            Self::Google => "gcp.gemini",
        }
    }

    /// The service of who defined it. As in the official SDKs, OpenAI's has the version in it; so has
    /// Google's, whose SDKs moved from `v1beta` to `v1` in 2026.
    #[must_use]
    pub const fn default_base_url(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com",
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Google => "https://generativelanguage.googleapis.com/v1",
        }
    }

    /// A small, quick model: a character should answer at once.
    #[must_use]
    pub const fn default_model(self) -> &'static str {
        match self {
            Self::Anthropic => "claude-haiku-5-5",
            Self::OpenAi => "gpt-6-luna",
            // The newest that does not think before it speaks, unless it is told to.
            Self::Google => "gemini-3.5-flash-lite",
        }
    }

    /// The environment variables that hold the key. As in the official SDKs, the first that is set
    /// counts.
    #[must_use]
    pub const fn key_variables(self) -> &'static [&'static str] {
        match self {
            Self::Anthropic => &["ANTHROPIC_API_KEY"],
            Self::OpenAi => &["OPENAI_API_KEY"],
            Self::Google => &["GOOGLE_API_KEY", "GEMINI_API_KEY"],
        }
    }

    /// The variable that counts, by what `lookup` knows of the environment: the first that is set,
    /// or else the first.
    pub(super) fn key_variable(self, lookup: impl Fn(&str) -> Option<String>) -> &'static str {
        let variables = self.key_variables();
        let is_set = |name: &str| lookup(name).as_deref().and_then(ApiKey::new).is_some();
        variables.iter().copied().find(|name| is_set(name)).unwrap_or(variables[0])
    }
}

/// How Anthropic's protocol is spoken: as its SDKs do by now, or as they did until 2026, which
/// gateways and servers of one's own may still want.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Auth {
    /// `Authorization: Bearer KEY`
    #[default]
    #[serde(rename = "bearer")]
    Bearer,
    /// `x-api-key: KEY`
    #[serde(rename = "x-api-key")]
    XApiKey,
}

impl Auth {
    /// The `anthropic-version` of the SDKs that send the key like this.
    pub(super) const fn version(self) -> &'static str {
        match self {
            Self::Bearer => "2026-10-21",
            Self::XApiKey => "2023-06-01",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_holds_the_key() {
        let google = LlmProtocol::Google;
        let set = |names: &[&str]| {
            google.key_variable(|name| names.contains(&name).then(|| "k".to_owned()))
        };
        assert_eq!(set(&["GOOGLE_API_KEY", "GEMINI_API_KEY"]), "GOOGLE_API_KEY");
        assert_eq!(set(&["GEMINI_API_KEY"]), "GEMINI_API_KEY");
        assert_eq!(set(&[]), "GOOGLE_API_KEY");
        let blank =
            |name: &str| Some(if name.starts_with("GOOGLE") { " " } else { "x" }.to_owned());
        assert_eq!(google.key_variable(blank), "GEMINI_API_KEY", "blank is unset");
    }
}
