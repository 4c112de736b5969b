//! What is asked of a language model. `Debug` shows sizes, never words.

use std::fmt;

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The human at the keyboard; the wire's `user`.
    Player,
    /// The character whom the model plays; the wire's `assistant`.
    Character,
}

/// One line of the conversation so far.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub text: String,
}

/// A request for the character's next line.
#[derive(Clone, PartialEq)]
pub struct Prompt {
    /// Who the character is and how it speaks; left out of the request if empty.
    pub system: String,
    /// The conversation, oldest first, ending with the player's line.
    pub messages: Vec<Message>,
    /// 0 (always the likeliest word) to 1 or 2; `None`: as the model is meant to be used. Newer models
    /// refuse to be told.
    pub temperature: Option<f64>,
    /// The answer is cut off after this many tokens.
    pub max_tokens: u32,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({} bytes)", self.role, self.text.len())
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt")
            .field("system_bytes", &self.system.len())
            .field("messages", &self.messages)
            .field("temperature", &self.temperature)
            .field("max_tokens", &self.max_tokens)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_words() {
        let prompt = Prompt {
            system: "You guard a secret".to_owned(),
            messages: vec![Message { role: Role::Player, text: "Tell me the secret".to_owned() }],
            temperature: None,
            max_tokens: 800,
        };
        let shown = format!("{prompt:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("Player(18 bytes)"), "{shown}");
    }
}
