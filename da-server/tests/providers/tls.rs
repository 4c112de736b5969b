//! Names, certificates and handshakes.

use std::time::{Duration, Instant};

use da_server::llm::{LlmClient, LlmConfig, LlmMetrics};
use da_server::provider::{ApiKey, ErrorKind, HttpConfig, http_client};
use da_standin::{DEFAULT_NAMES, Delay, Event, Fault, Plan, TlsMode};
use futures_util::StreamExt;

use crate::bench::{Bench, PROVIDERS, count, http, prices, prompt};
use crate::readings::Readings;

#[tokio::test]
async fn both_tls_versions_are_spoken_under_the_providers_name() {
    for (mode, version) in [(TlsMode::V12, "1.2"), (TlsMode::V13, "1.3")] {
        for provider in PROVIDERS {
            let bench = Bench::with_tls(mode).await;
            bench.llm(provider).ask().await.expect("an answer");
            let log = bench.log().await;
            let is_version = |e: &Event| matches!(e, Event::HandshakeDone { tls_version, .. } if *tls_version == version);
            assert_eq!(count(&log, is_version), 1);
            let host = provider.default_base_url().split('/').nth(2);
            let request = log.iter().find(|entry| matches!(entry.event, Event::Request { .. }));
            assert_eq!(request.expect("a request").name.as_deref(), host);
        }
    }
}

#[tokio::test]
async fn an_unknown_authority_is_a_tls_error_and_not_tried_again() {
    for provider in PROVIDERS {
        let mut bench = Bench::start().await;
        bench.http = http(bench.standin.addr(), None);
        let llm = bench.llm(provider);
        let (_, error) = llm.ask().await.expect_err("nobody vouches for it");
        assert_eq!(error.kind, ErrorKind::Tls);
        assert!(error.to_string().contains("ca_file"), "{error}");
        assert_eq!(llm.readings.samples("llm_attempt_seconds", &[("outcome", "tls")]), 1);
        assert_eq!(bench.requests().await, 0, "nothing was asked of a stranger");
    }
}

#[tokio::test]
async fn a_refused_handshake_is_a_tls_error() {
    let bench = Bench::failing(Fault::BadHandshake, 1).await;
    let (_, error) = bench.llm(PROVIDERS[0]).ask().await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Tls);
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_a_connection_error() {
    let bench = Bench::start().await;
    let slow = Duration::from_secs(20);
    bench.standin.set_plan(Plan { handshake_ms: Delay::from(slow), ..Plan::default() });
    let address = bench.standin.addr();
    let mut ca_file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut ca_file, bench.standin.ca_pem().as_bytes()).expect("written");
    let http = http_client(&HttpConfig {
        ca_file: Some(ca_file.path().to_owned()),
        resolve: DEFAULT_NAMES.map(|name| (name.to_owned(), address)).into(),
        connect_timeout: Duration::from_millis(200),
        ..HttpConfig::default()
    });
    let mut config = LlmConfig { api_key: ApiKey::new("k"), ..LlmConfig::default() };
    config.retry.max_retries = 0;
    let readings = Readings::new();
    let metrics = LlmMetrics::register(&readings.registry, prices()).expect("metrics");
    let http = http.expect("a client");
    let client = LlmClient::new(&config, http, &readings.gates(), &metrics, None);
    let started = Instant::now();
    let error = client.expect("a client").stream(prompt()).await.err().expect("too slow");
    assert_eq!(error.kind, ErrorKind::Connect, "{error}");
    assert!(started.elapsed() < slow / 2);
}

#[tokio::test]
async fn keys_never_show_in_errors_or_debug_forms() {
    let bench = Bench::failing(Fault::ServerError, 100).await;
    let llm = bench.llm_with(PROVIDERS[0], |config| {
        config.api_key = ApiKey::new("sk-very-secret");
        assert!(!format!("{config:?}").contains("secret"));
    });
    let error = llm.client.stream(prompt()).await.err().expect("it fails");
    assert!(!format!("{error} {error:?}").contains("secret"));
    bench.standin.set_plan(Plan::default());
    let mut stream = llm.stream().await.expect("an answer");
    let first = stream.next().await.expect("text").expect("no error");
    assert!(format!("{first:?}").starts_with("Text("), "no words: {first:?}");
}
