//! Who is asked when the first provider fails, and who is told of it.

use std::time::Duration;

use da_server::llm::{LlmConfig, LlmProtocol};
use da_server::provider::{ApiKey, ErrorKind};
use da_standin::{Delay, Event, Fault, Plan};

use crate::bench::{Bench, Llm, MODEL, PROVIDERS, count};

const HOSTS: [&str; 2] = ["api.anthropic.com", "api.openai.com"];
const ANSWER: &str = "The other one speaks";

/// A first provider, which `spoil` has made fail, and the other one behind it.
fn llm(bench: &Bench, spoil: impl FnOnce(&mut LlmConfig)) -> Llm {
    let plan = Plan { text: Some(ANSWER.to_owned()), ..Plan::default() };
    bench.standin.set_plan_for(HOSTS[1], plan);
    bench.llm_with(PROVIDERS[0], |config| {
        config.retry.max_retries = 0;
        config.timeouts.total = Duration::from_secs(10);
        config.fallback = vec![other(PROVIDERS[1])];
        spoil(config);
    })
}

fn other(protocol: LlmProtocol) -> LlmConfig {
    LlmConfig {
        protocol,
        model: Some(MODEL.to_owned()),
        api_key: ApiKey::new("another-key"),
        ..LlmConfig::default()
    }
}

fn failing(bench: &Bench, fault: Fault) {
    let plan = Plan { fault: Some(fault), ..Plan::default() };
    bench.standin.set_plan_for(HOSTS[0], plan);
}

/// The other one has answered, and everything is counted where it happened.
async fn assert_mended(llm: &Llm, reason: ErrorKind) {
    let (text, _) = llm.ask().await.unwrap_or_else(|error| panic!("{reason:?}: {error:?}"));
    assert_eq!(text, ANSWER);
    let readings = &llm.readings;
    let reason = reason.as_str();
    let [from, to, _] = PROVIDERS.map(LlmProtocol::provider_name);
    let labels = [("provider", from), ("to_provider", to), ("to_model", MODEL), ("reason", reason)];
    assert_eq!(readings.counter("llm_fallbacks_total", &labels), 1.0, "{reason}");
    assert_eq!(readings.counter("llm_fallbacks_total", &[]), 1.0, "{reason}");
    let attempts = |provider, outcome| {
        let labels = [("provider", provider), ("outcome", outcome)];
        readings.samples("llm_attempt_seconds", &labels)
    };
    assert_eq!((attempts(from, reason), attempts(to, "success")), (1, 1), "{reason}");
    assert_eq!(readings.samples("llm_attempt_seconds", &[]), 2, "{reason}");
    let of = |provider| [("provider", provider)];
    assert_eq!(readings.samples("llm_latency_seconds", &of(from)), 1);
    assert_eq!(readings.samples("llm_latency_seconds", &of(to)), 1);
    assert_eq!(readings.samples("llm_time_to_first_token_seconds", &of(from)), 0);
    assert_eq!(readings.samples("llm_time_to_first_token_seconds", &of(to)), 1);
    assert_eq!(readings.counter("llm_tokens_total", &of(from)), 0.0);
}

#[tokio::test]
async fn what_another_may_mend_is_asked_of_the_next() {
    let limited = Fault::RateLimited { retry_after: Some(60), retry_after_ms: None };
    for (fault, reason) in [
        (Fault::Overloaded, ErrorKind::Overloaded),
        (Fault::ServerError, ErrorKind::Server),
        (limited, ErrorKind::RateLimited),
        (Fault::ResetBeforeFirstToken { after_head: false }, ErrorKind::Interrupted),
        (Fault::Hang, ErrorKind::Timeout),
        (Fault::BadHandshake, ErrorKind::Tls),
    ] {
        let bench = Bench::start().await;
        failing(&bench, fault);
        let llm = llm(&bench, |config| {
            if reason == ErrorKind::Timeout {
                config.timeouts.first_content = Duration::from_millis(500);
            }
        });
        assert_mended(&llm, reason).await;
    }
}

#[tokio::test]
async fn so_are_a_refused_key_and_a_closed_port() {
    let bench = Bench::start().await;
    let port = bench.standin.addr().port();
    let keyless = llm(&bench, |config| {
        config.api_key = None;
        config.base_url = Some(format!("https://localhost:{port}"));
    });
    assert_mended(&keyless, ErrorKind::Authentication).await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let closed = llm(&bench, |config| {
        config.base_url = Some(format!("https://localhost:{port}"));
    });
    assert_mended(&closed, ErrorKind::Connect).await;
}

#[tokio::test]
async fn a_rate_limit_that_ends_in_time_is_waited_for_first() {
    let bench = Bench::start().await;
    let fault = Some(Fault::RateLimited { retry_after: None, retry_after_ms: Some(100) });
    let plan = Plan { fault, fault_count: Some(1), ..Plan::default() };
    bench.standin.set_plan_for(HOSTS[0], plan);
    let llm = llm(&bench, |config| config.retry.max_retries = 1);
    let (text, _) = llm.ask().await.expect("an answer");
    assert_ne!(text, ANSWER);
    assert_eq!(llm.readings.counter("llm_fallbacks_total", &[]), 0.0);
}

#[tokio::test]
async fn an_open_breaker_sends_calls_on_at_once() {
    let bench = Bench::start().await;
    failing(&bench, Fault::ServerError);
    let llm = llm(&bench, |config| {
        config.breaker.failures = 1;
        config.breaker.cool_down = Duration::from_secs(3600);
    });
    for _ in 0..3 {
        llm.ask().await.expect("an answer");
    }
    assert_eq!(bench.requests().await, 4, "the first provider was asked once");
    let reason = |reason| llm.readings.counter("llm_fallbacks_total", &[("reason", reason)]);
    assert_eq!((reason("server"), reason("circuit_open")), (1.0, 2.0));
}

#[tokio::test]
async fn a_full_provider_sends_calls_on_when_their_time_with_it_is_over() {
    let bench = Bench::start().await;
    let llm = llm(&bench, |config| {
        config.max_concurrent = 1;
        // Enough for the one that is not to end to begin.
        config.timeouts.total = Duration::from_secs(2);
    });
    let _never_over = llm.stream().await.expect("an answer");
    let (text, _) = llm.ask().await.expect("an answer");
    assert_eq!(text, ANSWER);
    let saturated = [("reason", "saturated")];
    assert_eq!(llm.readings.counter("llm_fallbacks_total", &saturated), 1.0);
}

#[tokio::test]
async fn an_answer_that_has_begun_is_not_asked_for_again() {
    let bench = Bench::start().await;
    bench.standin.set_plan_for(
        HOSTS[0],
        Plan {
            fault: Some(Fault::ResetAfterFirstToken { after_chunks: 1 }),
            between_chunks_ms: Delay::Fixed(50.0),
            ..Plan::default()
        },
    );
    let begun = llm(&bench, |_| {});
    let (text, error) = begun.ask().await.expect_err("it breaks off");
    assert_eq!((error.kind, &*error.provider), (ErrorKind::Interrupted, "anthropic"));
    assert!(!text.is_empty(), "the player has it already");
    assert_eq!(begun.readings.counter("llm_fallbacks_total", &[]), 0.0);
    assert_eq!(begun.readings.samples("llm_attempt_seconds", &[("provider", "openai")]), 0);
}

#[tokio::test]
async fn a_long_pause_is_not_made_where_another_can_be_asked() {
    let bench = Bench::start().await;
    const PAUSE_SECONDS: u64 = 30;
    failing(&bench, Fault::RateLimited { retry_after: Some(PAUSE_SECONDS), retry_after_ms: None });
    let llm = llm(&bench, |config| {
        config.retry.max_retries = 2;
        config.timeouts.total = Duration::from_secs(60);
    });
    let started = std::time::Instant::now();
    assert_mended(&llm, ErrorKind::RateLimited).await;
    assert!(started.elapsed() < Duration::from_secs(PAUSE_SECONDS), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_list_is_gone_through_in_its_order_and_the_last_error_is_told() {
    let bench = Bench::start().await;
    failing(&bench, Fault::Overloaded);
    let quiet = |fault| Plan { fault: Some(fault), ..Plan::default() };
    let llm = llm(&bench, |config| {
        let sibling = LlmConfig { model: Some("another".to_owned()), ..other(PROVIDERS[0]) };
        config.fallback = vec![other(PROVIDERS[1]), sibling];
        config.fallback.iter_mut().for_each(|fallback| fallback.retry.max_retries = 0);
    });
    bench.standin.set_plan_for(HOSTS[1], quiet(Fault::ServerError));
    let (_, error) = llm.ask().await.expect_err("all fail");
    assert_eq!((error.kind, &*error.provider), (ErrorKind::Overloaded, "anthropic"));
    let log = bench.log().await;
    let asked: Vec<_> = log
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::Request { path, .. } => Some(path.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(asked, ["/v1/messages", "/v1/chat/completions", "/v1/messages"]);
    assert_eq!(count(&log, |event| matches!(event, Event::Fault { .. })), 3);
    let fell = |labels: &[(&str, &str)]| llm.readings.counter("llm_fallbacks_total", labels);
    assert_eq!(fell(&[("provider", "anthropic"), ("reason", "overloaded")]), 1.0);
    assert_eq!(fell(&[("provider", "openai"), ("to_model", "another"), ("reason", "server")]), 1.0);
    assert_eq!(fell(&[]), 2.0);
}
