//! The wire protocols that speech providers speak.

use serde::Deserialize;

/// The wire protocols, named after who defined them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TtsProtocol {
    /// ElevenLabs text to speech, streamed over HTTP.
    #[default]
    ElevenLabs,
    /// OpenAI's speech, spoken by many servers.
    OpenAi,
}

impl TtsProtocol {
    /// The catalogue's name of who defined it: the label `provider` of calls to its service.
    #[must_use]
    pub const fn provider_name(self) -> &'static str {
        match self {
            Self::ElevenLabs => "elevenlabs",
            Self::OpenAi => "openai",
        }
    }

    /// The provider's own service. As in the official SDKs, OpenAI's has the version in it.
    #[must_use]
    pub const fn default_base_url(self) -> &'static str {
        match self {
            Self::ElevenLabs => "https://api.elevenlabs.io",
            Self::OpenAi => "https://api.openai.com/v1",
        }
    }

    /// The model that begins to speak soonest.
    #[must_use]
    pub const fn default_model(self) -> &'static str {
        match self {
            Self::ElevenLabs => "eleven_flash_v2_5",
            Self::OpenAi => "gpt-4o-mini-tts",
        }
    }

    /// An audio format that plays in every browser while it comes.
    #[must_use]
    pub const fn default_format(self) -> &'static str {
        match self {
            Self::ElevenLabs => "mp3_44100_128",
            Self::OpenAi => "mp3_24000",
        }
    }

    /// The environment variable that holds the key.
    #[must_use]
    pub const fn key_variable(self) -> &'static str {
        match self {
            Self::ElevenLabs => "ELEVENLABS_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
        }
    }
}
