//! One logical call: its attempts, the pauses between them, and its deadlines.
//!
//! Attempts may follow one another only until the first piece of content; from then on the caller
//! has it and a retry would repeat it.

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    BreakerConfig, ErrorKind, GateMetrics, ProviderError, Reporter, RetryPolicy, Timeouts,
    gate::Gate,
    report::{AttemptClock, CallClock, Observer, Outcome},
    span::Span,
};

/// A piece of an answer.
pub(crate) trait Piece: Send + 'static {
    /// Whether the answer is complete with this piece, which then is no content itself.
    fn is_end(&self) -> bool;

    /// With the end of an answer: how many tokens it was streamed in, if the provider told.
    fn output_tokens(&self) -> Option<u64> {
        None
    }
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
    pub reporter: Reporter,
    pub timeouts: Timeouts,
    pub retry: RetryPolicy,
    pub gate: Gate,
}

impl Plan {
    /// For the calls that `reporter` reports, behind a gate of their own with series among `gates`.
    pub(crate) fn new(
        reporter: Reporter,
        timeouts: Timeouts,
        retry: RetryPolicy,
        max_concurrent: usize,
        breaker: BreakerConfig,
        gates: &GateMetrics,
    ) -> Self {
        let series = gates.of(reporter.kind, reporter.provider, &reporter.model);
        let gate = Gate::new(reporter.provider, max_concurrent, breaker, &timeouts, series);
        Self { reporter, timeouts, retry, gate }
    }

    /// Runs attempts until one has its first piece, and returns that attempt's whole answer.
    pub(crate) async fn run<T, O, F, Fut>(
        &self,
        observer: O,
        attempt: F,
    ) -> Result<Pieces<T>, ProviderError>
    where
        T: Piece,
        O: Observer,
        F: Fn(Span) -> Fut,
        Fut: Future<Output = Result<Pieces<T>, ProviderError>>,
    {
        let mut call = CallClock::start(observer.clone(), self.reporter.call());
        let deadline = call.started + self.timeouts.total;
        let mut retries = 0;
        loop {
            let span = call.notes.attempt();
            let mut clock = AttemptClock::start(observer.clone(), span.clone());
            let begun = match self.gate.enter(deadline).await {
                Ok(pass) => {
                    let limit = deadline.min(pass.admitted + self.timeouts.first_content);
                    clock.pass = Some(pass);
                    timeout_at(limit, begin(self.reporter.provider, attempt(span)))
                        .await
                        .unwrap_or_else(|_elapsed| Err(self.timed_out()))
                }
                Err(error) => Err(error),
            };
            let error = match begun {
                Ok((first, rest)) => {
                    if !first.is_end() {
                        clock.first_content();
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
            clock.fail(&error);
            let remaining = deadline.saturating_duration_since(Instant::now());
            let pause = self.retry.pause(retries, &error, remaining);
            // A retry that would only be refused is not waited for.
            let Some(pause) = pause.filter(|pause| !self.gate.refuses(Instant::now() + *pause))
            else {
                return Err(error);
            };
            observer.retried(error.kind);
            retries += 1;
            call.notes.backing_off = true;
            sleep(pause).await;
        }
    }

    fn timed_out(&self) -> ProviderError {
        ProviderError::new(self.reporter.provider, ErrorKind::Timeout)
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
                answer.clock.output_tokens = end.output_tokens();
                answer.clock.end(Outcome::Success);
                Some((Ok(end), None))
            }
            Some(Err(error)) => {
                answer.clock.fail(&error);
                Some((Err(error), None))
            }
            None => {
                answer.clock.end(Outcome::Success);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
