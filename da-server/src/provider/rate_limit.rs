//! What providers say is left of their rate limits.

use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::HeaderMap;

/// What a rate limit counts: label value of `llm_rate_limit_remaining{kind}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimitKind {
    /// Requests.
    Requests,
    /// Tokens of both directions.
    Tokens,
    /// Prompt tokens.
    InputTokens,
    /// Answer tokens.
    OutputTokens,
}

impl RateLimitKind {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
        }
    }
}

/// What an answer said of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimit {
    pub kind: RateLimitKind,
    /// How much is left.
    pub remaining: u64,
    /// Until it is whole again.
    pub reset: Option<Duration>,
}

/// Headers that say what is left of a limit, and when it is whole again: Anthropic's, and OpenAI's
/// with its imitators'.
const HEADERS: [(RateLimitKind, &str, &str); 6] = [
    (
        RateLimitKind::Requests,
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    (
        RateLimitKind::Tokens,
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
    (
        RateLimitKind::InputTokens,
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ),
    (
        RateLimitKind::OutputTokens,
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ),
    (RateLimitKind::Requests, "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    (RateLimitKind::Tokens, "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
];

/// The limits of which an answer says what is left. A header that makes no sense counts as absent.
pub(crate) fn from_headers(
    headers: &HeaderMap,
    now: SystemTime,
) -> impl Iterator<Item = RateLimit> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    HEADERS.into_iter().filter_map(move |(kind, remaining, reset)| {
        let remaining = text(remaining)?.trim().parse().ok()?;
        Some(RateLimit { kind, remaining, reset: text(reset).and_then(|reset| until(reset, now)) })
    })
}

/// A duration as in `6m0s` or `1.5s`, or a time as in RFC 3339; one that is past means now.
fn until(reset: &str, now: SystemTime) -> Option<Duration> {
    let reset = reset.trim();
    let left = match reset.parse::<SignedDuration>() {
        Ok(left) => left,
        Err(_) => {
            let at = reset.parse::<Timestamp>().ok()?;
            at.duration_since(Timestamp::try_from(now).ok()?)
        }
    };
    Some(Duration::try_from(left).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(pairs: &[(&'static str, &'static str)]) -> Vec<RateLimit> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        from_headers(&headers.collect(), SystemTime::UNIX_EPOCH).collect()
    }

    #[test]
    fn both_spellings_are_read() {
        let anthropic = limits(&[
            ("anthropic-ratelimit-output-tokens-remaining", "80000"),
            ("anthropic-ratelimit-output-tokens-reset", "1970-01-01T00:01:30Z"),
        ]);
        let reset = Some(Duration::from_secs(90));
        let kind = RateLimitKind::OutputTokens;
        assert_eq!(anthropic, [RateLimit { kind, remaining: 80_000, reset }]);
        let openai = limits(&[
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "6m0s"),
            ("x-ratelimit-remaining-tokens", "7"),
        ]);
        let reset = Some(Duration::from_secs(360));
        let requests = RateLimit { kind: RateLimitKind::Requests, remaining: 0, reset };
        let tokens = RateLimit { kind: RateLimitKind::Tokens, remaining: 7, reset: None };
        assert_eq!(openai, [requests, tokens]);
    }

    #[test]
    fn durations_are_read_as_providers_write_them() {
        let now = SystemTime::UNIX_EPOCH;
        for (text, ms) in [
            ("1s", 1000),
            ("20ms", 20),
            ("6m0s", 360_000),
            ("1m30.5s", 90_500),
            ("2h", 7_200_000),
            ("17.5s", 17_500),
            ("1970-01-01T00:00:02Z", 2000),
            ("1969-12-31T23:59:58Z", 0),
        ] {
            assert_eq!(until(text, now), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "soon", "1970-01-01", "12"] {
            assert_eq!(until(text, now), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_absent() {
        for value in ["-1", "many", "", "1.5"] {
            assert!(limits(&[("x-ratelimit-remaining-tokens", value)]).is_empty(), "{value}");
        }
    }
}
