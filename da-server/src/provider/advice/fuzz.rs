//! Random headers, for all that reads them.

use reqwest::header::{HeaderName, HeaderValue};

use super::*;
use crate::fuzzing::{Chance, going_on};
use crate::provider::{ErrorKind, ProviderError, RetryPolicy};

const NAMES: [&str; 8] = [
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
    "x-ratelimit-remaining-tokens",
];

const WORDS: [&str; 24] = [
    "0",
    "1",
    "9",
    "18446744073709551616",
    "1e300",
    "-",
    ".",
    "e",
    "s",
    "ms",
    "m",
    "h",
    "ns",
    "P",
    "T",
    "Z",
    ":",
    " ",
    "true",
    "false",
    "inf",
    "2026-11-29T17:00:00Z",
    "Sun, 29 Nov 2026 17:00:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
];

/// Whole seconds, as RFC 9110 has them.
fn obvious_seconds(value: &str) -> Option<Duration> {
    let plain = !value.is_empty() && value.len() < 15 && value.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| Duration::from_secs(value.parse().expect("a number")))
}

#[test]
fn random_headers_make_no_pause_that_the_call_has_no_time_for() {
    let (mut chance, going_on) = (Chance::new(), going_on(0.05));
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_000_000);
    let policy = RetryPolicy::default();
    let (mut all, mut pauses, mut limits) = (0, 0, 0);
    while going_on() {
        let mut headers = HeaderMap::new();
        for _ in 0..chance.below(4) {
            let value = chance.words(&WORDS, 5).into_bytes();
            let value = if chance.below(4) == 0 { chance.mutated(value) } else { value };
            // What no header can carry, none does.
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(HeaderName::from_static(chance.one_of(&NAMES)), value);
            }
        }
        let advice = RetryAdvice::from_headers(&headers, now);
        let plain = headers.get("retry-after").and_then(|value| value.to_str().ok());
        if let Some(seconds) = plain.and_then(obvious_seconds)
            && !headers.contains_key("retry-after-ms")
        {
            assert_eq!(advice.after, Some(seconds), "{headers:?}");
        }
        for limit in rate_limit::from_headers(&headers, now) {
            let digits = limit.remaining.to_string();
            let is_told = |value: &HeaderValue| {
                let text = String::from_utf8_lossy(value.as_bytes());
                text.trim().trim_start_matches(['+', '0']) == digits.trim_start_matches('0')
            };
            assert!(headers.values().any(is_told), "{digits} of {headers:?}");
            limits += 1;
        }
        let error = ProviderError {
            advice,
            ..ProviderError::new(&"openai".into(), ErrorKind::RateLimited)
        };
        let remaining = Duration::from_millis(chance.below(60_000) as u64);
        for has_fallback in [false, true] {
            if let Some(pause) = policy.pause(0, &error, remaining, has_fallback) {
                let most = if has_fallback { policy.max_backoff } else { remaining };
                assert!(pause < remaining && pause <= most, "{pause:?} by {headers:?}");
                pauses += 1;
            }
        }
        all += 1;
    }
    println!("{all} sets of headers: {pauses} pauses, {limits} limits");
    assert!(pauses > 0 && limits > 0, "they are not random noise alone");
}
