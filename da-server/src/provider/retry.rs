//! When a failed attempt is followed by another, and after how long.

use std::time::Duration;

use serde::Deserialize;

use super::{ErrorKind, ProviderError};

/// How often a logical call is tried again, and how the pauses grow.
///
/// The defaults are those of the official SDKs: 2 retries, pauses of 0.5 s doubling up to 8 s,
/// each shortened by up to a quarter at random.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetryPolicy {
    /// Attempts after the first; 0 switches retries off.
    pub max_retries: u32,
    /// Pause before the first retry. Key `initial_backoff_seconds`.
    #[serde(rename = "initial_backoff_seconds", with = "super::seconds")]
    pub initial_backoff: Duration,
    /// No pause of our own is longer than this. Key `max_backoff_seconds`.
    #[serde(rename = "max_backoff_seconds", with = "super::seconds")]
    pub max_backoff: Duration,
    /// Share of each pause that chance may take away, 0 to 1.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 2,
            initial_backoff: Duration::from_millis(500),
            max_backoff: Duration::from_secs(8),
            jitter: 0.25,
        }
    }
}

impl RetryPolicy {
    /// The pause before retry number `retry` (0 is the first) after `error`, or `None` when the
    /// call is to fail now: no retries left, an error that a retry will not mend, or a pause that
    /// would outlast `remaining`, the time left for the whole call. With somebody else to ask, no
    /// longer pause is made for a provider than we would make ourselves.
    pub(crate) fn pause(
        &self,
        retry: u32,
        error: &ProviderError,
        remaining: Duration,
        has_fallback: bool,
    ) -> Option<Duration> {
        if retry >= self.max_retries || !error.may_retry() {
            return None;
        }
        let pause = match error.advice.after {
            Some(asked) if has_fallback && asked > self.max_backoff => return None,
            Some(asked) => asked,
            None => self.reset(error).unwrap_or_else(|| self.backoff(retry, rand::random())),
        };
        (pause < remaining).then_some(pause)
    }

    /// When the limit that was hit is whole again, unless that is longer than we would pause: a part
    /// of it, which may be enough, is there sooner.
    fn reset(&self, error: &ProviderError) -> Option<Duration> {
        let limited = error.kind == ErrorKind::RateLimited;
        error.advice.reset.filter(|reset| limited && *reset <= self.max_backoff)
    }

    /// Exponential back-off; `chance` in 0..1 takes its share of the jitter away.
    fn backoff(&self, retry: u32, chance: f64) -> Duration {
        let doubled = self.initial_backoff.saturating_mul(2u32.saturating_pow(retry));
        let kept = 1.0 - self.jitter.clamp(0.0, 1.0) * chance;
        doubled.min(self.max_backoff).mul_f64(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::RetryAdvice;
    use crate::provider::advice::tests::advice;

    const MINUTE: Duration = Duration::from_secs(60);

    fn error(kind: ErrorKind, advice: RetryAdvice) -> ProviderError {
        ProviderError { advice, ..ProviderError::new(&"anthropic".into(), kind) }
    }

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let policy = RetryPolicy::default();
        let seconds: Vec<_> = (0..6).map(|n| policy.backoff(n, 0.0).as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]);
        assert_eq!(policy.backoff(u32::MAX, 0.0), policy.max_backoff);
    }

    #[test]
    fn jitter_only_shortens_and_at_most_by_its_share() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.backoff(0, 1.0), Duration::from_millis(375));
        for _ in 0..100 {
            let error = error(ErrorKind::Server, RetryAdvice::default());
            let pause = policy.pause(0, &error, MINUTE, false).unwrap();
            assert!((375..=500).contains(&pause.as_millis()), "{pause:?}");
        }
    }

    #[test]
    fn retries_are_counted() {
        let policy = RetryPolicy::default();
        let error = error(ErrorKind::Overloaded, RetryAdvice::default());
        assert!(policy.pause(1, &error, MINUTE, false).is_some());
        assert_eq!(policy.pause(2, &error, MINUTE, false), None);
    }

    #[test]
    fn lasting_errors_are_not_retried_unless_the_provider_says_so() {
        let policy = RetryPolicy::default();
        let silent = error(ErrorKind::Authentication, RetryAdvice::default());
        assert_eq!(policy.pause(0, &silent, MINUTE, false), None);
        let asked = error(ErrorKind::Authentication, advice(&[("x-should-retry", "true")]));
        assert!(policy.pause(0, &asked, MINUTE, false).is_some());
    }

    #[test]
    fn the_provider_may_forbid_a_retry() {
        let forbidden = error(ErrorKind::Server, advice(&[("x-should-retry", "false")]));
        assert_eq!(RetryPolicy::default().pause(0, &forbidden, MINUTE, false), None);
    }

    #[test]
    fn without_a_retry_after_a_limit_that_is_used_up_is_waited_for() {
        let policy = RetryPolicy::default();
        let pause = |kind, pairs: &[(&'static str, &str)]| {
            policy.pause(0, &error(kind, advice(pairs)), MINUTE, false).unwrap().as_millis()
        };
        let used_up = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "3s")];
        assert_eq!(pause(ErrorKind::RateLimited, &used_up), 3000);
        assert_eq!(
            pause(ErrorKind::RateLimited, &[&used_up[..], &[("retry-after", "2")]].concat()),
            2000
        );
        let own = 375..=500;
        assert!(own.contains(&pause(ErrorKind::Server, &used_up)), "not what was hit");
        let some_left = [("x-ratelimit-remaining-tokens", "9"), used_up[1]];
        assert!(own.contains(&pause(ErrorKind::RateLimited, &some_left)));
        let far = [used_up[0], ("x-ratelimit-reset-tokens", "6m0s")];
        assert!(
            own.contains(&pause(ErrorKind::RateLimited, &far)),
            "longer than any pause of ours"
        );
    }

    #[test]
    fn a_pause_that_outlasts_the_call_fails_it_now() {
        let policy = RetryPolicy::default();
        let limited = error(ErrorKind::RateLimited, advice(&[("retry-after", "30")]));
        assert_eq!(policy.pause(0, &limited, MINUTE, false), Some(MINUTE / 2));
        assert_eq!(policy.pause(0, &limited, MINUTE / 2, false), None);
    }

    #[test]
    fn with_somebody_else_to_ask_a_long_pause_is_not_made() {
        let policy = RetryPolicy::default();
        let pause = |seconds: &str| {
            let limited = error(ErrorKind::RateLimited, advice(&[("retry-after", seconds)]));
            policy.pause(0, &limited, MINUTE, true)
        };
        assert_eq!(pause("8"), Some(policy.max_backoff));
        assert_eq!(pause("9"), None);
    }
}
