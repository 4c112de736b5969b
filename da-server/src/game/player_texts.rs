//! Errors and notices for players: a code for programs and a sentence for people.

use std::time::Duration;

use super::failure::{Cause, Failure};
use super::line::LineError;
use super::protocol::ServerMessage;
use super::world::Refusal;
use crate::metrics::{CloseReason, ErrorType};

/// When to ask again for a session that could not be read.
const STORE_RETRY_SECONDS: u64 = 1;

/// An error or a notice for a player.
pub(super) struct PlayerText {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl PlayerText {
    /// Something did not work.
    pub(super) fn error(self) -> ServerMessage {
        let Self { code, message } = self;
        ServerMessage::Error { code, message, retry_after_seconds: None }
    }

    /// Something to know.
    pub(super) fn notice(self) -> ServerMessage {
        ServerMessage::Notice { code: self.code, message: self.message }
    }
}

fn text(code: &'static str, message: impl Into<String>) -> PlayerText {
    PlayerText { code, message: message.into() }
}

/// A turn failed; `name` is the character's.
pub(super) fn failure(failure: Failure, name: &str) -> PlayerText {
    let message = match failure {
        Failure::Llm(Cause::Timeout) => format!("{name} is lost in thought. Please try again."),
        Failure::Llm(Cause::RateLimited | Cause::Unavailable) => {
            format!("{name} can't be reached right now. Please try again in a moment.")
        }
        Failure::Llm(Cause::Refused) => {
            format!("{name} can't speak today. Whoever runs this game can find out why.")
        }
        Failure::Llm(Cause::Interrupted) => format!("{name} broke off. Please try again."),
        Failure::Llm(Cause::Protocol) => format!("{name} lost the thread. Please try again."),
        Failure::Tts(_) => {
            format!("{name}'s voice got lost on the way, but you can read every word.")
        }
    };
    text(failure.error_type().as_str(), message)
}

/// A line was not accepted.
pub(super) fn line(error: LineError) -> PlayerText {
    match error {
        LineError::Empty => text("empty_line", "Write something first."),
        LineError::TooLong(max) => {
            text("line_too_long", format!("That is too long; {max} characters is the most."))
        }
        LineError::ControlCharacters => {
            text("line_not_text", "That contains characters that are no text.")
        }
    }
}

/// A press did nothing.
pub(super) fn refusal(refusal: Refusal) -> PlayerText {
    match refusal {
        Refusal::Unknown => text("unknown_control", "There is no such thing here to press."),
        Refusal::Resting => text("control_resting", "That needs a moment before it works again."),
        Refusal::UsedUp => text("control_used_up", "That is used up."),
        Refusal::Locked => text("control_locked", "That is locked for now."),
        Refusal::Ended => text("scene_ended", "The scene has ended. You can start it again."),
    }
}

pub(super) fn invalid_message() -> PlayerText {
    text(ErrorType::InvalidMessage.as_str(), "The game did not understand that message.")
}

pub(super) fn too_many_requests() -> PlayerText {
    text("too_many_requests", "Not so fast: give the character a moment to think.")
}

/// The code is the same: for a client it makes no difference.
pub(super) fn too_many_requests_of_address() -> PlayerText {
    let message = "Too many speak from your network right now. Try again in a moment.";
    text("too_many_requests", message)
}

/// A press worked, but there are no words about it.
pub(super) fn press_unanswered(name: &str) -> PlayerText {
    text("press_unanswered", format!("That worked. {name} has too much to answer to speak of it."))
}

pub(super) fn haste() -> PlayerText {
    text("haste", "Too hasty! Pressing everything at once has its price.")
}

pub(super) fn unknown_scene() -> PlayerText {
    text("unknown_scene", "There is no such scene. Pick another one.")
}

pub(super) fn start_first() -> PlayerText {
    text("not_started", "Start a scene first.")
}

pub(super) fn already_started() -> PlayerText {
    text("already_started", "This scene has begun. Open a new connection for another one.")
}

pub(super) fn starts_afresh() -> PlayerText {
    text("starts_afresh", "Your earlier conversation is gone, so this one starts afresh.")
}

/// The database has lost a session that goes on.
pub(super) fn history_lost() -> PlayerText {
    text(
        "history_lost",
        "What was said before has been lost where this game keeps it. From here on it is kept again.",
    )
}

/// For a player who comes back while their session can't be read.
pub(super) fn store_unavailable() -> ServerMessage {
    let message = "Your earlier conversation can't be opened right now. It is not lost.".to_owned();
    ServerMessage::Error {
        code: CloseReason::StoreUnavailable.as_str(),
        message,
        retry_after_seconds: Some(STORE_RETRY_SECONDS),
    }
}

/// For a player who is not admitted; `None` for other reasons.
pub fn not_let_in(reason: CloseReason, retry_after: Duration) -> Option<ServerMessage> {
    let message = match reason {
        CloseReason::Busy => "Every seat is taken.",
        CloseReason::TooManySessions => "Too many play from your network already.",
        CloseReason::TooManyStarts => "Too many scenes were started from your network.",
        _ => return None,
    };
    // Whole seconds, and never too early.
    let seconds = retry_after.as_secs_f64().ceil().max(1.0) as u64;
    let (code, message) = (reason.as_str(), message.to_owned());
    Some(ServerMessage::Error { code, message, retry_after_seconds: Some(seconds) })
}

pub(super) fn no_session() -> PlayerText {
    text("no_session", "The server can't open a session right now. Please try again later.")
}
