//! Dropping a call: the provider sees the connection end, and the metrics say so.

use std::time::Duration;

use da_standin::{Delay, Event, Fault, Plan};
use futures_util::StreamExt;

use crate::bench::{Bench, Llm, PROVIDERS};

/// An answer that goes on for a minute.
fn long_answer() -> Plan {
    Plan {
        text_characters: Some(4_000),
        chunks: Some(600),
        between_chunks_ms: Delay::Fixed(100.0),
        ..Plan::default()
    }
}

fn assert_cancelled_once(llm: &Llm, first_tokens: u64) {
    let cancelled = [("outcome", "cancelled")];
    assert_eq!(llm.readings.samples("llm_attempt_seconds", &cancelled), 1);
    assert_eq!(llm.readings.samples("llm_attempt_seconds", &[]), 1);
    assert_eq!(llm.readings.samples("llm_latency_seconds", &[]), 1);
    assert_eq!(llm.readings.samples("llm_time_to_first_token_seconds", &[]), first_tokens);
}

/// Drops a call once it is as far as that, before it has an answer.
async fn dropped_once<T>(call: impl Future<Output = T>, as_far: impl Future<Output = ()>) {
    tokio::select! {
        () = as_far => {}
        _ = call => panic!("it was over before"),
    }
}

#[tokio::test]
async fn dropping_the_stream_ends_the_exchange() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(long_answer());
        let llm = bench.llm(provider);
        let mut stream = llm.stream().await.expect("a stream");
        stream.next().await.expect("text").expect("no error");
        drop(stream);
        assert_cancelled_once(&llm, 1);
        bench.assert_hung_up().await;
    }
}

#[tokio::test]
async fn dropping_the_call_before_its_first_token_ends_the_exchange() {
    for provider in PROVIDERS {
        let bench = Bench::failing(Fault::Hang, 1).await;
        let llm = bench.llm(provider);
        let hangs = bench.logged(|event| matches!(event, Event::Fault { .. }));
        dropped_once(llm.stream(), hangs).await;
        assert_cancelled_once(&llm, 0);
        bench.assert_hung_up().await;
    }
}

#[tokio::test]
async fn dropping_the_call_between_attempts_leaves_one_failed_attempt() {
    let bench = Bench::failing(Fault::ServerError, 1).await;
    let llm = bench.llm_with(PROVIDERS[0], |config| {
        config.retry.initial_backoff = Duration::from_secs(30);
        config.retry.max_backoff = Duration::from_secs(30);
    });
    let failed = || llm.readings.samples("llm_attempt_seconds", &[("outcome", "server")]);
    let waits = async {
        while failed() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    dropped_once(llm.stream(), waits).await;
    assert_eq!(failed(), 1);
    assert_eq!(llm.readings.samples("llm_attempt_seconds", &[]), 1);
    assert_eq!(llm.readings.samples("llm_latency_seconds", &[]), 1);
}

#[tokio::test]
async fn a_cancelled_call_does_not_harm_the_next() {
    let bench = Bench::start().await;
    bench.standin.set_plan(long_answer());
    let llm = bench.llm(PROVIDERS[0]);
    drop(llm.stream().await.expect("a stream"));
    bench.standin.set_plan(Plan::default());
    llm.ask().await.expect("an answer");
    assert_eq!(bench.connections().await, 2, "a connection with half an answer is not used again");
}
