//! Calls that fail for good: what the caller is told, and that it is told.

use std::time::Duration;

use da_server::llm::LlmProtocol;
use da_server::provider::ErrorKind;
use da_standin::{Delay, Fault, Plan};

use crate::bench::{Bench, PROVIDERS};

const ANSWER: &str = "One two three four five";

/// The words come one by one, so that those before the fault have arrived when it does.
fn spoilt_by(fault: Fault) -> Plan {
    Plan {
        text: Some(ANSWER.to_owned()),
        between_chunks_ms: Delay::Fixed(100.0),
        fault: Some(fault),
        ..Plan::default()
    }
}

#[tokio::test]
async fn a_reset_after_text_is_an_interruption_and_not_tried_again() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(spoilt_by(Fault::ResetAfterFirstToken { after_chunks: 2 }));
        let (text, error) = bench.llm(provider).ask().await.expect_err("it is cut");
        assert_eq!(error.kind, ErrorKind::Interrupted);
        assert!(ANSWER.starts_with(&text) && text.len() < ANSWER.len(), "{text:?}");
        assert_eq!(bench.requests().await, 1);
    }
}

#[tokio::test]
async fn an_error_event_after_text_ends_the_answer() {
    let kinds = [ErrorKind::Overloaded, ErrorKind::Server, ErrorKind::Overloaded];
    for (provider, kind) in PROVIDERS.into_iter().zip(kinds) {
        let bench = Bench::start().await;
        bench.standin.set_plan(spoilt_by(Fault::ErrorEventAfter200 { after_chunks: 2 }));
        let (text, error) = bench.llm(provider).ask().await.expect_err("it fails");
        assert_eq!((error.kind, error.status), (kind, None));
        assert!(!text.is_empty() && text.len() < ANSWER.len(), "{text:?}");
        assert_eq!(bench.requests().await, 1);
    }
}

#[tokio::test]
async fn silence_in_the_middle_times_out() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(Plan {
            text: Some(ANSWER.to_owned()),
            between_chunks_ms: Delay::Fixed(2_000.0),
            ..Plan::default()
        });
        // Silence begins after the first event, which for Anthropic holds no text yet.
        let llm = bench.llm_with(provider, |config| {
            config.timeouts.idle = Duration::from_millis(200);
            config.retry.max_retries = 0;
        });
        let (_, error) = llm.ask().await.expect_err("it is silent");
        assert_eq!(error.kind, ErrorKind::Timeout);
    }
}

#[tokio::test]
async fn the_deadline_ends_an_answer_that_drags_on() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        bench.standin.set_plan(Plan {
            text_characters: Some(10_000),
            chunks: Some(1_000),
            between_chunks_ms: Delay::Fixed(20.0),
            ..Plan::default()
        });
        let llm = bench.llm_with(provider, |config| {
            // Enough to begin, and a tenth of what all of it takes.
            config.timeouts.total = Duration::from_secs(2);
        });
        let (text, error) = llm.ask().await.expect_err("it takes too long");
        assert_eq!(error.kind, ErrorKind::Timeout);
        assert!(!text.is_empty(), "what came before the deadline was handed over");
    }
}

#[tokio::test]
async fn a_refused_key_is_told_from_other_refusals_and_not_tried_again() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        // Only a server of one's own may be asked without a key at all.
        let port = bench.standin.addr().port();
        let path = provider.default_base_url().split_once(".com").expect("a host").1;
        let llm = bench.llm_with(provider, |config| {
            config.api_key = None;
            config.base_url = Some(format!("https://localhost:{port}{path}"));
        });
        let (_, error) = llm.ask().await.expect_err("no key");
        let status = if provider == LlmProtocol::Google { 403 } else { 401 };
        assert_eq!((error.kind, error.status), (ErrorKind::Authentication, Some(status)));
        assert_eq!(bench.requests().await, 1);
    }
}

#[tokio::test]
async fn a_wrong_path_is_refused() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        let url = format!("{}/elsewhere", provider.default_base_url());
        let llm = bench.llm_with(provider, |config| config.base_url = Some(url));
        let (_, error) = llm.ask().await.expect_err("no such path");
        assert_eq!((error.kind, error.status), (ErrorKind::InvalidRequest, Some(404)));
        assert_eq!(bench.requests().await, 1);
    }
}

#[tokio::test]
async fn nobody_listening_is_a_connection_error() {
    for provider in PROVIDERS {
        let bench = Bench::start().await;
        let llm = bench.llm(provider);
        bench.standin.stop().await;
        let (_, error) = llm.ask().await.expect_err("nobody there");
        assert_eq!(error.kind, ErrorKind::Connect);
        assert!(error.to_string().contains("refused"), "{error}");
    }
}
