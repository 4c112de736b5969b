//! How many calls are in flight at once, and what becomes of the others.

use std::time::{Duration, Instant};

use da_server::provider::ErrorKind;
use da_standin::{Delay, Event, LogEntry, Plan};
use futures_util::StreamExt;
use futures_util::future::join_all;

use crate::bench::{Bench, Llm, MODEL, PROVIDERS, VOICES};
use crate::tts::speech;

fn answering_after(first_byte_ms: f64) -> Plan {
    let text = Some("One two three".to_owned());
    Plan { text, first_byte_ms: Delay::Fixed(first_byte_ms), ..Plan::default() }
}

/// The most requests that the stand-in had at once.
fn most_at_once(log: &[LogEntry]) -> i32 {
    let mut steps: Vec<(u64, i32)> = log
        .iter()
        .filter_map(|entry| match entry.event {
            Event::Request { .. } => Some((entry.t_ns, 1)),
            Event::ResponseEnd { .. } => Some((entry.t_ns, -1)),
            _ => None,
        })
        .collect();
    steps.sort_unstable();
    let mut now = 0;
    let counts = steps.into_iter().map(|(_, step)| {
        now += step;
        now
    });
    counts.max().unwrap_or(0)
}

/// Waits until so many calls are in flight, and so many wait for them.
async fn until(llm: &Llm, in_flight: f64, waiting: f64) {
    let reached = async {
        loop {
            let gauge = |family| llm.readings.gauge(family, &[("kind", "llm"), ("model", MODEL)]);
            let now = (gauge("provider_calls_in_flight"), gauge("provider_calls_waiting"));
            if now == (in_flight, waiting) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(10), reached).await;
    reached.unwrap_or_else(|_| panic!("never {in_flight} in flight and {waiting} waiting"));
}

#[tokio::test]
async fn no_more_are_in_flight_than_allowed_and_the_others_have_their_turn() {
    for (max_concurrent, at_once) in [(2, 2), (6, 6)] {
        let bench = Bench::start().await;
        bench.standin.set_plan(answering_after(300.0));
        let llm = bench.llm_with(PROVIDERS[0], |config| config.max_concurrent = max_concurrent);
        assert_eq!(llm.readings.gauge("provider_calls_limit", &[]), max_concurrent as f64);
        let calls = join_all((0..6).map(|_| llm.ask()));
        let (answers, ()) =
            tokio::join!(calls, until(&llm, at_once.into(), f64::from(6 - at_once)));
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!(most_at_once(&bench.log().await), at_once);
        until(&llm, 0.0, 0.0).await;
    }
}

#[tokio::test]
async fn speech_has_a_limit_of_its_own() {
    let bench = Bench::start().await;
    bench.standin.set_plan(answering_after(200.0));
    let tts = bench.tts_with(VOICES[0], |config| config.max_concurrent = 1);
    let speak = || async {
        let audio = tts.client.speak(speech()).await.expect("audio");
        audio.collect::<Vec<_>>().await
    };
    join_all((0..3).map(|_| speak())).await;
    assert_eq!(most_at_once(&bench.log().await), 1);
    assert_eq!(tts.readings.gauge("provider_calls_limit", &[("kind", "tts")]), 1.0);
}

#[tokio::test]
async fn a_call_is_in_flight_until_its_answer_ends_or_is_dropped() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(answering_after(0.0));
        let llm = bench.llm_with(provider, |config| config.max_concurrent = 1);
        let mut first = llm.stream().await.expect("an answer");
        let second = llm.stream();
        tokio::pin!(second);
        let waited = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
        assert!(waited.is_err(), "the first is not over");
        assert_eq!(bench.requests().await, 1);
        while first.next().await.is_some() {}
        let second = second.await.expect("an answer");
        drop(second);
        llm.stream().await.expect("an answer, for the second was dropped");
    }
}

#[tokio::test]
async fn waiting_is_part_of_the_call_and_ends_with_its_time() {
    // Enough for the one that is not to end to begin.
    let total = Duration::from_secs(2);
    let bench = Bench::start().await;
    let llm = bench.llm_with(PROVIDERS[0], |config| {
        config.max_concurrent = 1;
        config.timeouts.total = total;
    });
    let first = llm.stream().await.expect("an answer");
    let started = Instant::now();
    let (_, error) = llm.ask().await.expect_err("the first is never over");
    assert_eq!((error.kind, error.status), (ErrorKind::Saturated, None));
    assert!(started.elapsed() >= total);
    assert_eq!(bench.requests().await, 1, "nothing was sent for the second");
    let readings = &llm.readings;
    assert_eq!(readings.samples("llm_attempt_seconds", &[("outcome", "saturated")]), 1);
    assert!(readings.seconds("llm_latency_seconds", &[]) >= total.as_secs_f64());
    assert_eq!(readings.counter("llm_retries_total", &[]), 0.0);
    drop(first);
}

#[tokio::test]
async fn the_time_for_the_first_token_begins_when_the_wait_is_over() {
    let bench = Bench::start().await;
    bench.standin.set_plan(answering_after(500.0));
    // The last one waits for five others, which is longer than this.
    let llm = bench.llm_with(PROVIDERS[0], |config| {
        config.max_concurrent = 1;
        config.timeouts.first_content = Duration::from_secs(2);
        config.retry.max_retries = 0;
    });
    let answers = join_all((0..6).map(|_| llm.ask())).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}
