//! Admission to a provider: a limit on the calls in flight, first come, first served, and a
//! [circuit breaker](super::breaker).

mod metrics;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::breaker::{Breaker, BreakerOutcome, BreakerPermit, BreakerState};
use super::{BreakerConfig, ErrorKind, Outcome, ProviderError, ProviderName, Timeouts};
use crate::metrics::GaugeGuard;
pub use metrics::AdmissionMetrics;
pub(crate) use metrics::AdmissionSeries;

/// Calls in flight at once, unless configured otherwise.
pub(crate) const DEFAULT_MAX_CONCURRENT: usize = 64;

/// Admits attempts to one provider and model. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    provider: ProviderName,
    permits: Arc<Semaphore>,
    breaker: Arc<Mutex<Breaker>>,
    /// The shortest of the timeouts: every attempt has at least this long.
    min_timeout: Duration,
    series: Arc<AdmissionSeries>,
}

impl Admission {
    pub(crate) fn new(
        provider: ProviderName,
        max_concurrent: usize,
        breaker: BreakerConfig,
        timeouts: &Timeouts,
        series: AdmissionSeries,
    ) -> Self {
        series.limit(max_concurrent);
        Self {
            provider,
            permits: Arc::new(Semaphore::new(max_concurrent)),
            breaker: Arc::new(Mutex::new(Breaker::new(breaker))),
            min_timeout: timeouts.first_content.min(timeouts.idle).min(timeouts.total),
            series: Arc::new(series),
        }
    }

    /// Waits for a permit until `deadline`.
    ///
    /// # Errors
    /// [`ErrorKind::CircuitOpen`], at once or when it opens during the wait, and
    /// [`ErrorKind::Saturated`] at the deadline.
    pub(super) async fn acquire(&self, deadline: Instant) -> Result<AttemptPermit, ProviderError> {
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
        let breaker_permit = self.with_breaker(|breaker| breaker.admit(now));
        let breaker_permit = breaker_permit.ok_or_else(|| self.error(ErrorKind::CircuitOpen))?;
        let in_flight = self.series.in_flight();
        let stood_still = self.series.stood_still();
        Ok(AttemptPermit {
            admitted: now,
            stood_still,
            breaker_permit,
            admission: self.clone(),
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

    /// Runs `act` on the breaker, and counts and logs a change of its state.
    fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.lock();
        let before = breaker.state();
        let done = act(&mut breaker);
        let after = breaker.state();
        if after != before {
            self.series.changed(before, after);
        }
        let [kind, provider, model] = self.series.labels();
        match (before, after) {
            (BreakerState::Closed, BreakerState::Open) => {
                tracing::warn!(kind, provider, model, "circuit breaker opened");
            }
            (BreakerState::HalfOpen, BreakerState::Closed) => {
                tracing::info!(kind, provider, model, "circuit breaker closed");
            }
            _ => {}
        }
        done
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the calls in flight.
#[derive(Debug)]
pub(super) struct AttemptPermit {
    pub(super) admitted: Instant,
    /// How long the process had stood still by then.
    stood_still: Duration,
    breaker_permit: BreakerPermit,
    admission: Admission,
    _in_flight: GaugeGuard,
    _permit: OwnedSemaphorePermit,
}

impl AttemptPermit {
    /// The attempt has its first content, so a probe closes the breaker now: other attempts must not wait
    /// until the answer is over, which may take as long as its reader likes.
    pub(super) fn first_content(&mut self) {
        if self.breaker_permit == BreakerPermit::Probe {
            let now = Instant::now();
            self.admission.with_breaker(|breaker| {
                breaker.record(BreakerPermit::Probe, BreakerOutcome::Success, now);
            });
            self.breaker_permit = BreakerPermit::Regular;
        }
    }

    /// Releases the permit, and records in the breaker how the attempt ended.
    pub(super) fn end(self, outcome: Outcome) {
        let now = Instant::now();
        let stood_still = self.admission.series.stood_still().saturating_sub(self.stood_still);
        let took = now - self.admitted;
        let outcome = BreakerOutcome::of(outcome, took, stood_still, self.admission.min_timeout);
        self.admission.with_breaker(|breaker| breaker.record(self.breaker_permit, outcome, now));
    }
}

#[cfg(test)]
pub(super) mod tests;
