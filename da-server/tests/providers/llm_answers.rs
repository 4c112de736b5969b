//! Calls that go well.

use std::sync::Arc;

use da_server::llm::{Prompt, StopReason};
use da_standin::{Delay, Event, Fault, Plan, TlsMode};

use crate::bench::{Bench, PROVIDERS, count, prompt};

const ANSWER: &str = "Grüße, Kapitän 🐙 — die Schrauben laufen.";

fn saying(text: &str) -> Plan {
    Plan { text: Some(text.to_owned()), ..Plan::default() }
}

#[tokio::test]
async fn the_answer_arrives_whole_with_its_usage() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(saying(ANSWER));
        let (text, completion) = bench.llm(provider).ask().await.expect("an answer");
        assert_eq!(text, ANSWER);
        assert_eq!(completion.stop_reason, StopReason::EndTurn);
        let tokens = count(&bench.log().await, |e| matches!(e, Event::Chunk { token: true, .. }));
        assert_eq!(completion.usage.output, Some(tokens as u64));
        assert!(completion.usage.input > Some(0));
    }
}

#[tokio::test]
async fn characters_may_be_split_between_chunks() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(Plan { fault: Some(Fault::SplitUtf8), ..saying(ANSWER) });
        let (text, _) = bench.llm(provider).ask().await.expect("an answer");
        assert_eq!(text, ANSWER);
        let split = count(&bench.log().await, |e| matches!(e, Event::Fault { .. }));
        assert_eq!(split, 1, "the stand-in did split");
    }
}

#[tokio::test]
async fn the_next_call_uses_the_same_connection() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        let llm = bench.llm(provider);
        for _ in 0..5 {
            llm.ask().await.expect("an answer");
        }
        assert_eq!((bench.connections().await, bench.requests().await), (1, 5));
    }
}

#[tokio::test]
async fn a_retry_after_an_http_error_uses_the_same_connection() {
    for provider in PROVIDERS {
        let bench = Bench::failing(Fault::ServerError, 1).await;
        bench.llm(provider).ask().await.expect("an answer");
        assert_eq!((bench.connections().await, bench.requests().await), (1, 2));
    }
}

#[tokio::test]
async fn calls_at_the_same_time_have_connections_of_their_own() {
    let bench = Bench::start().await;
    bench.standin.set_plan(Plan { first_byte_ms: Delay::Fixed(100.0), ..Plan::default() });
    let llm = Arc::new(bench.llm(PROVIDERS[0]));
    let calls = [llm.clone(), llm].map(|llm| tokio::spawn(async move { llm.ask().await }));
    for call in calls {
        call.await.expect("no panic").expect("an answer");
    }
    assert_eq!(bench.connections().await, 2, "HTTP/1.1: one call at a time on a connection");
}

#[tokio::test]
async fn a_server_in_the_clear_needs_no_certificate() {
    for provider in PROVIDERS {
        let bench = Bench::with_tls(TlsMode::Plain).await;
        let path = provider.default_base_url().split_once(".com").expect("a host").1;
        let url = format!("http://{}{path}", bench.standin.addr());
        let llm = bench.llm_with(provider, |config| config.base_url = Some(url));
        llm.ask().await.expect("an answer");
        llm.ask().await.expect("an answer");
        assert_eq!(bench.connections().await, 1);
    }
}

#[tokio::test]
async fn an_answer_cut_at_max_tokens_says_so() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(Plan { chunks: Some(9), ..saying(ANSWER) });
        let llm = bench.llm(provider);
        let asked = Prompt { max_tokens: 3, ..prompt() };
        let (_, completion) = llm.ask_for(asked).await.expect("an answer");
        assert_eq!(completion.stop_reason, StopReason::MaxTokens);
    }
}
