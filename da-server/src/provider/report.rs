//! What is reported of calls and their attempts, and the clocks that report it.
//!
//! Everything is reported from `Drop`, so a call that fails or is given up leaves its samples like
//! one that succeeds.

use std::time::Duration;

use tokio::time::Instant;

use super::admission::AttemptPermit;
use super::attempt_timings::AttemptRecorder;
use super::outcome::{CallOutcome, Outcome};
use super::reporter::CallRecord;
use super::{ErrorKind, ProviderError};

/// What a finished attempt tells its observer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptReport {
    pub outcome: Outcome,
    pub took: Duration,
    /// From the start of the attempt to its first content. Only of attempts that had content, and were
    /// successful or cancelled after it: without those that players interrupt, it would be the figure of
    /// short answers.
    pub first_content: Option<Duration>,
    /// Tokens of the answer that could be seen coming, if the provider counted them. Only of
    /// successful attempts.
    pub output_tokens: Option<u64>,
    /// Whether there was content, however it ended.
    pub had_content: bool,
}

impl AttemptReport {
    /// The mean time from one output token to the next. Needs two tokens to have a next one.
    pub(crate) fn per_output_token(&self) -> Option<Duration> {
        let gaps = u32::try_from(self.output_tokens?.checked_sub(1)?).ok()?;
        self.took.checked_sub(self.first_content?)?.checked_div(gaps)
    }
}

/// Receives the timings of calls. Implemented by the metrics of `llm` and `tts`.
pub(crate) trait Observer: Clone + Send + Sync + 'static {
    fn attempt_ended(&self, report: AttemptReport);
    fn retried(&self, reason: ErrorKind);
    fn call_ended(&self, took: Duration, outcome: CallOutcome);
}

/// Times a logical call from its making to its dropping.
pub(super) struct CallClock<O: Observer> {
    pub(super) started: Instant,
    pub(super) record: CallRecord,
    /// How the call ended. A call that is dropped before that is known was cancelled.
    pub(super) outcome: Outcome,
    observer: O,
}

impl<O: Observer> CallClock<O> {
    pub(super) fn start(observer: O, record: CallRecord) -> Self {
        let outcome = Outcome::Failed(ErrorKind::Cancelled);
        Self { started: Instant::now(), record, outcome, observer }
    }
}

impl<O: Observer> Drop for CallClock<O> {
    fn drop(&mut self) {
        self.observer.call_ended(self.started.elapsed(), self.outcome.into());
    }
}

/// Times an attempt. One that is dropped before its outcome is known was cancelled.
pub(super) struct AttemptClock<O: Observer> {
    pub(super) started: Instant,
    first_content: Option<Duration>,
    pub(super) output_tokens: Option<u64>,
    /// Its permit, once it is admitted.
    pub(super) permit: Option<AttemptPermit>,
    outcome: Outcome,
    recorder: AttemptRecorder,
    observer: O,
}

impl<O: Observer> AttemptClock<O> {
    pub(super) fn start(observer: O, recorder: AttemptRecorder) -> Self {
        Self {
            started: Instant::now(),
            first_content: None,
            output_tokens: None,
            permit: None,
            outcome: Outcome::Failed(ErrorKind::Cancelled),
            recorder,
            observer,
        }
    }

    /// Its first content is there.
    pub(super) fn first_content(&mut self) {
        self.first_content = Some(self.started.elapsed());
        self.recorder.first_content();
        if let Some(permit) = &mut self.permit {
            permit.first_content();
        }
    }

    pub(super) fn fail(self, error: &ProviderError) {
        self.recorder.failed(error);
        self.end(Outcome::Failed(error.kind));
    }

    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl<O: Observer> Drop for AttemptClock<O> {
    fn drop(&mut self) {
        self.recorder.ended(self.outcome);
        if let Some(permit) = self.permit.take() {
            permit.end(self.outcome);
        }
        let succeeded = self.outcome == Outcome::Success;
        let was_given_up = self.outcome == Outcome::Failed(ErrorKind::Cancelled);
        self.observer.attempt_ended(AttemptReport {
            outcome: self.outcome,
            took: self.started.elapsed(),
            first_content: self.first_content.filter(|_| succeeded || was_given_up),
            output_tokens: self.output_tokens.filter(|_| succeeded),
            had_content: self.first_content.is_some(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(first_content: Option<u64>, output_tokens: Option<u64>) -> AttemptReport {
        AttemptReport {
            outcome: Outcome::Success,
            took: Duration::from_millis(900),
            first_content: first_content.map(Duration::from_millis),
            output_tokens,
            had_content: first_content.is_some(),
        }
    }

    #[test]
    fn the_gaps_between_tokens_share_the_time_after_the_first() {
        let each = report(Some(100), Some(5)).per_output_token();
        assert_eq!(each, Some(Duration::from_millis(200)));
        let one_gap = report(Some(100), Some(2)).per_output_token();
        assert_eq!(one_gap, Some(Duration::from_millis(800)));
    }

    #[test]
    fn without_a_second_token_or_a_count_there_is_no_time_between_tokens() {
        for (first_content, output_tokens) in
            [(Some(100), Some(1)), (Some(100), Some(0)), (Some(100), None), (None, Some(5))]
        {
            assert_eq!(report(first_content, output_tokens).per_output_token(), None);
        }
    }
}
