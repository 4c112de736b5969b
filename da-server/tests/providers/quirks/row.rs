//! A row of the table of quirks.

use std::time::Duration;

use da_server::llm::{LlmProtocol, StopReason};
use da_server::provider::ErrorKind;
use da_testkit::raw::{Answer, Ending};
use serde_json::Value;

/// One row: the name ends with where it was reported.
pub struct Quirk {
    pub name: &'static str,
    pub provider: LlmProtocol,
    pub answer: Answer,
    pub text: &'static str,
    pub end: Result<StopReason, ErrorKind>,
    pub retries: usize,
}

pub const SSE: &str = "text/event-stream";
pub const AHOY: &str = "Ahoy";
/// Longer than what follows the last word is waited for.
pub const PAUSE: Duration = Duration::from_millis(900);

pub fn quirk(name: &'static str, provider: LlmProtocol, body: impl AsRef<[u8]>) -> Quirk {
    let answer = Answer {
        media_type: SSE,
        chunks: vec![body.as_ref().to_vec()],
        pause: Duration::ZERO,
        ending: Ending::Clean,
    };
    Quirk { name, provider, answer, text: AHOY, end: Ok(StopReason::EndTurn), retries: 0 }
}

impl Quirk {
    pub fn ends(self, end: Result<StopReason, ErrorKind>) -> Self {
        Self { end, ..self }
    }

    pub fn ending(mut self, ending: Ending) -> Self {
        self.answer.ending = ending;
        self
    }

    pub fn typed(mut self, media_type: &'static str) -> Self {
        self.answer.media_type = media_type;
        self
    }

    pub fn in_chunks_of(mut self, length: usize) -> Self {
        let whole = self.answer.chunks.concat();
        self.answer.chunks = whole.chunks(length).map(<[u8]>::to_vec).collect();
        self
    }

    /// Each event as a chunk of its own, so long after the one before.
    pub fn an_event_each(mut self, pause: Duration) -> Self {
        let whole = String::from_utf8(self.answer.chunks.concat()).expect("text");
        let events = whole.split_inclusive("\n\n").map(|event| event.as_bytes().to_vec());
        (self.answer.chunks, self.answer.pause) = (events.collect(), pause);
        self
    }

    pub fn says(self, text: &'static str) -> Self {
        Self { text, ..self }
    }

    /// It fails without a word, and that may pass.
    pub fn fails(self, kind: ErrorKind) -> Self {
        Self { text: "", end: Err(kind), retries: 2, ..self }
    }

    pub fn fails_for_good(self, kind: ErrorKind) -> Self {
        Self { text: "", end: Err(kind), retries: 0, ..self }
    }
}

pub fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}
