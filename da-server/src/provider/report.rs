//! What is told of calls and their attempts, and the clocks that tell it.
//!
//! Everything is reported from `Drop`, so a call that fails or is given up leaves its samples like
//! one that succeeds.

use std::time::Duration;

use tokio::time::Instant;

use super::ErrorKind;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failed(ErrorKind),
}

impl Outcome {
    /// Every outcome, for pre-creating series.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Success).chain(ErrorKind::ALL.into_iter().map(Self::Failed))
    }

    /// The label value: `success` or that of the error kind.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed(kind) => kind.as_str(),
        }
    }
}

/// What a finished attempt tells its observer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptReport {
    pub outcome: Outcome,
    pub took: Duration,
    /// From the start of the attempt to its first content. Only of successful attempts that had
    /// content: the figure of an aborted or empty stream would mislead.
    pub first_content: Option<Duration>,
}

/// Receives the timings of calls. Implemented by the metrics of `llm` and `tts`.
pub(crate) trait Observer: Clone + Send + Sync + 'static {
    fn attempt_ended(&self, report: AttemptReport);
    fn retried(&self, reason: ErrorKind);
    fn call_ended(&self, took: Duration);
}

/// Times a logical call from its making to its dropping.
pub(super) struct CallClock<O: Observer> {
    pub(super) started: Instant,
    observer: O,
}

impl<O: Observer> CallClock<O> {
    pub(super) fn start(observer: O) -> Self {
        Self { started: Instant::now(), observer }
    }
}

impl<O: Observer> Drop for CallClock<O> {
    fn drop(&mut self) {
        self.observer.call_ended(self.started.elapsed());
    }
}

/// Times an attempt. Dropped before its outcome is known, it was cancelled.
pub(super) struct AttemptClock<O: Observer> {
    pub(super) started: Instant,
    pub(super) first_content: Option<Duration>,
    outcome: Outcome,
    observer: O,
}

impl<O: Observer> AttemptClock<O> {
    pub(super) fn start(observer: O) -> Self {
        Self {
            started: Instant::now(),
            first_content: None,
            outcome: Outcome::Failed(ErrorKind::Cancelled),
            observer,
        }
    }

    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl<O: Observer> Drop for AttemptClock<O> {
    fn drop(&mut self) {
        self.observer.attempt_ended(AttemptReport {
            outcome: self.outcome,
            took: self.started.elapsed(),
            first_content: self.first_content.filter(|_| self.outcome == Outcome::Success),
        });
    }
}
