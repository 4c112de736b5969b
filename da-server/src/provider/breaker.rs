//! A circuit breaker: a provider that fails again and again is left alone for a while, then tried
//! with a single attempt.
//!
//! No clock and no lock in here: whoever asks says what time it is.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::{ErrorKind, Outcome};

/// When a provider is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerConfig {
    /// Failed attempts in a row that open it; 0 switches it off.
    pub failures: u32,
    /// How long it stays open before one attempt may try. Key `cool_down_seconds`.
    #[serde(rename = "cool_down_seconds", with = "super::seconds")]
    pub cool_down: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 10, cool_down: Duration::from_secs(10) }
    }
}

/// What a breaker does with attempts: label value of `provider_breaker_state{state}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakerState {
    /// It lets them pass.
    Closed,
    /// It refuses them.
    Open,
    /// One is trying; the others are refused.
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

/// What an attempt has shown of its provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It works. A refusal shows that as well as an answer does.
    Healthy,
    /// It does not.
    Failing,
    /// Nothing.
    Nothing,
}

impl Verdict {
    /// The verdict of an attempt that took `took` and would have been given `patience` in any case.
    /// A time-out says something of the provider only if it had that long: the call may have spent
    /// most of its time waiting for its turn, or in a process that stood still. A connection that
    /// failed in such a process says nothing either: we may have let it wait for too long.
    pub(crate) fn of(
        outcome: Outcome,
        took: Duration,
        stood_still: Duration,
        patience: Duration,
    ) -> Self {
        let Outcome::Failed(kind) = outcome else { return Self::Healthy };
        match kind {
            ErrorKind::Overloaded
            | ErrorKind::Server
            | ErrorKind::Protocol
            | ErrorKind::NotAudio
            | ErrorKind::EmptyAnswer => Self::Failing,
            ErrorKind::Connect | ErrorKind::Tls | ErrorKind::Interrupted
                if stood_still.is_zero() =>
            {
                Self::Failing
            }
            ErrorKind::Timeout if took.saturating_sub(stood_still) >= patience => Self::Failing,
            ErrorKind::RateLimited
            | ErrorKind::Authentication
            | ErrorKind::Quota
            | ErrorKind::InvalidRequest
            | ErrorKind::Refusal => Self::Healthy,
            ErrorKind::Connect
            | ErrorKind::Tls
            | ErrorKind::Interrupted
            | ErrorKind::Timeout
            | ErrorKind::Saturated
            | ErrorKind::CircuitOpen
            | ErrorKind::Cancelled => Self::Nothing,
        }
    }
}

/// How an attempt was let through; handed back with its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Regular,
    /// The one that tries a provider which failed.
    Trial,
}

#[derive(Debug)]
pub(crate) struct Breaker {
    config: BreakerConfig,
    circuit: Circuit,
}

#[derive(Debug)]
enum Circuit {
    /// So many failures in a row.
    Closed {
        failures: u32,
    },
    Open {
        since: Instant,
    },
    /// One is trying; opened then.
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

    /// Lets an attempt through, or does not. Each that is let through must [`conclude`].
    ///
    /// [`conclude`]: Self::conclude
    pub(crate) fn admit(&mut self, now: Instant) -> Option<Admission> {
        if self.refuses(now) {
            return None;
        }
        let Circuit::Open { since } = self.circuit else { return Some(Admission::Regular) };
        self.circuit = Circuit::HalfOpen { since };
        Some(Admission::Trial)
    }

    /// An attempt has ended. Those that began before the breaker opened have no say any more.
    pub(crate) fn conclude(&mut self, admission: Admission, verdict: Verdict, now: Instant) {
        match (admission, &mut self.circuit) {
            (Admission::Regular, Circuit::Closed { failures }) => match verdict {
                Verdict::Healthy => *failures = 0,
                Verdict::Failing => {
                    *failures += 1;
                    if *failures == self.config.failures {
                        self.circuit = Circuit::Open { since: now };
                    }
                }
                Verdict::Nothing => {}
            },
            (Admission::Trial, Circuit::HalfOpen { since }) => {
                self.circuit = match verdict {
                    Verdict::Healthy => Circuit::Closed { failures: 0 },
                    Verdict::Failing => Circuit::Open { since: now },
                    // The next one may try at once.
                    Verdict::Nothing => Circuit::Open { since: *since },
                };
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
