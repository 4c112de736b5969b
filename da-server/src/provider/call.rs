//! One logical call: its attempts, the pauses between them, and its deadlines.
//!
//! Attempts may follow one another only until the first piece of content; from then on the caller
//! has it and a retry would repeat it. An answer that ends without any has failed.

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    BreakerConfig, ErrorKind, GateMetrics, ProviderError, Reporter, RetryPolicy, Timeouts,
    gate::Gate,
    outcome::Outcome,
    report::{AttemptClock, CallClock, Observer},
    span::Span,
};

/// A piece of an answer.
pub(crate) trait Piece: Send + 'static {
    /// Whether the answer is complete with this piece, which then is no content itself.
    fn is_end(&self) -> bool;

    /// Whether it only shows that the answer is being made. The caller does not get it.
    fn is_progress(&self) -> bool {
        false
    }

    /// With the end of an answer: whether the provider declined to give one. Without content it is then
    /// no answer that is only empty: asked again, the same provider would decline again.
    fn is_refusal(&self) -> bool {
        false
    }

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
    /// Whether somebody else is asked when a call fails.
    pub has_successor: bool,
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
        let series = gates.of(reporter.kind, &reporter.provider, &reporter.model);
        let gate = Gate::new(reporter.provider.clone(), max_concurrent, breaker, &timeouts, series);
        Self { reporter, timeouts, retry, gate, has_successor: false }
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
                    let admitted = pass.admitted;
                    clock.pass = Some(pass);
                    self.begin(attempt(span), admitted, deadline).await
                }
                Err(error) => Err(error),
            };
            let error = match begun {
                Ok((first, rest)) => {
                    clock.first_content();
                    let answer = Answer {
                        clock,
                        call,
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
            // What was refused is left out by now, so this is no second try of the same: it needs
            // no pause, and takes none of the retries.
            if error.amended {
                continue;
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            let pause = self.retry.pause(retries, &error, remaining, self.has_successor);
            // A retry that would only be refused is not waited for.
            let Some(pause) = pause.filter(|pause| !self.gate.refuses(Instant::now() + *pause))
            else {
                call.outcome = Outcome::Failed(error.kind);
                return Err(error);
            };
            call.notes.backing_off = true;
            sleep(pause).await;
            // Not before: in the pause the caller may give up.
            observer.retried(error.kind);
            retries += 1;
        }
    }

    /// Waits for an attempt's first content. Each sign of progress gives it as long again, within
    /// the call's time: who thinks aloud has not stopped.
    async fn begin<T: Piece>(
        &self,
        attempt: impl Future<Output = Result<Pieces<T>, ProviderError>>,
        admitted: Instant,
        deadline: Instant,
    ) -> Result<(T, Pieces<T>), ProviderError> {
        let limit = |since: Instant| deadline.min(since + self.timeouts.first_content);
        let late = |_elapsed| self.timed_out();
        let mut until = limit(admitted);
        let mut pieces = timeout_at(until, attempt).await.map_err(late)??;
        loop {
            match timeout_at(until, pieces.next()).await.map_err(late)?.transpose()? {
                Some(piece) if piece.is_progress() => until = limit(Instant::now()),
                Some(piece) if piece.is_refusal() => return Err(self.error(ErrorKind::Refusal)),
                Some(piece) if piece.is_end() => return Err(self.error(ErrorKind::EmptyAnswer)),
                Some(first) => return Ok((first, pieces)),
                None => return Err(self.error(ErrorKind::Interrupted)),
            }
        }
    }

    fn timed_out(&self) -> ProviderError {
        self.error(ErrorKind::Timeout)
    }

    fn error(&self, kind: ErrorKind) -> ProviderError {
        ProviderError::new(&self.reporter.provider, kind)
    }
}

/// An answer that has begun. Fields drop in this order: the attempt ends before its call.
struct Answer<T, O: Observer> {
    clock: AttemptClock<O>,
    call: CallClock<O>,
    first: Option<T>,
    rest: Pieces<T>,
    deadline: Instant,
    timed_out: ProviderError,
}

impl<T: Piece, O: Observer> Answer<T, O> {
    fn end(mut self, outcome: Outcome) {
        self.call.outcome = outcome;
        self.clock.end(outcome);
    }

    /// One step of the stream: the next piece, and the answer itself unless it is over.
    async fn next(answer: Option<Self>) -> Option<(Result<T, ProviderError>, Option<Self>)> {
        let mut answer = answer?;
        let piece = match answer.first.take() {
            Some(first) => Some(Ok(first)),
            None => timeout_at(answer.deadline, next_content(&mut answer.rest))
                .await
                .unwrap_or_else(|_elapsed| Some(Err(answer.timed_out.clone()))),
        };
        match piece {
            Some(Ok(piece)) if !piece.is_end() => Some((Ok(piece), Some(answer))),
            Some(Ok(end)) => {
                answer.clock.output_tokens = end.output_tokens();
                answer.end(Outcome::Success);
                Some((Ok(end), None))
            }
            Some(Err(error)) => {
                answer.call.outcome = Outcome::Failed(error.kind);
                answer.clock.fail(&error);
                Some((Err(error), None))
            }
            None => {
                answer.end(Outcome::Success);
                None
            }
        }
    }
}

/// The next piece that is more than a sign of progress.
async fn next_content<T: Piece>(pieces: &mut Pieces<T>) -> Option<Result<T, ProviderError>> {
    loop {
        match pieces.next().await {
            Some(Ok(piece)) if piece.is_progress() => {}
            piece => return piece,
        }
    }
}

#[cfg(test)]
mod tests;
