//! When a call is tried again, and how long it waits before.

use std::time::{Duration, Instant, SystemTime};

use da_server::provider::ErrorKind;
use da_standin::{Event, Fault};

use crate::bench::{Bench, PROVIDERS, times_ns};

/// From the answer to the first request to the second request, by the stand-in's clock.
async fn pause(bench: &Bench) -> Duration {
    let log = bench.log().await;
    let requests = times_ns(&log, |event| matches!(event, Event::Request { .. }));
    let answers = times_ns(&log, |event| matches!(event, Event::ResponseStart { .. }));
    assert_eq!(requests.len(), 2, "one retry");
    Duration::from_nanos(requests[1] - answers[0])
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    let faults = [
        Fault::RateLimited { retry_after: None, retry_after_ms: None },
        Fault::Overloaded,
        Fault::ServerError,
        Fault::ResetBeforeFirstToken { after_head: false },
        Fault::ResetBeforeFirstToken { after_head: true },
        Fault::ErrorEventAfter200 { after_chunks: 0 },
    ];
    for provider in PROVIDERS {
        for fault in faults {
            let bench = Bench::failing(fault, 2).await;
            let answer = bench.llm(provider).ask().await;
            assert!(answer.is_ok(), "{provider:?}, {fault:?}: {answer:?}");
            assert_eq!(bench.requests().await, 3, "{provider:?}, {fault:?}");
        }
    }
}

#[tokio::test]
async fn retries_come_to_an_end_with_the_last_error() {
    for provider in PROVIDERS {
        let bench = Bench::failing(Fault::Overloaded, 100).await;
        let (_, error) = bench.llm(provider).ask().await.expect_err("it always fails");
        assert_eq!(error.kind, ErrorKind::Overloaded);
        assert_eq!(bench.requests().await, 3);
    }
}

#[tokio::test]
async fn a_request_that_hangs_is_tried_again() {
    for provider in PROVIDERS {
        let bench = Bench::failing(Fault::Hang, 1).await;
        let llm = bench.llm_with(provider, |config| {
            config.timeouts.first_content = Duration::from_millis(500);
        });
        llm.ask().await.expect("an answer at the second attempt");
        assert_eq!(llm.readings.counter("llm_retries_total", &[("reason", "timeout")]), 1.0);
    }
}

#[tokio::test]
async fn retry_after_in_milliseconds_is_waited_for() {
    // A back-off of our own would be a tenth of it at most.
    let asked = Duration::from_millis(400);
    for provider in PROVIDERS {
        let fault = Fault::RateLimited { retry_after: None, retry_after_ms: Some(400) };
        let bench = Bench::failing(fault, 1).await;
        bench.llm(provider).ask().await.expect("an answer");
        let paused = pause(&bench).await;
        assert!(paused >= asked && paused < 3 * asked, "{paused:?}");
    }
}

#[tokio::test]
async fn retry_after_in_seconds_is_waited_for_and_no_longer() {
    let asked = Duration::from_secs(1);
    let fault = Fault::RateLimited { retry_after: Some(1), retry_after_ms: None };
    let bench = Bench::failing(fault, 1).await;
    let llm = bench.llm_with(PROVIDERS[0], |config| {
        config.retry.initial_backoff = 8 * asked;
    });
    llm.ask().await.expect("an answer");
    let paused = pause(&bench).await;
    assert!(paused >= asked && paused < 3 * asked, "{paused:?}");
}

#[tokio::test]
async fn a_pause_beyond_the_deadline_fails_at_once() {
    for provider in PROVIDERS {
        let fault = Fault::RateLimited { retry_after: Some(60), retry_after_ms: None };
        let bench = Bench::failing(fault, 1).await;
        let total = Duration::from_secs(20);
        let llm = bench.llm_with(provider, |config| config.timeouts.total = total);
        let started = Instant::now();
        let (_, error) = llm.ask().await.expect_err("no time for it");
        assert_eq!(error.kind, ErrorKind::RateLimited);
        assert_eq!(error.status, Some(429));
        assert!(started.elapsed() < total / 2, "at once, not at the deadline");
        assert_eq!(bench.requests().await, 1);
    }
}

#[tokio::test]
async fn retries_can_be_switched_off() {
    let bench = Bench::failing(Fault::ServerError, 1).await;
    let llm = bench.llm_with(PROVIDERS[0], |config| config.retry.max_retries = 0);
    let (_, error) = llm.ask().await.expect_err("one attempt");
    assert_eq!(error.kind, ErrorKind::Server);
    assert_eq!(bench.requests().await, 1);
}

#[tokio::test]
async fn retry_after_as_a_date_is_waited_for() {
    let at = SystemTime::now() + Duration::from_secs(3);
    let bench = Bench::limiting(&[("retry-after", &httpdate::fmt_http_date(at))]).await;
    bench.llm(PROVIDERS[0]).ask().await.expect("an answer");
    let paused = pause(&bench).await;
    // A date has whole seconds; a back-off of our own would be a hundredth of this.
    assert!((1..=4).contains(&paused.as_secs()), "{paused:?}");
}

#[tokio::test]
async fn a_limit_that_is_used_up_is_waited_for_if_it_is_soon_whole() {
    for (reset, waited_ms) in [("1.2s", 1200..3600), ("6m0s", 0..1000)] {
        let headers = [
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", reset),
            ("x-ratelimit-remaining-tokens", "9"),
        ];
        let bench = Bench::limiting(&headers).await;
        let llm = bench.llm(PROVIDERS[1]);
        llm.ask().await.expect("an answer");
        let paused = pause(&bench).await;
        assert!(waited_ms.contains(&paused.as_millis()), "{reset}: {paused:?}");
    }
}

#[tokio::test]
async fn what_the_provider_says_of_retries_is_obeyed() {
    for provider in PROVIDERS {
        let bench = Bench::limiting(&[("x-should-retry", "false")]).await;
        let (_, error) = bench.llm(provider).ask().await.expect_err("it may not try again");
        assert_eq!(error.kind, ErrorKind::RateLimited);
        assert_eq!(bench.requests().await, 1);
    }
}
