//! One logical call: its attempts, the pauses between them, and its deadlines.
//!
//! Attempts may follow one another only until the first chunk of content; from then on the caller
//! has it and a retry would repeat it. An answer that ends without any has failed.

use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    AdmissionMetrics, BreakerConfig, ErrorKind, ProviderError, Reporter, RetryPolicy, Timeouts,
    admission::Admission,
    attempt_timings::AttemptRecorder,
    outcome::Outcome,
    report::{AttemptClock, CallClock, Observer},
};

/// A chunk of a streamed answer.
pub(crate) trait Chunk: Send + 'static {
    /// Whether the answer is complete with this chunk, which then is no content itself.
    fn is_end(&self) -> bool;

    /// Whether it only shows that the answer is being made. The caller does not receive it.
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

impl Chunk for Bytes {
    fn is_end(&self) -> bool {
        false
    }
}

/// The chunks of one answer. Ends after an error, after a chunk that `is_end`, or with `None`,
/// which then means that the answer is complete.
pub(crate) type ChunkStream<T> = BoxStream<'static, Result<T, ProviderError>>;

/// Runs calls: with their limits, retries and reports.
#[derive(Debug, Clone)]
pub(crate) struct CallRunner {
    pub reporter: Reporter,
    pub timeouts: Timeouts,
    pub retry: RetryPolicy,
    pub admission: Admission,
    /// Whether another provider is asked when a call fails.
    pub has_fallback: bool,
}

impl CallRunner {
    /// Runs the calls that `reporter` reports, with an admission of their own.
    pub(crate) fn new(
        reporter: Reporter,
        timeouts: Timeouts,
        retry: RetryPolicy,
        max_concurrent: usize,
        breaker: BreakerConfig,
        admission: &AdmissionMetrics,
    ) -> Self {
        let series = admission.of(reporter.kind, &reporter.provider, &reporter.model);
        let admission =
            Admission::new(reporter.provider.clone(), max_concurrent, breaker, &timeouts, series);
        Self { reporter, timeouts, retry, admission, has_fallback: false }
    }

    /// Runs attempts until one has its first chunk, and returns that attempt's whole answer.
    pub(crate) async fn run<T, O, F, Fut>(
        &self,
        observer: O,
        attempt: F,
    ) -> Result<ChunkStream<T>, ProviderError>
    where
        T: Chunk,
        O: Observer,
        F: Fn(AttemptRecorder) -> Fut,
        Fut: Future<Output = Result<ChunkStream<T>, ProviderError>>,
    {
        let mut call = CallClock::start(observer.clone(), self.reporter.call());
        let deadline = call.started + self.timeouts.total;
        let mut retries = 0;
        loop {
            let recorder = call.record.attempt();
            let mut clock = AttemptClock::start(observer.clone(), recorder.clone());
            let begun = match self.admission.acquire(deadline).await {
                Ok(permit) => {
                    let admitted = permit.admitted;
                    clock.permit = Some(permit);
                    self.begin(attempt(recorder), admitted, deadline).await
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
            // The next request leaves out what was refused, so it is not a retry: it needs no pause, and
            // takes none of the retries.
            if error.amended {
                continue;
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            let pause = self.retry.pause(retries, &error, remaining, self.has_fallback);
            // A retry that the breaker would refuse is not waited for.
            let Some(pause) =
                pause.filter(|pause| !self.admission.refuses(Instant::now() + *pause))
            else {
                call.outcome = Outcome::Failed(error.kind);
                return Err(ProviderError { call_id: call.record.id, ..error });
            };
            call.record.backing_off = true;
            sleep(pause).await;
            // Counted after the pause: in it the caller may give up.
            observer.retried(error.kind);
            retries += 1;
        }
    }

    /// Waits for an attempt's first content. Each sign of progress restarts the timeout, within the call's
    /// time.
    async fn begin<T: Chunk>(
        &self,
        attempt: impl Future<Output = Result<ChunkStream<T>, ProviderError>>,
        admitted: Instant,
        deadline: Instant,
    ) -> Result<(T, ChunkStream<T>), ProviderError> {
        let limit = |since: Instant| deadline.min(since + self.timeouts.first_content);
        let late = |_elapsed| self.timed_out();
        let mut until = limit(admitted);
        let mut chunks = timeout_at(until, attempt).await.map_err(late)??;
        loop {
            match timeout_at(until, chunks.next()).await.map_err(late)?.transpose()? {
                Some(chunk) if chunk.is_progress() => until = limit(Instant::now()),
                Some(chunk) if chunk.is_refusal() => return Err(self.error(ErrorKind::Refusal)),
                Some(chunk) if chunk.is_end() => return Err(self.error(ErrorKind::EmptyAnswer)),
                Some(first) => return Ok((first, chunks)),
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
    rest: ChunkStream<T>,
    deadline: Instant,
    timed_out: ProviderError,
}

impl<T: Chunk, O: Observer> Answer<T, O> {
    fn end(mut self, outcome: Outcome) {
        self.call.outcome = outcome;
        self.clock.end(outcome);
    }

    /// One step of the stream: the next chunk, and the answer itself unless it is over.
    async fn next(answer: Option<Self>) -> Option<(Result<T, ProviderError>, Option<Self>)> {
        let mut answer = answer?;
        let chunk = match answer.first.take() {
            Some(first) => Some(Ok(first)),
            None => timeout_at(answer.deadline, next_content(&mut answer.rest))
                .await
                .unwrap_or_else(|_elapsed| Some(Err(answer.timed_out.clone()))),
        };
        match chunk {
            Some(Ok(chunk)) if !chunk.is_end() => Some((Ok(chunk), Some(answer))),
            Some(Ok(end)) => {
                answer.clock.output_tokens = end.output_tokens();
                answer.end(Outcome::Success);
                Some((Ok(end), None))
            }
            Some(Err(error)) => {
                answer.call.outcome = Outcome::Failed(error.kind);
                answer.clock.fail(&error);
                let call_id = answer.call.record.id;
                Some((Err(ProviderError { call_id, ..error }), None))
            }
            None => {
                answer.end(Outcome::Success);
                None
            }
        }
    }
}

/// The next chunk that is not merely a sign of progress.
async fn next_content<T: Chunk>(chunks: &mut ChunkStream<T>) -> Option<Result<T, ProviderError>> {
    loop {
        match chunks.next().await {
            Some(Ok(chunk)) if chunk.is_progress() => {}
            chunk => return chunk,
        }
    }
}

#[cfg(test)]
mod tests;
