//! A circuit breaker: it opens after repeated failures and refuses attempts for a while. Then a single
//! attempt, the probe, decides whether it closes.
//!
//! It has no clock and no lock: the caller passes the time.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::{ErrorKind, Outcome};

/// When the circuit breaker opens, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Consecutive failed attempts that open it; 0 switches it off.
    pub failures: u32,
    /// How long it stays open before it lets a probe through. Key `cool_down_seconds`.
    #[serde(rename = "cool_down_seconds", with = "super::seconds")]
    pub cool_down: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 10, cool_down: Duration::from_secs(10) }
    }
}

/// The state of a breaker: label value of `provider_breaker_state{state}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerState {
    /// Attempts pass.
    Closed,
    /// Attempts are refused.
    Open,
    /// A probe is under way; other attempts are refused.
    HalfOpen,
}

impl BreakerState {
    pub(crate) const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// What the outcome of an attempt means to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerOutcome {
    /// The provider works. A refusal shows that as well as an answer does.
    Success,
    /// The provider does not work.
    Failure,
    /// It says nothing about the provider.
    Ignored,
}

impl BreakerOutcome {
    /// Classifies an attempt that took `took`. A time-out is the provider's failure only if the attempt
    /// had `min_timeout`, the shortest of the configured timeouts: the call may have spent most of its time
    /// waiting for a permit, or in a process that stood still. A connection that failed in such a process
    /// says nothing either: we may have let it wait for too long.
    pub(crate) fn of(
        outcome: Outcome,
        took: Duration,
        stood_still: Duration,
        min_timeout: Duration,
    ) -> Self {
        let Outcome::Failed(kind) = outcome else { return Self::Success };
        match kind {
            ErrorKind::Overloaded
            | ErrorKind::Server
            | ErrorKind::Protocol
            | ErrorKind::NotAudio
            | ErrorKind::EmptyAnswer => Self::Failure,
            ErrorKind::Connect | ErrorKind::Tls | ErrorKind::Interrupted
                if stood_still.is_zero() =>
            {
                Self::Failure
            }
            ErrorKind::Timeout if took.saturating_sub(stood_still) >= min_timeout => Self::Failure,
            ErrorKind::RateLimited
            | ErrorKind::Authentication
            | ErrorKind::Quota
            | ErrorKind::InvalidRequest
            | ErrorKind::Refusal => Self::Success,
            ErrorKind::Connect
            | ErrorKind::Tls
            | ErrorKind::Interrupted
            | ErrorKind::Timeout
            | ErrorKind::Saturated
            | ErrorKind::CircuitOpen
            | ErrorKind::Cancelled => Self::Ignored,
        }
    }
}

/// How the breaker let an attempt through; handed back with its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerPermit {
    Regular,
    /// The single attempt of a half-open breaker.
    Probe,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    config: BreakerConfig,
    circuit: Circuit,
}

#[derive(Debug)]
enum Circuit {
    /// Consecutive failures so far.
    Closed {
        failures: u32,
    },
    Open {
        since: Instant,
    },
    /// A probe is under way; `since` is when the breaker opened.
    HalfOpen {
        since: Instant,
    },
}

impl Breaker {
    pub(crate) fn new(config: BreakerConfig) -> Self {
        Self { config, circuit: Circuit::Closed { failures: 0 } }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.circuit {
            Circuit::Closed { .. } => BreakerState::Closed,
            Circuit::Open { .. } => BreakerState::Open,
            Circuit::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether an attempt at `when` would be refused, as far as can be known now.
    pub(crate) fn refuses(&self, when: Instant) -> bool {
        match self.circuit {
            Circuit::Closed { .. } => false,
            Circuit::Open { since } => when < since + self.config.cool_down,
            Circuit::HalfOpen { .. } => true,
        }
    }

    /// Lets an attempt through, or refuses it. The outcome of each permit must be [recorded](Self::record).
    pub(crate) fn admit(&mut self, now: Instant) -> Option<BreakerPermit> {
        if self.refuses(now) {
            return None;
        }
        let Circuit::Open { since } = self.circuit else { return Some(BreakerPermit::Regular) };
        self.circuit = Circuit::HalfOpen { since };
        Some(BreakerPermit::Probe)
    }

    /// Records how an attempt ended. Attempts that began before the breaker opened are ignored.
    pub(crate) fn record(&mut self, permit: BreakerPermit, outcome: BreakerOutcome, now: Instant) {
        match (permit, &mut self.circuit) {
            (BreakerPermit::Regular, Circuit::Closed { failures }) => match outcome {
                BreakerOutcome::Success => *failures = 0,
                BreakerOutcome::Failure => {
                    *failures += 1;
                    if *failures == self.config.failures {
                        self.circuit = Circuit::Open { since: now };
                    }
                }
                BreakerOutcome::Ignored => {}
            },
            (BreakerPermit::Probe, Circuit::HalfOpen { since }) => {
                self.circuit = match outcome {
                    BreakerOutcome::Success => Circuit::Closed { failures: 0 },
                    BreakerOutcome::Failure => Circuit::Open { since: now },
                    // The next probe may start at once.
                    BreakerOutcome::Ignored => Circuit::Open { since: *since },
                };
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
