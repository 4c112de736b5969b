//! Errors that come in a stream that began with HTTP 200, before its first words: each is what it would
//! have been as an HTTP status.

use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use da_server::llm::{LlmConfig, LlmProtocol};
use da_server::provider::{ApiKey, ErrorKind};
use serde_json::{Value, json};

use crate::asking::{Choosy, Refuses, answer, client, lines, long, names, newest, small};
use crate::bench::{Bench, MODEL};

/// The error as the first event of a stream.
fn in_stream(said: &Value) -> Response {
    let events = format!(": hello\n\ndata: {said}\n\ndata: [DONE]\n\n");
    ([(CONTENT_TYPE, "text/event-stream")], events).into_response()
}

/// The error in place of a stream.
fn as_json(said: &Value) -> Response {
    axum::Json(said).into_response()
}

/// A server whose refusals have the status 200.
async fn refusing(refuses: Refuses, form: fn(&Value) -> Response) -> Choosy {
    Choosy::answering(move |_, body| match refuses(body) {
        Some((_, said)) => form(&said),
        None => answer(),
    })
    .await
}

/// A server that says this to its first request, and answers all others.
async fn once(said: Value) -> Choosy {
    Choosy::answering(move |before, _| if before == 0 { in_stream(&said) } else { answer() }).await
}

#[tokio::test]
async fn a_refused_parameter_is_left_out_at_once_and_from_then_on() {
    for form in [in_stream, as_json] {
        let server = refusing(newest, form).await;
        let llm = client(&server, |config| config.temperature = Some(0.4)).await;
        assert_eq!(llm.ask().await.expect("an answer").0, "Aye.");
        let learned = ["max_completion_tokens", "messages", "model", "stream", "stream_options"];
        llm.ask().await.expect("an answer");
        let asked = server.asked();
        assert_eq!(asked.len(), 4, "two refusals, and it is remembered");
        assert_eq!(names(&asked[3]), learned);
        assert_eq!(llm.readings.counter("llm_retries_total", &[]), 0.0, "they are no retries");
        let refusals = [("outcome", "invalid_request")];
        assert_eq!(llm.readings.samples("llm_attempt_seconds", &refusals), 2);
    }
}

#[tokio::test]
async fn a_conversation_that_is_too_long_loses_its_older_half() {
    let server = refusing(small, in_stream).await;
    let llm = client(&server, |_| {}).await;
    llm.ask_for(long(20)).await.expect("an answer");
    assert_eq!(server.asked().iter().map(lines).collect::<Vec<_>>(), [42, 22, 12, 6]);
    assert_eq!(llm.readings.counter("llm_history_cuts_total", &[]), 3.0);
}

#[tokio::test]
async fn if_the_last_line_alone_is_too_long_it_is_not_tried_again() {
    let server = Choosy::answering(|_, _| in_stream(&json!({"error": "prompt is too long"}))).await;
    let llm = client(&server, |config| config.retry.max_retries = 2).await;
    let (_, error) = llm.ask_for(long(2)).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert_eq!(server.asked().iter().map(lines).collect::<Vec<_>>(), [6, 4, 2]);
}

#[tokio::test]
async fn a_limit_that_says_how_long_is_waited_for() {
    let sentence = "Rate limit reached for requests. Please try again in 400ms.";
    for said in [
        json!({"error": {"message": sentence, "code": "rate_limit_exceeded"}}),
        json!({"error": {"code": 429, "metadata": {"retry_after_ms": 400}}}),
    ] {
        let server = once(said).await;
        let llm = client(&server, |config| {
            config.retry.max_retries = 1;
            config.retry.initial_backoff = Duration::ZERO;
        })
        .await;
        llm.ask().await.expect("an answer");
        let latency = llm.readings.seconds("llm_latency_seconds", &[]);
        let attempts = llm.readings.seconds("llm_attempt_seconds", &[]);
        assert!(latency - attempts >= 0.4, "{latency} {attempts}");
        let counted = llm.readings.counter("llm_retries_total", &[("reason", "rate_limited")]);
        assert_eq!(counted, 1.0);
    }
}

#[tokio::test]
async fn what_one_provider_refuses_another_may_answer() {
    for (said, asked, reason) in [
        (json!({"error": {"code": "insufficient_quota"}}), 1, "quota"),
        (json!({"error": {"code": 404, "message": "no such model"}}), 1, "invalid_request"),
        (json!({"error": {"code": 503, "retry_after": 3600}}), 1, "overloaded"),
        (json!({"error": {"code": 503}}), 2, "overloaded"),
    ] {
        let first = Choosy::answering(move |_, _| in_stream(&said)).await;
        let second = Choosy::start(|_| None).await;
        let llm = client(&first, |config| {
            config.retry.max_retries = 1;
            config.fallback = vec![LlmConfig {
                protocol: LlmProtocol::OpenAi,
                model: Some("another-model".to_owned()),
                base_url: Some(second.url()),
                api_key: ApiKey::new("another-key"),
                ..LlmConfig::default()
            }];
        })
        .await;
        assert_eq!(llm.ask().await.expect("an answer").0, "Aye.");
        assert_eq!(first.asked().len(), asked, "{reason}");
        let fell = llm.readings.counter("llm_fallbacks_total", &[("reason", reason)]);
        assert_eq!(fell, 1.0, "{reason}");
    }
}

#[tokio::test]
async fn after_the_first_words_nothing_is_negotiated() {
    let server = Choosy::answering(|_, _| {
        let error = json!({"error": {"message": "the request exceeds the available context size"}});
        let events = format!(
            "data: {{\"choices\":[{{\"delta\":{{\"content\":\"Aye\"}}}}]}}\n\ndata: {error}\n\n"
        );
        ([(CONTENT_TYPE, "text/event-stream")], events).into_response()
    })
    .await;
    let llm = client(&server, |_| {}).await;
    let (text, _) = llm.ask_for(long(4)).await.expect_err("it breaks off");
    assert_eq!((text.as_str(), server.asked().len()), ("Aye", 1));
    assert_eq!(llm.readings.counter("llm_history_cuts_total", &[]), 0.0);
}

#[tokio::test]
async fn a_model_that_takes_more_by_now_is_shown_more_again() {
    // The first conversation is too long thrice; then another model is behind the name.
    let server = Choosy::answering(|before, body| match small(body) {
        Some((status, said)) if before < 4 => (status, axum::Json(said)).into_response(),
        _ => answer(),
    })
    .await;
    let llm = Bench::start().await.llm_with(LlmProtocol::OpenAi, |config| {
        config.base_url = Some(server.url());
    });
    for _ in 0..4 * 50 {
        llm.ask_for(long(20)).await.expect("an answer");
    }
    let sent: Vec<_> = server.asked().iter().map(lines).collect();
    assert_eq!(sent[..5], [42, 22, 12, 6, 6]);
    assert!(sent[3..].is_sorted(), "{sent:?}");
    assert_eq!(sent.last(), Some(&42), "{sent:?}");
    let cuts = llm.readings.counter("llm_history_cuts_total", &[("model", MODEL)]);
    assert_eq!(cuts, 3.0, "nobody minds");
}
