//! When a call is tried again, and how long it waits before.

use std::time::{Duration, Instant, SystemTime};

use da_server::llm::LlmProtocol;
use da_server::provider::ErrorKind;
use da_standin::{Event, Fault, now_ns};

use crate::bench::{Bench, Llm, PROVIDERS, times_ns};

/// From the answer to the first request to the second request, by the stand-in's clock.
async fn pause(bench: &Bench) -> Duration {
    let requests = requests(bench).await;
    let log = bench.log().await;
    let answers = times_ns(&log, |event| matches!(event, Event::ResponseStart { .. }));
    assert_eq!(requests.len(), 2, "one retry");
    Duration::from_nanos(requests[1] - answers[0])
}

async fn requests(bench: &Bench) -> Vec<u64> {
    times_ns(&bench.log().await, |event| matches!(event, Event::Request { .. }))
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
            config.timeouts.first_content = Duration::from_secs(2);
        });
        llm.ask().await.expect("an answer at the second attempt");
        assert_eq!(llm.readings.counter("llm_retries_total", &[("reason", "timeout")]), 1.0);
    }
}

/// Back-offs of our own, one far shorter and one far longer than what providers ask for here.
const OWN: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(20)];

/// A client that would wait so long if nobody asked for anything.
fn backing_off(bench: &Bench, provider: LlmProtocol, own: Duration) -> Llm {
    bench.llm_with(provider, |config| {
        config.retry.initial_backoff = own;
        config.retry.max_backoff = own;
        config.timeouts.total = 4 * own + Duration::from_secs(20);
    })
}

#[tokio::test]
async fn what_is_asked_for_is_waited_for_whether_shorter_or_longer_than_our_own() {
    let ms = Fault::RateLimited { retry_after: None, retry_after_ms: Some(400) };
    let seconds = Fault::RateLimited { retry_after: Some(1), retry_after_ms: None };
    for (provider, fault, asked_ms) in
        [(PROVIDERS[0], ms, 400), (PROVIDERS[1], ms, 400), (PROVIDERS[0], seconds, 1000)]
    {
        for own in OWN {
            let bench = Bench::failing(fault, 1).await;
            backing_off(&bench, provider, own).ask().await.expect("an answer");
            let paused = pause(&bench).await;
            assert!(paused >= Duration::from_millis(asked_ms), "{fault:?}: {paused:?}");
            assert!(paused < OWN[1] / 2, "{fault:?}: {paused:?}");
        }
    }
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
    for own in OWN {
        // A date has whole seconds.
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3));
        let bench = Bench::limiting(&[("retry-after", &date)]).await;
        backing_off(&bench, PROVIDERS[0], own).ask().await.expect("an answer");
        let paused = pause(&bench).await;
        let asked_again_ago = Duration::from_nanos(now_ns() - requests(&bench).await[1]);
        let asked_again = SystemTime::now() - asked_again_ago;
        let date = httpdate::parse_http_date(&date).expect("a date");
        // By the clock that dates are of, a hundredth of a second apart from the other at most.
        assert!(asked_again + Duration::from_millis(10) > date, "{paused:?}");
        assert!(paused < OWN[1] / 2, "{paused:?}");
    }
}

#[tokio::test]
async fn a_limit_that_is_used_up_is_waited_for_if_it_is_soon_whole() {
    // Otherwise it is a hundredth of a second.
    for (reset, at_least) in [("1.2s", Duration::from_millis(1200)), ("6m0s", Duration::ZERO)] {
        let headers = [
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", reset),
            ("x-ratelimit-remaining-tokens", "9"),
        ];
        let bench = Bench::limiting(&headers).await;
        bench.llm(PROVIDERS[1]).ask().await.expect("an answer");
        let paused = pause(&bench).await;
        assert!((at_least..OWN[1] / 2).contains(&paused), "{reset}: {paused:?}");
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
