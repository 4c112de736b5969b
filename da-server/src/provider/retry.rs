//! When a failed attempt is followed by another, and after how long.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::{ErrorKind, ProviderError, rate_limit};

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
    /// would outlast `remaining`, the time left for the whole call.
    pub(crate) fn pause(
        &self,
        retry: u32,
        error: &ProviderError,
        remaining: Duration,
    ) -> Option<Duration> {
        if retry >= self.max_retries || !error.may_retry() {
            return None;
        }
        let pause = match error.advice.after {
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

/// What a provider's answer said about trying again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RetryAdvice {
    /// `x-should-retry`.
    pub should_retry: Option<bool>,
    /// `retry-after-ms`, else `retry-after` in seconds or as an HTTP date (RFC 9110 §10.2.3).
    pub after: Option<Duration>,
    /// Until every limit of which nothing is left is whole again.
    pub reset: Option<Duration>,
}

impl RetryAdvice {
    /// Reads the headers; one that makes no sense counts as absent.
    pub(crate) fn from_headers(headers: &HeaderMap, now: SystemTime) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let should_retry = match text("x-should-retry") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        };
        let after = text("retry-after-ms")
            .and_then(|value| seconds(value, 1e-3))
            .or_else(|| text("retry-after").and_then(|value| seconds(value, 1.0)))
            .or_else(|| text("retry-after").and_then(|value| until(value, now)));
        let used_up = rate_limit::from_headers(headers, now).filter(|limit| limit.remaining == 0);
        let reset = used_up.filter_map(|limit| limit.reset).max();
        Self { should_retry, after, reset }
    }
}

fn seconds(number: &str, unit_seconds: f64) -> Option<Duration> {
    let number: f64 = number.trim().parse().ok()?;
    Duration::try_from_secs_f64(number * unit_seconds).ok()
}

/// A date in the past means now.
fn until(date: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(date).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn advice(pairs: &[(&'static str, &str)]) -> RetryAdvice {
        let headers = pairs
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        RetryAdvice::from_headers(&headers, SystemTime::UNIX_EPOCH)
    }

    fn error(kind: ErrorKind, advice: RetryAdvice) -> ProviderError {
        ProviderError { advice, ..ProviderError::new("anthropic", kind) }
    }

    #[test]
    fn milliseconds_win_over_seconds() {
        let advice = advice(&[("retry-after", "9"), ("retry-after-ms", "250")]);
        assert_eq!(advice.after, Some(Duration::from_millis(250)));
    }

    #[test]
    fn seconds_may_have_a_fraction() {
        assert_eq!(advice(&[("retry-after", "1.5")]).after, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn a_date_counts_from_now() {
        let advice = advice(&[("retry-after", "Thu, 01 Jan 1970 00:00:07 GMT")]);
        assert_eq!(advice.after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_past_date_means_now() {
        let headers = [(
            reqwest::header::RETRY_AFTER,
            HeaderValue::from_static("Thu, 01 Jan 1970 00:00:07 GMT"),
        )]
        .into_iter()
        .collect();
        let later = SystemTime::UNIX_EPOCH + MINUTE;
        assert_eq!(RetryAdvice::from_headers(&headers, later).after, Some(Duration::ZERO));
    }

    #[test]
    fn nonsense_is_absent() {
        for value in ["soon", "-3", "inf", "NaN", ""] {
            assert_eq!(advice(&[("retry-after", value)]).after, None, "{value}");
        }
        assert_eq!(advice(&[("x-should-retry", "maybe")]).should_retry, None);
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
            let pause = policy.pause(0, &error, MINUTE).unwrap();
            assert!((375..=500).contains(&pause.as_millis()), "{pause:?}");
        }
    }

    #[test]
    fn retries_are_counted() {
        let policy = RetryPolicy::default();
        let error = error(ErrorKind::Overloaded, RetryAdvice::default());
        assert!(policy.pause(1, &error, MINUTE).is_some());
        assert_eq!(policy.pause(2, &error, MINUTE), None);
    }

    #[test]
    fn lasting_errors_are_not_retried_unless_the_provider_says_so() {
        let policy = RetryPolicy::default();
        let silent = error(ErrorKind::Authentication, RetryAdvice::default());
        assert_eq!(policy.pause(0, &silent, MINUTE), None);
        let asked = error(ErrorKind::Authentication, advice(&[("x-should-retry", "true")]));
        assert!(policy.pause(0, &asked, MINUTE).is_some());
    }

    #[test]
    fn the_provider_may_forbid_a_retry() {
        let forbidden = error(ErrorKind::Server, advice(&[("x-should-retry", "false")]));
        assert_eq!(RetryPolicy::default().pause(0, &forbidden, MINUTE), None);
    }

    #[test]
    fn without_a_retry_after_a_limit_that_is_used_up_is_waited_for() {
        let policy = RetryPolicy::default();
        let pause = |kind, pairs: &[(&'static str, &str)]| {
            policy.pause(0, &error(kind, advice(pairs)), MINUTE).unwrap().as_millis()
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
    fn of_several_limits_that_are_used_up_the_last_to_be_whole_counts() {
        let advice = advice(&[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "1m30.5s"),
        ]);
        assert_eq!(advice.reset, Some(Duration::from_millis(90_500)));
    }

    #[test]
    fn a_pause_that_outlasts_the_call_fails_it_now() {
        let policy = RetryPolicy::default();
        let limited = error(ErrorKind::RateLimited, advice(&[("retry-after", "30")]));
        assert_eq!(policy.pause(0, &limited, MINUTE), Some(MINUTE / 2));
        assert_eq!(policy.pause(0, &limited, MINUTE / 2), None);
    }
}
