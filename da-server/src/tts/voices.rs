//! Which voice of a provider speaks for which character.

use std::collections::BTreeMap;

use super::{TtsConfig, TtsProtocol};

/// A character for whom a provider has no voice.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{section} says nothing of a voice for {character:?}, and the scene's is not one of {protocol}: \
     add it to voices, as in voices = {{ {character} = \"…\" }}, or one for all of them as voice"
)]
pub struct UnknownVoice {
    section: String,
    protocol: &'static str,
    character: String,
}

/// The voices of one section.
pub(super) struct Voices {
    /// By character.
    named: BTreeMap<String, String>,
    of_others: Option<String>,
    /// Whether the scenes' own are this provider's.
    has_the_scenes: bool,
}

impl Voices {
    pub(super) fn of_section(config: &TtsConfig) -> Self {
        Self {
            named: config.voices.clone(),
            of_others: config.voice.clone(),
            has_the_scenes: config.protocol == TtsProtocol::ElevenLabs,
        }
    }

    /// The voice of a character for whom the scene names this one.
    pub(super) fn of<'a>(&'a self, character: &str, the_scenes: &'a str) -> Option<&'a str> {
        let own = self.named.get(character).or(self.of_others.as_ref());
        own.map(String::as_str).or_else(|| self.has_the_scenes.then_some(the_scenes))
    }
}

impl TtsConfig {
    /// The same, where each section of ElevenLabs has these voices for characters that it does not
    /// name itself.
    #[must_use]
    pub fn with_elevenlabs_voices(mut self, voices: &BTreeMap<String, String>) -> Self {
        let add = |section: &mut Self| {
            if section.protocol == TtsProtocol::ElevenLabs {
                for (character, voice) in voices {
                    section.voices.entry(character.clone()).or_insert_with(|| voice.clone());
                }
            }
        };
        add(&mut self);
        self.fallback.iter_mut().for_each(add);
        self
    }

    /// Checks that every one of these characters can be heard wherever they may be asked to speak.
    ///
    /// # Errors
    /// The first who can't, and where.
    pub fn check_voices<'a>(
        &self,
        characters: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), UnknownVoice> {
        let of_fallback = |index| format!("tts.fallback {index}, counted from 0,");
        let fallbacks = self.fallback.iter().enumerate();
        let fallbacks = fallbacks.map(|(index, fallback)| (of_fallback(index), fallback));
        let sections: Vec<_> =
            std::iter::once(("[tts]".to_owned(), self)).chain(fallbacks).collect();
        for character in characters {
            for (section, config) in &sections {
                if Voices::of_section(config).of(character, "").is_none() {
                    return Err(UnknownVoice {
                        section: section.clone(),
                        protocol: config.protocol.provider_name(),
                        character: character.to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::seconds::tests::read;

    fn voice(toml: &str, character: &str) -> Option<String> {
        let config: TtsConfig = read::<TtsConfig>(toml).unwrap();
        let also = BTreeMap::from([("wizard".to_owned(), "of-the-game".to_owned())]);
        let voices = Voices::of_section(&config.with_elevenlabs_voices(&also));
        voices.of(character, "of-the-scene").map(str::to_owned)
    }

    #[test]
    fn a_name_wins_over_the_voice_for_all_and_that_over_the_scenes() {
        for (toml, engineer, wizard) in [
            ("", "of-the-scene", "of-the-game"),
            ("voice = 'v'", "v", "of-the-game"),
            ("voices.engineer = 'e'", "e", "of-the-game"),
            ("voice = 'v'\nvoices = { engineer = 'e', wizard = 'w' }", "e", "w"),
        ] {
            assert_eq!(voice(toml, "engineer").unwrap(), engineer, "{toml}");
            assert_eq!(voice(toml, "wizard").unwrap(), wizard, "{toml}");
        }
    }

    #[test]
    fn what_scenes_and_the_game_name_is_elevenlabs() {
        let openai = |toml: &str, who| voice(&format!("protocol = 'openai'\n{toml}"), who);
        assert_eq!((openai("", "engineer"), openai("", "wizard")), (None, None));
        assert_eq!(openai("voice = 'nova'", "wizard").unwrap(), "nova");
        assert_eq!(openai("voices.wizard = 'onyx'", "wizard").unwrap(), "onyx");
        assert_eq!(openai("voices.wizard = 'onyx'", "engineer"), None);
    }

    #[test]
    fn a_character_nobody_can_speak_for_is_told_with_what_to_do() {
        let check = |toml: &str| {
            let config: TtsConfig = read(toml).unwrap();
            config.check_voices(["engineer", "wizard"]).err().map(|error| error.to_string())
        };
        assert_eq!(check(""), None);
        assert_eq!(check("protocol = 'openai'\nvoice = 'nova'"), None);
        let said = check("protocol = 'openai'\nvoices.engineer = 'nova'").unwrap();
        assert!(said.starts_with("[tts] says nothing") && said.contains("{ wizard = "), "{said}");
        let said = check("[[fallback]]\nprotocol = 'openai'").unwrap();
        assert!(said.starts_with("tts.fallback 0") && said.contains("\"engineer\""), "{said}");
    }
}
