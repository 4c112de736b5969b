//! A request as it was sent, and what its refusal or its answer teaches.

use std::num::NonZeroU64;
use std::sync::Arc;

use serde_json::Value;

use super::{
    LlmError, LlmEvent, Message,
    answer::Broken,
    complaint::{Complaint, complaint},
    event::Part,
    history,
    model::Model,
    parameter::Parameter,
};
use crate::provider::{ErrorKind, ReportedError, RetryAdvice, fallback::Labelled};

/// The status that a refusal in a stream would have had as an answer of its own.
const REFUSED: u16 = 400;

/// What is needed of a request once its answer comes.
pub(super) struct Sent {
    model: Arc<Model>,
    /// For the log.
    call_id: Option<NonZeroU64>,
    /// The optional parameters in it.
    parameters: Vec<Parameter>,
    lines: usize,
    bytes: usize,
    /// Lines and bytes of the newer half of the conversation, if there is less of it to show.
    half: Option<(usize, usize)>,
}

impl Sent {
    /// The request to `model` with this `body`, which shows `messages` and has what it could do without among
    /// `optional`.
    pub(super) fn new(
        model: &Arc<Model>,
        call_id: Option<NonZeroU64>,
        optional: &[Parameter],
        body: &Value,
        system: &str,
        messages: &[Message],
    ) -> Self {
        let optional = optional.iter().copied();
        let half = history::newer_half(messages);
        Self {
            model: model.clone(),
            call_id,
            parameters: optional.filter(|name| is_in(body, name.as_str())).collect(),
            lines: messages.len(),
            bytes: history::bytes(system, messages),
            half: half.map(|half| (half.len(), history::bytes(system, half))),
        }
    }

    /// A part of the answer came.
    pub(super) fn answered(&self, part: &Part) {
        if *part == Part::Event(LlmEvent::Complete) {
            self.model.longest.answered(self.bytes);
        }
    }

    /// The request was answered with this error in these words. If the next request will differ because of
    /// it, the error says so.
    pub(super) fn refused(&self, status: u16, words: &[u8], error: LlmError) -> LlmError {
        match complaint(status, words, &self.parameters) {
            None => error,
            Some(complaint) => {
                let amended = self.amend(complaint);
                LlmError { kind: ErrorKind::InvalidRequest, amended, ..error }
            }
        }
    }

    /// The same for an error that came with HTTP 200, in a stream or in its place. `advice` is what the
    /// answer's headers said.
    pub(super) fn refused_late(
        &self,
        reported: ReportedError,
        words: &[u8],
        advice: RetryAdvice,
    ) -> LlmError {
        let error = LlmError::in_stream(&self.model.provider, reported);
        let error = LlmError { advice: advice.or_from_body(words), ..error };
        match error.kind {
            ErrorKind::InvalidRequest | ErrorKind::Server => self.refused(REFUSED, words, error),
            _ => error,
        }
    }

    /// Why its answer has no more parts.
    pub(super) fn broken(&self, broken: Broken, advice: RetryAdvice) -> LlmError {
        match broken {
            Broken::Failed(error) => error,
            Broken::Refused { reported, words } => {
                self.refused_late(reported, words.as_bytes(), advice)
            }
        }
    }

    /// Learns from a refusal; whether the next request is another one.
    fn amend(&self, complaint: Complaint) -> bool {
        let [provider, model] = self.model.labels();
        match complaint {
            Complaint::Parameter(parameter) => {
                self.model.metrics.refused(parameter);
                if self.model.refused.refuses(parameter) {
                    let parameter = parameter.as_str();
                    tracing::warn!(
                        call_id = self.call_id,
                        provider,
                        model,
                        parameter,
                        "the model refuses a parameter, which requests leave out from now on"
                    );
                }
                true
            }
            Complaint::TooLong => {
                let Some((kept, half)) = self.half else { return false };
                self.model.longest.refused(self.bytes, half);
                self.model.metrics.history_cut();
                tracing::warn!(
                    call_id = self.call_id,
                    provider,
                    model,
                    lines = self.lines,
                    kept,
                    "the conversation is too long for the model, so requests leave out its older half: \
                     set context_tokens, or lower game.history_turns"
                );
                true
            }
        }
    }
}

/// Whether a request has this parameter, at its top or in one of its sections.
fn is_in(sent: &Value, name: &str) -> bool {
    let has = |part: &Value| part.get(name).is_some();
    has(sent) || sent.as_object().is_some_and(|parts| parts.values().any(has))
}

#[test]
fn a_parameter_may_be_in_a_section() {
    let sent = serde_json::json!({"contents": [], "generationConfig": {"temperature": 1}});
    assert!(is_in(&sent, "temperature") && is_in(&sent, "contents"));
    assert!(!is_in(&sent, "maxOutputTokens"));
}
