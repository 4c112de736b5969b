//! What providers say about trying again: in headers, and in the bodies of errors.

use std::time::{Duration, SystemTime};

use jiff::SignedDuration;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::rate_limit;

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

    /// What the JSON of an error says, where the headers said nothing: errors in a stream have none
    /// of their own.
    pub(crate) fn or_from_body(mut self, body: &[u8]) -> Self {
        if self.after.is_none() {
            let said: Option<Value> = serde_json::from_slice(body).ok();
            self.after = said.as_ref().and_then(|said| in_body("", said));
        }
        self
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

/// Members of an error's JSON that say when to try again, and their unit in seconds where they are
/// bare numbers. The last is Google's `RetryInfo`: `"34.07s"`.
const MEMBERS: [(&str, f64); 4] = [
    ("retry_after_ms", 1e-3),
    ("retry_after_seconds", 1.0),
    ("retry_after", 1.0),
    ("retryDelay", 1.0),
];

/// How sentences of providers go on to say it: `Please try again in 1m26.4s`, `retry after 6 seconds`.
const SENTENCES: [&str; 2] = ["try again in ", "retry after "];

/// Members that hold such sentences. Others may hold an echo of the request.
const MESSAGES: [&str; 4] = ["message", "msg", "error", "detail"];

/// When `said`, the value of `member`, asks to be tried again; the first of it that makes sense.
fn in_body(member: &str, said: &Value) -> Option<Duration> {
    match said {
        Value::Object(members) => {
            let named = MEMBERS
                .iter()
                .find_map(|(name, unit_seconds)| duration(members.get(*name)?, *unit_seconds));
            named.or_else(|| members.iter().find_map(|(name, said)| in_body(name, said)))
        }
        Value::Array(items) => items.iter().find_map(|said| in_body(member, said)),
        Value::String(text) if MESSAGES.contains(&member) => in_sentence(text),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn duration(told: &Value, unit_seconds: f64) -> Option<Duration> {
    match told {
        Value::Number(number) => seconds(&number.to_string(), unit_seconds),
        Value::String(text) => seconds(text, unit_seconds).or_else(|| with_unit(text)),
        _ => None,
    }
}

fn in_sentence(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    SENTENCES.iter().find_map(|words| {
        let (_, asked) = text.split_once(words)?;
        let end = asked.find(|c: char| !c.is_ascii_alphanumeric() && c != '.');
        let (number, after) = asked.split_at(end.unwrap_or(asked.len()));
        // A full stop ends the sentence.
        let number = number.trim_end_matches('.');
        with_unit(number)
            .or_else(|| seconds(number, 1.0).filter(|_| after.trim_start().starts_with("second")))
    })
}

/// A duration as in `898ms` or `1m26.4s`.
fn with_unit(text: &str) -> Option<Duration> {
    Duration::try_from(text.parse::<SignedDuration>().ok()?).ok()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
pub(crate) mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    pub(crate) fn advice(pairs: &[(&'static str, &str)]) -> RetryAdvice {
        let headers = pairs
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect();
        RetryAdvice::from_headers(&headers, SystemTime::UNIX_EPOCH)
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
    fn bodies_say_it_in_members_and_in_sentences() {
        for (body, ms) in [
            (r#"{"error":{"code":429,"details":[{"@type":"x"},{"retryDelay":"34.5s"}]}}"#, 34_500),
            (r#"{"error":{"message":"m","metadata":{"retry_after_seconds":12}}}"#, 12_000),
            (r#"{"retry_after":1.5}"#, 1500),
            (r#"{"retry_after":"2"}"#, 2000),
            (r#"{"error":{"retry_after":9,"retry_after_ms":250}}"#, 250),
            (r#"[{"error":{"retryDelay":"1s"}}]"#, 1000),
            (
                r#"{"error":{"message":"Rate limit reached. Please try again in 898ms. Visit x"}}"#,
                898,
            ),
            (r#"{"error":"Please try again in 1m26.4s."}"#, 86_400),
            (r#"{"error":{"message":"Please retry after 6 seconds."}}"#, 6000),
        ] {
            let said = RetryAdvice::default().or_from_body(body.as_bytes());
            assert_eq!(said.after, Some(Duration::from_millis(ms)), "{body}");
        }
    }

    #[test]
    fn bodies_that_say_nothing_of_the_kind_are_silent_and_headers_win() {
        for body in [
            "",
            "try again in 5s",
            "null",
            r#"{"retry_after":null}"#,
            r#"{"retry_after":-1}"#,
            r#"{"retry_after":{"seconds":1}}"#,
            r#"{"retryDelay":"-3s"}"#,
            r#"{"error":"Please try again in a moment."}"#,
            r#"{"error":"Please retry after 6 failures"}"#,
            r#"{"error":"try again in "}"#,
            r#"{"detail":[{"loc":["body"],"input":"try again in 5s"}]}"#,
        ] {
            assert_eq!(RetryAdvice::default().or_from_body(body.as_bytes()).after, None, "{body}");
        }
        let both = advice(&[("retry-after", "3")]).or_from_body(br#"{"retry_after":9}"#);
        assert_eq!(both.after, Some(Duration::from_secs(3)));
    }
}
