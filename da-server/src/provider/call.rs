//! One logical call: its attempts, the pauses between them, its deadlines, and what of it is
//! reported.
//!
//! Attempts may follow one another only until the first piece of content; from then on the caller
//! has it and a retry would repeat it. Everything is reported from `Drop`, so a call that fails or
//! is given up leaves its samples like one that succeeds.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{ErrorKind, ProviderError, RetryPolicy, Timeouts};

/// Edges for the time to the first piece of content: those of OTel GenAI's
/// `gen_ai.server.time_to_first_token`.
pub(crate) const FIRST_CONTENT_EDGES_SECONDS: [f64; 16] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

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

/// A piece of an answer.
pub(crate) trait Piece: Send + 'static {
    /// Whether the answer is complete with this piece, which then is no content itself.
    fn is_end(&self) -> bool;
}

impl Piece for Bytes {
    fn is_end(&self) -> bool {
        false
    }
}

/// The pieces of one answer. Ends after an error, after a piece that `is_end`, or with `None`,
/// which then means that the answer is complete.
pub(crate) type Pieces<T> = BoxStream<'static, Result<T, ProviderError>>;

/// The limits of a call.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub provider: &'static str,
    pub timeouts: Timeouts,
    pub retry: RetryPolicy,
}

impl Plan {
    /// Runs attempts until one has its first piece, and returns that attempt's whole answer.
    pub(crate) async fn run<T, O, F, Fut>(
        &self,
        observer: O,
        attempt: F,
    ) -> Result<Pieces<T>, ProviderError>
    where
        T: Piece,
        O: Observer,
        F: Fn() -> Fut,
        Fut: Future<Output = Result<Pieces<T>, ProviderError>>,
    {
        let call = CallClock::start(observer.clone());
        let deadline = call.started + self.timeouts.total;
        let mut retries = 0;
        loop {
            let mut clock = AttemptClock::start(observer.clone());
            let limit = deadline.min(clock.started + self.timeouts.first_content);
            let begun = timeout_at(limit, begin(self.provider, attempt()))
                .await
                .unwrap_or_else(|_elapsed| Err(self.timed_out()));
            let error = match begun {
                Ok((first, rest)) => {
                    if !first.is_end() {
                        clock.first_content = Some(clock.started.elapsed());
                    }
                    let answer = Answer {
                        clock,
                        _call: call,
                        first: Some(first),
                        rest,
                        deadline,
                        timed_out: self.timed_out(),
                    };
                    return Ok(stream::unfold(Some(answer), Answer::next).boxed());
                }
                Err(error) => error,
            };
            clock.end(Outcome::Failed(error.kind));
            let remaining = deadline.saturating_duration_since(Instant::now());
            let Some(pause) = self.retry.pause(retries, &error, remaining) else {
                return Err(error);
            };
            observer.retried(error.kind);
            retries += 1;
            sleep(pause).await;
        }
    }

    fn timed_out(&self) -> ProviderError {
        ProviderError::new(self.provider, ErrorKind::Timeout)
    }
}

/// Waits for an attempt's first piece.
async fn begin<T>(
    provider: &'static str,
    attempt: impl Future<Output = Result<Pieces<T>, ProviderError>>,
) -> Result<(T, Pieces<T>), ProviderError> {
    let mut pieces = attempt.await?;
    match pieces.next().await {
        Some(first) => Ok((first?, pieces)),
        None => Err(ProviderError::new(provider, ErrorKind::Interrupted)),
    }
}

/// An answer that has begun. Fields drop in this order: the attempt ends before its call.
struct Answer<T, O: Observer> {
    clock: AttemptClock<O>,
    _call: CallClock<O>,
    first: Option<T>,
    rest: Pieces<T>,
    deadline: Instant,
    timed_out: ProviderError,
}

impl<T: Piece, O: Observer> Answer<T, O> {
    /// One step of the stream: the next piece, and the answer itself unless it is over.
    async fn next(answer: Option<Self>) -> Option<(Result<T, ProviderError>, Option<Self>)> {
        let mut answer = answer?;
        let piece = match answer.first.take() {
            Some(first) => Some(Ok(first)),
            None => timeout_at(answer.deadline, answer.rest.next())
                .await
                .unwrap_or_else(|_elapsed| Some(Err(answer.timed_out.clone()))),
        };
        match piece {
            Some(Ok(piece)) if !piece.is_end() => Some((Ok(piece), Some(answer))),
            Some(Ok(end)) => {
                answer.clock.end(Outcome::Success);
                Some((Ok(end), None))
            }
            Some(Err(error)) => {
                answer.clock.end(Outcome::Failed(error.kind));
                Some((Err(error), None))
            }
            None => {
                answer.clock.end(Outcome::Success);
                None
            }
        }
    }
}

/// Times a logical call from its making to its dropping.
struct CallClock<O: Observer> {
    started: Instant,
    observer: O,
}

impl<O: Observer> CallClock<O> {
    fn start(observer: O) -> Self {
        Self {
            started: Instant::now(),
            observer,
        }
    }
}

impl<O: Observer> Drop for CallClock<O> {
    fn drop(&mut self) {
        self.observer.call_ended(self.started.elapsed());
    }
}

/// Times an attempt. Dropped before its outcome is known, it was cancelled.
struct AttemptClock<O: Observer> {
    started: Instant,
    first_content: Option<Duration>,
    outcome: Outcome,
    observer: O,
}

impl<O: Observer> AttemptClock<O> {
    fn start(observer: O) -> Self {
        Self {
            started: Instant::now(),
            first_content: None,
            outcome: Outcome::Failed(ErrorKind::Cancelled),
            observer,
        }
    }

    fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl<O: Observer> Drop for AttemptClock<O> {
    fn drop(&mut self) {
        self.observer.attempt_ended(AttemptReport {
            outcome: self.outcome,
            took: self.started.elapsed(),
            first_content: self
                .first_content
                .filter(|_| self.outcome == Outcome::Success),
        });
    }
}
