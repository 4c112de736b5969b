//! The messages between a player and the server, as JSON. docs/PROTOCOL.md is for their readers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::scene::Difficulty;
use super::world::{ControlView, SceneOutcome};

/// What a player sends. `Debug` is left out: these are people's words.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum PlayerMessage {
    /// Begins or resumes a session; always the first message, and only that.
    Start {
        /// The scene's id.
        scene: String,
        /// How much haste costs.
        #[serde(default)]
        difficulty: Difficulty,
        /// The token of the session to resume.
        token: Option<String>,
    },
    /// A line for the character. What the character is saying is interrupted.
    Say {
        /// The line.
        text: String,
    },
    /// Presses a control.
    Press {
        /// The control's id.
        control: String,
    },
    /// Stops what the character is saying.
    Interrupt {},
}

/// What the server sends, beside audio as binary messages.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The session has begun.
    Session {
        /// Resumes this session; a secret of the player.
        token: String,
        /// The scene's id.
        scene: String,
        /// Whether it goes on where an earlier connection left it.
        resumed: bool,
        /// What was said before, oldest first.
        history: Vec<Line>,
    },
    /// How the scene stands.
    State {
        /// Value of each variable.
        variables: BTreeMap<String, f64>,
        /// Every control.
        controls: BTreeMap<String, ControlView>,
        /// How it ended; absent while it goes on.
        #[serde(skip_serializing_if = "Option::is_none")]
        outcome: Option<SceneOutcome>,
    },
    /// The character begins to think.
    TurnStart {
        /// Counts up within a connection.
        turn: u64,
    },
    /// The next piece of what the character says.
    Text {
        /// The turn's number.
        turn: u64,
        /// The piece.
        text: String,
    },
    /// Binary messages from here on are the turn's audio.
    AudioStart {
        /// The turn's number.
        turn: u64,
        /// The audio's media type.
        mime: String,
    },
    /// The turn's audio is over.
    AudioEnd {
        /// The turn's number.
        turn: u64,
    },
    /// The turn's audio so far is not to be heard: it was none of what the character says.
    AudioDrop {
        /// The turn's number.
        turn: u64,
    },
    /// The turn is over.
    TurnEnd {
        /// The turn's number.
        turn: u64,
        /// `success`, `error` or `cancelled`.
        status: &'static str,
        /// Whether what was said is in the database now: if not, who comes back will not find it.
        /// Absent where nothing was said.
        #[serde(skip_serializing_if = "Option::is_none")]
        kept: Option<bool>,
    },
    /// Something to know.
    Notice {
        /// For programs.
        code: &'static str,
        /// A sentence for the player.
        message: String,
    },
    /// Something did not work.
    Error {
        /// For programs.
        code: &'static str,
        /// A sentence for the player.
        message: String,
        /// When to connect again, before the server closes the connection; otherwise absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_seconds: Option<u64>,
    },
}

impl ServerMessage {
    /// Bytes of the texts of others in it, which have no other bound.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Self::Text { text, .. } => text.len(),
            Self::Session { history, .. } => history.iter().map(|line| line.text.len()).sum(),
            _ => 0,
        }
    }
}

/// A line that was said.
#[derive(Clone, PartialEq, Serialize)]
pub struct Line {
    /// `player` or `character`.
    pub speaker: Speaker,
    /// The line's text.
    pub text: String,
}

/// Who said a line.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The person who plays.
    Player,
    /// The model who plays along.
    Character,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_messages_with_known_fields_are_read() {
        let read = |text| serde_json::from_str::<PlayerMessage>(text).is_ok();
        assert!(read(r#"{"type":"start","scene":"welcome"}"#));
        assert!(read(r#"{"type":"start","scene":"x","difficulty":"hard","token":"t"}"#));
        assert!(read(r#"{"type":"say","text":"{}"}"#));
        assert!(read(r#"{"type":"interrupt"}"#));
        for wrong in [
            "",
            "hello",
            "[]",
            r#"{"type":"shout","text":"a"}"#,
            r#"{"type":"say"}"#,
            r#"{"type":"say","text":"a","system":"b"}"#,
            r#"{"type":"start","scene":"x","difficulty":"nightmare"}"#,
        ] {
            assert!(!read(wrong), "{wrong}");
        }
    }
}
