//! What stands before a provider: a limit on the calls in flight, first come, first served, and a
//! [circuit breaker](super::breaker).

mod metrics;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::breaker::{Admission, Breaker, BreakerState, Verdict};
use super::{BreakerConfig, ErrorKind, Outcome, ProviderError, ProviderName, Timeouts};
pub use metrics::GateMetrics;
pub(crate) use metrics::GateSeries;
use metrics::Present;

/// Calls in flight at once, unless configured otherwise.
pub(crate) const DEFAULT_MAX_CONCURRENT: usize = 64;

/// The gate of one provider and model. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    provider: ProviderName,
    permits: Arc<Semaphore>,
    breaker: Arc<Mutex<Breaker>>,
    /// What every attempt is given, however late it was let through.
    patience: Duration,
    series: Arc<GateSeries>,
}

impl Gate {
    pub(crate) fn new(
        provider: ProviderName,
        max_concurrent: usize,
        breaker: BreakerConfig,
        timeouts: &Timeouts,
        series: GateSeries,
    ) -> Self {
        series.limit(max_concurrent);
        Self {
            provider,
            permits: Arc::new(Semaphore::new(max_concurrent)),
            breaker: Arc::new(Mutex::new(Breaker::new(breaker))),
            patience: timeouts.first_content.min(timeouts.idle).min(timeouts.total),
            series: Arc::new(series),
        }
    }

    /// Waits for a place until `deadline`. The place is taken until the pass ends.
    ///
    /// # Errors
    /// [`ErrorKind::CircuitOpen`], at once or when it opens during the wait, and
    /// [`ErrorKind::Saturated`] at the deadline.
    pub(super) async fn enter(&self, deadline: Instant) -> Result<Pass, ProviderError> {
        if self.refuses(Instant::now()) {
            return Err(self.error(ErrorKind::CircuitOpen));
        }
        let waiting = self.series.waiting();
        let permit = match timeout_at(deadline, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            // Nobody closes the semaphore, so this is the deadline.
            Ok(Err(_)) | Err(_) => return Err(self.error(ErrorKind::Saturated)),
        };
        drop(waiting);
        let now = Instant::now();
        let admission = self.with_breaker(|breaker| breaker.admit(now));
        let admission = admission.ok_or_else(|| self.error(ErrorKind::CircuitOpen))?;
        let in_flight = self.series.in_flight();
        let stood_still = self.series.stood_still();
        let gate = self.clone();
        Ok(Pass {
            admitted: now,
            stood_still,
            admission,
            gate,
            _in_flight: in_flight,
            _permit: permit,
        })
    }

    /// Whether an attempt at `when` would be refused, as far as can be known now.
    pub(super) fn refuses(&self, when: Instant) -> bool {
        self.lock().refuses(when)
    }

    fn error(&self, kind: ErrorKind) -> ProviderError {
        ProviderError::new(&self.provider, kind)
    }

    /// Has `act` on the breaker, and tells the metrics what became of it.
    fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.lock();
        let before = breaker.state();
        let done = act(&mut breaker);
        let after = breaker.state();
        if after != before {
            self.series.changed(before, after);
        }
        match (before, after) {
            (BreakerState::Closed, BreakerState::Open) => {
                tracing::warn!(provider = %self.provider, "it keeps failing and is left alone for a while");
            }
            (BreakerState::HalfOpen, BreakerState::Closed) => {
                tracing::info!(provider = %self.provider, "it works again");
            }
            _ => {}
        }
        done
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the calls in flight.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) admitted: Instant,
    /// How long the process had stood still by then.
    stood_still: Duration,
    admission: Admission,
    gate: Gate,
    _in_flight: Present,
    _permit: OwnedSemaphorePermit,
}

impl Pass {
    /// The attempt has its first content: whoever answers works again. The others are not to wait
    /// until the answer is over, which may take as long as its reader likes. From now on it is an
    /// attempt like others.
    pub(super) fn begun(&mut self) {
        if self.admission == Admission::Trial {
            let now = Instant::now();
            self.gate.with_breaker(|breaker| {
                breaker.conclude(Admission::Trial, Verdict::Healthy, now);
            });
            self.admission = Admission::Regular;
        }
    }

    /// Gives the place back, and tells the breaker how the attempt ended.
    pub(super) fn end(self, outcome: Outcome) {
        let now = Instant::now();
        let stood_still = self.gate.series.stood_still().saturating_sub(self.stood_still);
        let took = now - self.admitted;
        let verdict = Verdict::of(outcome, took, stood_still, self.gate.patience);
        self.gate.with_breaker(|breaker| breaker.conclude(self.admission, verdict, now));
    }
}

#[cfg(test)]
pub(super) mod tests;
