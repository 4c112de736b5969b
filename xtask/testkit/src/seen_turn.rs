//! What a player sees and hears of one turn.

use da_standin::now_ns;
use serde_json::Value;

/// One turn as the player saw it. Times are nanoseconds of the stand-in's clock.
#[derive(Debug, Default)]
pub struct SeenTurn {
    /// As the server counts turns.
    pub number: u64,
    /// Its first message came.
    pub began_ns: u64,
    /// Pieces of the line, and when each came.
    pub pieces: Vec<(u64, String)>,
    /// What the audio is, once it has begun.
    pub mime: Option<String>,
    /// All of the audio so far that is to be heard.
    pub audio: Vec<u8>,
    /// When each piece of it came, and its bytes.
    pub audio_came: Vec<(u64, usize)>,
    /// Whether that is all.
    pub audio_ended: bool,
    /// Codes and sentences.
    pub errors: Vec<(String, String)>,
    /// How it ended; empty before that.
    pub status: String,
    /// Whether the server said that it is kept.
    pub kept: bool,
    /// The last message of it came.
    pub ended_ns: u64,
    /// When the answer to a mark came.
    pub marked_ns: Option<u64>,
}

impl SeenTurn {
    /// The whole line.
    pub fn text(&self) -> String {
        self.pieces.iter().map(|(_, piece)| piece.as_str()).collect()
    }

    /// The codes of what went wrong.
    pub fn error_codes(&self) -> Vec<&str> {
        self.errors.iter().map(|(code, _)| code.as_str()).collect()
    }

    /// Takes in a message of the server's.
    pub fn see(&mut self, message: &Value) {
        let text = |key: &str| message[key].as_str().expect(key).to_owned();
        let is_ours = |turn: &Self| message["turn"].as_u64() == Some(turn.number);
        match message["type"].as_str().expect("type") {
            "turn_start" => {
                self.began_ns = now_ns();
                self.number = message["turn"].as_u64().expect("number");
            }
            "text" => {
                assert!(is_ours(self));
                self.pieces.push((now_ns(), text("text")));
            }
            "audio_start" => {
                assert!(is_ours(self));
                self.mime = Some(text("mime"));
                self.audio_ended = false;
            }
            "audio_end" => {
                assert!(is_ours(self));
                self.audio_ended = true;
            }
            "audio_drop" => {
                assert!(is_ours(self) && self.audio_ended);
                self.audio.clear();
                self.audio_came.clear();
            }
            "turn_end" => {
                assert!(is_ours(self));
                self.status = text("status");
                self.kept = message["kept"] == true;
                self.ended_ns = now_ns();
            }
            "error" if message["code"] == "unknown_control" => self.marked_ns = Some(now_ns()),
            "error" => self.errors.push((text("code"), text("message"))),
            "state" | "notice" | "session" => {}
            other => panic!("unknown message {other}"),
        }
    }
}
