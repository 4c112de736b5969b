//! When a provider is left alone, and how it is taken back.

use std::time::Duration;

use da_server::llm::{LlmConfig, LlmError, LlmProtocol};
use da_server::provider::{ApiKey, ErrorKind};
use da_standin::{Delay, Event, Fault, Plan};
use da_testkit::raw::{Answer, Ending, Raw};
use serde_json::json;

use crate::bench::{Bench, Llm, MODEL, PROVIDERS};

/// A client without retries, whose breaker opens at the third failure.
fn llm(bench: &Bench, provider: LlmProtocol, cool_down: Duration) -> Llm {
    bench.llm_with(provider, |config| breaking(config, cool_down))
}

fn breaking(config: &mut LlmConfig, cool_down: Duration) {
    config.retry.max_retries = 0;
    config.breaker.failures = 3;
    config.breaker.cool_down = cool_down;
}

const LONG: Duration = Duration::from_secs(3600);
/// Waited for in tests; still far longer than a machine keeps a call from being made.
const SHORT: Duration = Duration::from_secs(2);

async fn failure(llm: &Llm) -> LlmError {
    llm.ask().await.expect_err("it fails").1
}

async fn failures(llm: &Llm, times: usize, kind: ErrorKind) {
    for _ in 0..times {
        assert_eq!(failure(llm).await.kind, kind);
    }
}

/// It fails like this until its breaker opens, which takes three failures that count: those do not in
/// which the process stood still.
async fn fails_until_open(llm: &Llm, kind: ErrorKind) {
    for failed in 0..30 {
        match failure(llm).await.kind {
            ErrorKind::CircuitOpen => {
                assert!(failed >= 3, "open after {failed} failures");
                assert_state(llm, "open");
                return failures(llm, 1, ErrorKind::CircuitOpen).await;
            }
            other => assert_eq!(other, kind, "failure {failed}"),
        }
    }
    panic!("it is not open after 30 failures");
}

#[track_caller]
fn assert_state(llm: &Llm, state: &str) {
    for known in ["closed", "open", "half_open"] {
        let is = llm.readings.gauge("provider_breaker_state", &[("state", known)]);
        assert_eq!(is == 1.0, known == state, "{known} is {is}");
    }
}

fn transitions(llm: &Llm) -> [f64; 3] {
    ["open", "half_open", "closed"].map(|state| {
        llm.readings.counter("provider_breaker_transitions_total", &[("state", state)])
    })
}

#[tokio::test]
async fn after_failures_in_a_row_calls_fail_at_once_and_send_nothing() {
    for provider in PROVIDERS {
        let bench = Bench::failing(Fault::ServerError, 100).await;
        let llm = llm(&bench, provider, LONG);
        assert_state(&llm, "closed");
        failures(&llm, 3, ErrorKind::Server).await;
        assert_state(&llm, "open");
        failures(&llm, 4, ErrorKind::CircuitOpen).await;
        assert_eq!(bench.requests().await, 3);
        assert_eq!(transitions(&llm), [1.0, 0.0, 0.0]);
        let refused = [("outcome", "circuit_open")];
        assert_eq!(llm.readings.samples("llm_attempt_seconds", &refused), 4);
        assert_eq!(llm.readings.samples("llm_latency_seconds", &[]), 7);
    }
}

#[tokio::test]
async fn after_the_cool_down_an_answer_closes_it() {
    for provider in PROVIDERS {
        let bench = Bench::failing(Fault::Overloaded, 3).await;
        let llm = llm(&bench, provider, SHORT);
        failures(&llm, 3, ErrorKind::Overloaded).await;
        assert_eq!(failure(&llm).await.kind, ErrorKind::CircuitOpen);
        tokio::time::sleep(SHORT).await;
        llm.ask().await.expect("an answer");
        assert_state(&llm, "closed");
        assert_eq!(transitions(&llm), [1.0, 1.0, 1.0]);
        llm.ask().await.expect("another one");
    }
}

#[tokio::test]
async fn after_the_cool_down_a_failure_opens_it_again() {
    let bench = Bench::failing(Fault::ServerError, 4).await;
    let llm = llm(&bench, PROVIDERS[0], SHORT);
    failures(&llm, 3, ErrorKind::Server).await;
    tokio::time::sleep(SHORT).await;
    assert_eq!(failure(&llm).await.kind, ErrorKind::Server);
    assert_state(&llm, "open");
    assert_eq!(failure(&llm).await.kind, ErrorKind::CircuitOpen);
    assert_eq!(transitions(&llm), [2.0, 1.0, 0.0]);
}

#[tokio::test]
async fn only_one_tries_while_the_others_are_refused() {
    let bench = Bench::failing(Fault::ServerError, 3).await;
    let llm = llm(&bench, PROVIDERS[0], SHORT);
    failures(&llm, 3, ErrorKind::Server).await;
    tokio::time::sleep(SHORT).await;
    bench.standin.set_plan(Plan { first_byte_ms: Delay::from(SHORT), ..Plan::default() });
    let others = async {
        assert_state(&llm, "half_open");
        failures(&llm, 2, ErrorKind::CircuitOpen).await;
    };
    let (trial, ()) = tokio::join!(llm.ask(), others);
    trial.expect("an answer");
    assert_eq!(bench.requests().await, 4);
}

#[tokio::test]
async fn a_trial_that_is_given_up_leaves_the_next_one_to_try() {
    let bench = Bench::failing(Fault::ServerError, 3).await;
    let llm = llm(&bench, PROVIDERS[0], SHORT);
    failures(&llm, 3, ErrorKind::Server).await;
    tokio::time::sleep(SHORT).await;
    bench.fail(Fault::Hang, 1);
    tokio::select! {
        () = bench.logged(|event| matches!(event, Event::Fault { kind: "hang", .. })) => {}
        _ = llm.ask() => panic!("it hangs"),
    }
    llm.ask().await.expect("an answer");
    assert_state(&llm, "closed");
}

#[tokio::test]
async fn refusals_of_the_provider_are_no_failures_of_it() {
    let bench =
        Bench::failing(Fault::RateLimited { retry_after: None, retry_after_ms: None }, 8).await;
    let limited = llm(&bench, PROVIDERS[0], LONG);
    failures(&limited, 8, ErrorKind::RateLimited).await;
    assert_state(&limited, "closed");
    let unknown = bench.llm_with(PROVIDERS[1], |config| {
        breaking(config, LONG);
        config.base_url = Some("https://api.openai.com/elsewhere".to_owned());
    });
    failures(&unknown, 8, ErrorKind::InvalidRequest).await;
    assert_state(&unknown, "closed");
}

/// Lines that a model declines are no reason to keep it from everybody.
#[tokio::test]
async fn answers_that_are_declined_are_no_failures_and_go_on_to_the_next_provider() {
    let declined = json!({"choices": [{"delta": {}, "finish_reason": "content_filter"}]});
    let raw = Raw::serve(Answer {
        media_type: "text/event-stream",
        chunks: vec![format!("data: {declined}\n\ndata: [DONE]\n\n").into_bytes()],
        pause: Duration::ZERO,
        ending: Ending::Clean,
    })
    .await;
    let bench = Bench::start().await;
    let llm = bench.llm_with(LlmProtocol::OpenAi, |config| {
        breaking(config, LONG);
        config.retry.max_retries = 2;
        config.base_url = Some(format!("http://{}", raw.address));
        config.fallback = vec![LlmConfig {
            protocol: LlmProtocol::Anthropic,
            model: Some(MODEL.to_owned()),
            api_key: ApiKey::new("test-key"),
            ..LlmConfig::default()
        }];
    });
    for _ in 0..8 {
        llm.ask().await.expect("the other one's answer");
    }
    assert_eq!(raw.requests(), 8, "once for each line");
    let fell = llm.readings.counter("llm_fallbacks_total", &[("reason", "refusal")]);
    assert_eq!(fell, 8.0);
    let open = [("state", "open"), ("provider", "openai")];
    assert_eq!(llm.readings.gauge("provider_breaker_state", &open), 0.0);
}

#[tokio::test]
async fn nobody_listening_and_nobody_answering_are_failures() {
    let bench = Bench::failing(Fault::Hang, 100).await;
    let hanging = bench.llm_with(PROVIDERS[0], |config| {
        breaking(config, LONG);
        config.timeouts.first_content = Duration::from_millis(100);
    });
    fails_until_open(&hanging, ErrorKind::Timeout).await;
    let gone = llm(&bench, PROVIDERS[0], LONG);
    bench.standin.stop().await;
    fails_until_open(&gone, ErrorKind::Connect).await;
}

#[tokio::test]
async fn a_retry_that_would_be_refused_is_not_waited_for() {
    let bench = Bench::failing(Fault::ServerError, 100).await;
    let llm = bench.llm_with(PROVIDERS[0], |config| {
        config.retry.max_retries = 10;
        config.breaker.failures = 3;
        config.breaker.cool_down = LONG;
    });
    assert_eq!(failure(&llm).await.kind, ErrorKind::Server, "what went wrong, not that it is open");
    assert_eq!(bench.requests().await, 3);
    assert_eq!(llm.readings.counter("llm_retries_total", &[]), 2.0);
}
