//! What is to be spoken. `Debug` shows sizes, never words.

use std::fmt;

/// A line, and who says it.
#[derive(Clone, PartialEq, Eq)]
pub struct Speech {
    /// The words.
    pub text: String,
    /// What was said right before, for a voice that goes on as a person would; empty at the beginning.
    pub said_before: String,
    /// The id of the character, by which the configuration may name a voice.
    pub character: String,
    /// The voice that the scene names, as ElevenLabs knows it.
    pub voice_id: String,
}

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speech")
            .field("text_bytes", &self.text.len())
            .field("character", &self.character)
            .field("voice_id", &self.voice_id)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_words() {
        let [text, said_before] = ["a secret", "another"].map(str::to_owned);
        let [character, voice_id] = ["c", "v1"].map(str::to_owned);
        let shown = format!("{:?}", Speech { text, said_before, character, voice_id });
        assert_eq!(shown, r#"Speech { text_bytes: 8, character: "c", voice_id: "v1" }"#);
    }
}
