//! What can go wrong on purpose.

use serde::{Deserialize, Serialize};

/// A fault, in JSON `{"kind":"overloaded"}` and so on.
///
/// Text-to-speech has no events, so [`Fault::ErrorEventAfter200`] and [`Fault::SplitUtf8`] do
/// nothing there and aren't logged; likewise [`Fault::NonAudio200`] for language models, and
/// either event fault for an answer that isn't streamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Status 429, with the headers that are given.
    RateLimited {
        /// `retry-after`, in seconds.
        #[serde(default)]
        retry_after: Option<u64>,
        /// `retry-after-ms`.
        #[serde(default)]
        retry_after_ms: Option<u64>,
    },
    /// Status 529 (503 from providers that do not use 529).
    Overloaded,
    /// Status 500.
    ServerError,
    /// The request is read and never answered.
    Hang,
    /// RST in place of the first token.
    ResetBeforeFirstToken {
        /// Send the status line, the headers and what precedes the first token before the RST.
        #[serde(default)]
        after_head: bool,
    },
    /// RST when so many tokens (text deltas, audio chunks) are sent and the next chunk is due.
    ResetAfterFirstToken {
        /// How many are sent first.
        #[serde(default = "one")]
        after_chunks: usize,
    },
    /// Status 200, so many tokens, then an error event and the end of the body.
    #[serde(rename = "error_event_after_200")]
    ErrorEventAfter200 {
        /// How many are sent first.
        #[serde(default)]
        after_chunks: usize,
    },
    /// Every event that holds a multi-byte character is sent as two chunks, split inside it.
    SplitUtf8,
    /// Status 200 with a JSON body where audio is due.
    #[serde(rename = "non_audio_200")]
    NonAudio200,
    /// A fatal alert (`handshake_failure`) answers the ClientHello. Not for a request's own plan.
    BadHandshake,
}

fn one() -> usize {
    1
}

impl Fault {
    /// The `kind` of the JSON form.
    pub fn as_str(&self) -> &'static str {
        match self {
            Fault::RateLimited { .. } => "rate_limited",
            Fault::Overloaded => "overloaded",
            Fault::ServerError => "server_error",
            Fault::Hang => "hang",
            Fault::ResetBeforeFirstToken { .. } => "reset_before_first_token",
            Fault::ResetAfterFirstToken { .. } => "reset_after_first_token",
            Fault::ErrorEventAfter200 { .. } => "error_event_after_200",
            Fault::SplitUtf8 => "split_utf8",
            Fault::NonAudio200 => "non_audio_200",
            Fault::BadHandshake => "bad_handshake",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_from_its_name() {
        for kind in [
            "rate_limited",
            "overloaded",
            "server_error",
            "hang",
            "reset_before_first_token",
            "reset_after_first_token",
            "error_event_after_200",
            "split_utf8",
            "non_audio_200",
            "bad_handshake",
        ] {
            let fault: Fault = serde_json::from_str(&format!(r#"{{"kind":"{kind}"}}"#)).unwrap();
            assert_eq!(fault.as_str(), kind);
            let written: serde_json::Value = serde_json::to_value(fault).unwrap();
            assert_eq!(written["kind"], kind);
        }
    }
}
