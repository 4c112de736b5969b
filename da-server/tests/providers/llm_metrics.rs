//! What the metrics say of calls, against what the stand-in did.

use std::time::Duration;

use da_server::llm::LlmProtocol;
use da_standin::{Delay, Fault, Plan};
use prometheus::TextEncoder;

use crate::bench::{Bench, Llm, MODEL, PROVIDERS};
use crate::clocks::{Pieces, ask};

fn assert_one_call(llm: &Llm, outcome: &str, first_tokens: u64) {
    let provider_and_model = [("model", MODEL)];
    let readings = &llm.readings;
    assert_eq!(readings.samples("llm_latency_seconds", &provider_and_model), 1);
    assert_eq!(readings.samples("llm_attempt_seconds", &[("outcome", outcome)]), 1);
    assert_eq!(readings.samples("llm_attempt_seconds", &[]), 1);
    assert_eq!(readings.samples("llm_time_to_first_token_seconds", &[]), first_tokens);
    assert_eq!(readings.samples("llm_time_per_output_token_seconds", &[]), first_tokens);
    assert_eq!(readings.counter("llm_retries_total", &[]), 0.0);
}

#[tokio::test]
async fn every_known_series_is_there_before_the_first_call() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        let readings = bench.llm(provider).readings;
        let of_model = [("provider", provider.provider_name()), ("model", MODEL)];
        assert_eq!(readings.samples("llm_latency_seconds", &of_model), 0);
        assert_eq!(readings.samples("llm_time_to_first_token_seconds", &of_model), 0);
        assert_eq!(readings.samples("llm_time_per_output_token_seconds", &of_model), 0);
        for outcome in ["success", "timeout", "rate_limited", "cancelled"] {
            let labels = [of_model[0], of_model[1], ("outcome", outcome)];
            assert_eq!(readings.samples("llm_attempt_seconds", &labels), 0);
        }
        for kind in ["input", "output", "cache_read", "cache_write", "reasoning"] {
            let labels = [of_model[0], of_model[1], ("type", kind)];
            assert_eq!(readings.counter("llm_tokens_total", &labels), 0.0);
        }
        let reason = [of_model[0], of_model[1], ("reason", "rate_limited")];
        assert_eq!(readings.counter("llm_retries_total", &reason), 0.0);
    }
}

#[tokio::test]
async fn latency_has_the_edges_of_the_contract() {
    let bench = Bench::start().await;
    let readings = bench.llm(PROVIDERS[0]).readings;
    let text = TextEncoder::new().encode_to_string(&readings.registry.gather()).expect("text");
    for edge in ["0.1", "0.5", "1", "2", "5", "10", "30", "60", "+Inf"] {
        for outcome in ["success", "error", "cancelled"] {
            let bucket = format!(
                "digital_actors_llm_latency_seconds_bucket{{model=\"{MODEL}\",\
                 outcome=\"{outcome}\",provider=\"anthropic\",le=\"{edge}\"}} 0"
            );
            assert!(text.contains(&bucket), "{bucket} is missing in\n{text}");
        }
    }
}

#[tokio::test]
async fn a_call_is_one_sample_of_each_and_its_tokens_are_the_providers() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        let llm = bench.llm(provider);
        let (_, completion) = llm.ask().await.expect("an answer");
        assert_one_call(&llm, "success", 1);
        let tokens = |kind| llm.readings.counter("llm_tokens_total", &[("type", kind)]);
        assert_eq!(tokens("input"), completion.usage.input.expect("told") as f64);
        assert_eq!(tokens("output"), completion.usage.output.expect("told") as f64);
        assert!(tokens("output") > 1.0);
    }
}

#[tokio::test]
async fn failures_have_a_latency_but_no_first_token() {
    for provider in PROVIDERS {
        for (fault, outcome) in [
            (Fault::ServerError, "server"),
            (Fault::RateLimited { retry_after: None, retry_after_ms: None }, "rate_limited"),
            (Fault::ResetBeforeFirstToken { after_head: true }, "interrupted"),
            (Fault::ResetAfterFirstToken { after_chunks: 2 }, "interrupted"),
        ] {
            let bench = Bench::start().await;
            bench.standin.set_plan(Plan {
                between_chunks_ms: Delay::Fixed(50.0),
                fault: Some(fault),
                ..Plan::default()
            });
            let llm = bench.llm_with(provider, |config| config.retry.max_retries = 0);
            let (text, _) = llm.ask().await.expect_err("it fails");
            let had_text = matches!(fault, Fault::ResetAfterFirstToken { .. });
            assert_eq!(!text.is_empty(), had_text, "{fault:?}");
            assert_one_call(&llm, outcome, 0);
            assert_eq!(llm.readings.samples("llm_latency_seconds", &[("outcome", "error")]), 1);
            let untold = llm.readings.counter("llm_usage_missing_total", &[("model", MODEL)]);
            assert_eq!(untold == 1.0, had_text, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn an_interrupted_answer_is_cancelled_and_its_tokens_are_missing() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(Plan {
            text: Some("One two three four five".to_owned()),
            between_chunks_ms: Delay::Fixed(50.0),
            ..Plan::default()
        });
        let llm = bench.llm(provider);
        drop(llm.stream().await.expect("an answer"));
        let calls = |outcome| {
            llm.readings.samples("llm_latency_seconds", &[("model", MODEL), ("outcome", outcome)])
        };
        assert_eq!((calls("cancelled"), calls("success"), calls("error")), (1, 0, 0));
        assert_eq!(llm.readings.counter("llm_usage_missing_total", &[]), 1.0);
        llm.ask().await.expect("an answer");
        assert_eq!((calls("cancelled"), calls("success")), (1, 1));
        assert_eq!(llm.readings.counter("llm_usage_missing_total", &[]), 1.0, "this one told");
    }
}

#[tokio::test]
async fn times_follow_the_stand_ins_delays() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(Plan {
            text: Some("One two three four five".to_owned()),
            chunks: Some(5),
            first_byte_ms: Delay::Fixed(400.0),
            between_chunks_ms: Delay::Fixed(100.0),
            ..Plan::default()
        });
        let llm = bench.llm(provider);
        llm.ask().await.expect("a warm connection");
        let before = seconds(&llm);
        let clocks = ask(&bench, &llm).await;
        let after = seconds(&llm);
        let grown = |family: usize| after[family] - before[family];
        clocks.hold("to the first token", grown(0), &Pieces::first);
        clocks.hold("attempt", grown(1), &Pieces::end);
        clocks.hold("call", grown(2), &Pieces::end);
    }
}

/// Seconds to the first token, of the attempt, and of the call.
fn seconds(llm: &Llm) -> [f64; 3] {
    ["llm_time_to_first_token_seconds", "llm_attempt_seconds", "llm_latency_seconds"]
        .map(|family| llm.readings.seconds(family, &[]))
}

#[tokio::test]
async fn the_first_token_counts_from_its_own_attempt_and_latency_from_the_first() {
    let pause = Duration::from_millis(500);
    for provider in PROVIDERS {
        let fault = Fault::RateLimited { retry_after: None, retry_after_ms: Some(500) };
        let bench = Bench::failing(fault, 1).await;
        let llm = bench.llm(provider);
        llm.ask().await.expect("an answer");
        let [first_token, attempts, latency] = seconds(&llm);
        assert!(latency >= pause.as_secs_f64());
        assert!(first_token <= attempts && attempts <= latency - pause.as_secs_f64());
        assert_eq!(llm.readings.counter("llm_retries_total", &[("reason", "rate_limited")]), 1.0);
        assert_eq!(llm.readings.counter("llm_retries_total", &[]), 1.0);
        assert_eq!(llm.readings.samples("llm_attempt_seconds", &[("outcome", "rate_limited")]), 1);
        assert_eq!(llm.readings.samples("llm_attempt_seconds", &[("outcome", "success")]), 1);
        assert_eq!(llm.readings.samples("llm_latency_seconds", &[]), 1);
    }
}

#[tokio::test]
async fn the_time_per_output_token_is_the_stand_ins_pace() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(Plan {
            text: Some("One two three four five six".to_owned()),
            chunks: Some(6),
            first_byte_ms: Delay::Fixed(600.0),
            between_chunks_ms: Delay::Fixed(100.0),
            ..Plan::default()
        });
        let llm = bench.llm(provider);
        let clocks = ask(&bench, &llm).await;
        assert_eq!(llm.readings.counter("llm_tokens_total", &[("type", "output")]), 6.0);
        assert_eq!(llm.readings.samples("llm_time_per_output_token_seconds", &[]), 1);
        let each = llm.readings.seconds("llm_time_per_output_token_seconds", &[]);
        // Without the wait for the first one, which is longer than all of them.
        clocks.hold_from_first_to_end("from the first token on", each * 5.0);
    }
}

#[tokio::test]
async fn one_token_has_no_time_per_token() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        let plan = Plan { text: Some("Yes".to_owned()), chunks: Some(1), ..Plan::default() };
        bench.standin.set_plan(plan);
        let llm = bench.llm(provider);
        let (_, completion) = llm.ask().await.expect("an answer");
        assert_eq!(completion.usage.output, Some(1));
        assert_eq!(llm.readings.samples("llm_time_to_first_token_seconds", &[]), 1);
        assert_eq!(llm.readings.samples("llm_time_per_output_token_seconds", &[]), 0);
    }
}

#[tokio::test]
async fn what_is_left_of_rate_limits_is_what_the_last_answer_said() {
    let [anthropic, openai, _] = PROVIDERS;
    for (provider, header, kind) in [
        (anthropic, "anthropic-ratelimit-requests-remaining", "requests"),
        (anthropic, "anthropic-ratelimit-input-tokens-remaining", "input_tokens"),
        (anthropic, "anthropic-ratelimit-output-tokens-remaining", "output_tokens"),
        (openai, "x-ratelimit-remaining-requests", "requests"),
        (openai, "x-ratelimit-remaining-tokens", "tokens"),
    ] {
        let bench = Bench::limiting(&[(header, "1234567")]).await;
        let llm = bench.llm_with(provider, |config| config.retry.max_retries = 0);
        let family = "llm_rate_limit_remaining";
        assert!(!llm.readings.has(family), "nothing was said yet");
        let labels = [("provider", provider.provider_name()), ("model", MODEL), ("kind", kind)];
        llm.ask().await.expect_err("it is refused");
        let when_refused = llm.readings.gauge(family, &labels);
        assert_eq!(when_refused, 1_234_567.0, "a refusal tells as well");
        bench.standin.set_plan(Plan {
            headers: [(header.to_owned(), "42".to_owned())].into(),
            ..Plan::default()
        });
        llm.ask().await.expect("an answer");
        assert_eq!(llm.readings.gauge(family, &labels), 42.0);
    }
}

#[tokio::test]
async fn cost_is_the_price_of_the_tokens_and_cached_ones_count_once() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(Plan {
            cache_read_tokens: 5_000,
            cache_write_tokens: 700,
            reasoning_tokens: 300,
            ..Plan::default()
        });
        let llm = bench.llm(provider);
        assert_eq!(llm.readings.counter("llm_cost_usd_total", &[("model", MODEL)]), 0.0);
        llm.ask().await.expect("an answer");
        let tokens = |kind| llm.readings.counter("llm_tokens_total", &[("type", kind)]);
        assert_eq!(tokens("cache_read"), 5_000.0);
        let [written, reasoned] = match provider {
            LlmProtocol::Anthropic => [700.0, 0.0],
            LlmProtocol::OpenAi | LlmProtocol::Google => [0.0, 300.0],
        };
        assert_eq!([tokens("cache_write"), tokens("reasoning")], [written, reasoned]);
        let fresh = tokens("input") - 5_000.0 - written;
        assert!(fresh > 0.0 && fresh < 1_000.0, "{fresh}: not cached ones as well");
        assert!(tokens("output") > 300.0);
        let dollars =
            (fresh * 3.0 + 5_000.0 * 0.25 + written * 4.0 + tokens("output") * 15.0) / 1e6;
        let counted = llm.readings.counter("llm_cost_usd_total", &[("model", MODEL)]);
        assert!((counted - dollars).abs() < 1e-12, "{counted} counted, {dollars} due");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_has_its_cost_and_a_model_without_price_has_none() {
    let bench = Bench::start().await;
    bench.standin.set_plan(Plan {
        fault: Some(Fault::ResetAfterFirstToken { after_chunks: 1 }),
        between_chunks_ms: Delay::Fixed(50.0),
        ..Plan::default()
    });
    let llm = bench.llm(LlmProtocol::Anthropic);
    llm.ask().await.expect_err("it breaks off");
    assert!(llm.readings.counter("llm_cost_usd_total", &[]) > 0.0);
    let unknown = bench.llm_with(LlmProtocol::Anthropic, |config| {
        config.model = Some("a-model-of-our-own".to_owned());
    });
    unknown.ask().await.expect_err("it breaks off");
    assert!(unknown.readings.counter("llm_tokens_total", &[("type", "input")]) > 0.0);
    assert!(!unknown.readings.has("llm_cost_usd_total"));
}
