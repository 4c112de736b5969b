//! What is to be spoken. `Debug` shows sizes, never words.

use std::fmt;

/// A line and the voice to speak it with.
#[derive(Clone, PartialEq, Eq)]
pub struct Speech {
    /// The words.
    pub text: String,
    /// The voice as the provider knows it.
    pub voice_id: String,
}

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speech")
            .field("text_bytes", &self.text.len())
            .field("voice_id", &self.voice_id)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_words() {
        let speech = Speech { text: "a secret".to_owned(), voice_id: "v1".to_owned() };
        assert_eq!(format!("{speech:?}"), r#"Speech { text_bytes: 8, voice_id: "v1" }"#);
    }
}
