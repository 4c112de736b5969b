//! What is asked, and how it is asked again where a server refuses a part of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use da_server::llm::{LlmConfig, LlmProtocol, Message, Prompt, Role};
use da_server::provider::{ApiKey, ErrorKind};
use serde_json::{Value, json};

use crate::bench::{Bench, Llm, MODEL, prompt};

/// What it says to a body: nothing to refuse, or the refusal.
pub type Refuses = fn(&Value) -> Option<(StatusCode, Value)>;

/// A server of OpenAI's protocol that refuses some requests, and what it was sent.
pub struct Choosy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Choosy {
    pub async fn start(refuses: Refuses) -> Self {
        Self::answering(move |_, body| match refuses(body) {
            Some((status, said)) => (status, axum::Json(said)).into_response(),
            None => answer(),
        })
        .await
    }

    /// One that is told how many requests there were before.
    pub async fn answering(
        answers: impl Fn(usize, &Value) -> Response + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let bodies = asked.clone();
        let router = Router::new().fallback(move |body: Bytes| async move {
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            let before = {
                let mut bodies = bodies.lock().expect("no panic");
                bodies.push(body.clone());
                bodies.len() - 1
            };
            answers(before, &body)
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("no panic").clone()
    }
}

pub fn answer() -> Response {
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"Aye.\"}}]}\n\n\
                  data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n\
                  data: [DONE]\n\n";
    ([(CONTENT_TYPE, "text/event-stream")], stream).into_response()
}

fn refused(message: &str) -> Option<(StatusCode, Value)> {
    let error = json!({"message": message, "type": "invalid_request_error", "param": null});
    Some((StatusCode::BAD_REQUEST, json!({"error": error})))
}

pub async fn client(server: &Choosy, adjust: impl FnOnce(&mut LlmConfig)) -> Llm {
    Bench::start().await.llm_with(LlmProtocol::OpenAi, |config| {
        config.base_url = Some(server.url());
        config.retry.max_retries = 0;
        adjust(config);
    })
}

pub fn names(body: &Value) -> Vec<&str> {
    body.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// A server of the newest models: it takes no temperature, and the limit by its newer name.
pub fn newest(body: &Value) -> Option<(StatusCode, Value)> {
    if body.get("temperature").is_some() {
        return refused("`temperature` is deprecated for this model.");
    }
    body.get("max_tokens")?;
    refused(
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    )
}

/// A strict one that was never told of stream_options.
fn strict(body: &Value) -> Option<(StatusCode, Value)> {
    let input = body.get("stream_options")?;
    let detail = json!({"type": "extra_forbidden", "loc": ["body", "stream_options"],
                        "msg": "Extra inputs are not permitted", "input": input});
    Some((StatusCode::UNPROCESSABLE_ENTITY, json!({"detail": [detail]})))
}

#[tokio::test]
async fn nothing_is_sent_that_nobody_asked_for() {
    let server = Choosy::start(|_| None).await;
    client(&server, |_| {}).await.ask().await.expect("an answer");
    let asked = server.asked();
    assert_eq!(names(&asked[0]), ["max_tokens", "messages", "model", "stream", "stream_options"]);
    let warm = client(&server, |config| config.temperature = Some(0.4)).await;
    warm.ask_for(Prompt { temperature: Some(0.9), ..prompt() }).await.expect("an answer");
    assert_eq!(server.asked()[1]["temperature"], 0.4, "its own section knows best");
}

#[tokio::test]
async fn a_refused_parameter_is_left_out_at_once_and_from_then_on() {
    let server = Choosy::start(newest).await;
    let llm = client(&server, |config| config.temperature = Some(0.4)).await;
    let counted = |parameter| {
        let labels = [("model", MODEL), ("parameter", parameter)];
        llm.readings.counter("llm_refused_parameters_total", &labels)
    };
    assert_eq!(counted("temperature") + counted("stream_options"), 0.0, "there from the start");
    let (text, _) = llm.ask().await.expect("an answer");
    assert_eq!(text, "Aye.");
    assert_eq!(server.asked().len(), 3, "two refusals");
    let learned = ["max_completion_tokens", "messages", "model", "stream", "stream_options"];
    llm.ask().await.expect("an answer");
    let asked = server.asked();
    assert_eq!(asked.len(), 4, "it is remembered");
    assert_eq!(names(&asked[3]), learned);
    assert_eq!((counted("temperature"), counted("max_tokens")), (1.0, 1.0));
    assert_eq!(llm.readings.counter("llm_retries_total", &[]), 0.0, "they are no retries");
    let refusals = [("outcome", "invalid_request")];
    assert_eq!(llm.readings.samples("llm_attempt_seconds", &refusals), 2, "but attempts");
    assert_eq!(llm.readings.samples("llm_latency_seconds", &[("outcome", "success")]), 2);
    assert_eq!(llm.readings.samples("llm_latency_seconds", &[("outcome", "error")]), 0);
}

#[tokio::test]
async fn without_usage_an_answer_is_one_whose_tokens_are_missing() {
    let server = Choosy::start(strict).await;
    let llm = client(&server, |_| {}).await;
    assert_eq!(llm.readings.counter("llm_usage_missing_total", &[]), 0.0);
    llm.ask().await.expect("an answer");
    assert_eq!(names(&server.asked()[1]), ["max_tokens", "messages", "model", "stream"]);
    assert_eq!(llm.readings.counter("llm_usage_missing_total", &[]), 1.0);
}

#[tokio::test]
async fn a_refusal_that_names_nothing_we_sent_is_final() {
    let server = Choosy::start(|_| refused("'top_p' is not supported")).await;
    let llm = client(&server, |_| {}).await;
    let (_, error) = llm.ask().await.expect_err("refused");
    assert_eq!((error.kind, error.status), (ErrorKind::InvalidRequest, Some(400)));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_parameter_refused_for_ever_ends_in_its_refusal() {
    let server = Choosy::start(|_| refused("max_tokens, max_completion_tokens: unsupported")).await;
    let (_, error) = client(&server, |_| {}).await.ask().await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    assert_eq!(server.asked().len(), 3, "either name, and neither");
}

/// A conversation of so many turns, and the last line.
pub fn long(turns: usize) -> Prompt {
    let line = |role, text: String| Message { role, text };
    let turn = |n| {
        [line(Role::Player, format!("{n:03}").repeat(10)), line(Role::Character, "a".repeat(30))]
    };
    let mut messages: Vec<_> = (0..turns).flat_map(turn).collect();
    messages.push(line(Role::Player, "And now?".to_owned()));
    Prompt { messages, ..prompt() }
}

pub fn lines(body: &Value) -> usize {
    body["messages"].as_array().expect("messages").len()
}

/// A model with room for ten messages.
pub fn small(body: &Value) -> Option<(StatusCode, Value)> {
    match lines(body) > 10 {
        true => refused("This model's maximum context length is 512 tokens."),
        false => None,
    }
}

#[tokio::test]
async fn a_conversation_that_is_too_long_loses_its_older_half_and_goes_on() {
    let server = Choosy::start(small).await;
    let llm = client(&server, |_| {}).await;
    llm.ask_for(long(20)).await.expect("an answer");
    // With the instructions: 42, then 1 + 21, then 1 + 11, then 1 + 5.
    let sent = || server.asked().iter().map(lines).collect::<Vec<_>>();
    assert_eq!(sent(), [42, 22, 12, 6]);
    let asked = server.asked();
    let kept = asked[3]["messages"].as_array().expect("messages");
    assert_eq!((&kept[0]["role"], &kept[1]["role"]), (&json!("system"), &json!("user")));
    assert_eq!(kept[5]["content"], "And now?");
    assert_eq!(llm.readings.counter("llm_history_cuts_total", &[("model", MODEL)]), 3.0);
    llm.ask_for(long(20)).await.expect("an answer");
    assert_eq!(sent()[4..], [6], "it is remembered");
}

#[tokio::test]
async fn if_the_last_line_alone_is_too_long_the_call_fails() {
    let server = Choosy::start(|_| refused("prompt is too long: 9 tokens > 8 maximum")).await;
    let llm = client(&server, |_| {}).await;
    let (_, error) = llm.ask_for(long(2)).await.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::InvalidRequest);
    let sent: Vec<_> = server.asked().iter().map(lines).collect();
    assert_eq!(sent, [6, 4, 2]);
}

#[tokio::test]
async fn what_the_model_can_take_is_not_exceeded_where_it_is_known() {
    let server = Choosy::start(|_| None).await;
    let llm = client(&server, |config| config.context_tokens = Some(900)).await;
    // 300 bytes: the instructions, the last line, and four turns of 60.
    llm.ask_for(long(20)).await.expect("an answer");
    assert_eq!(lines(&server.asked()[0]), 1 + 8 + 1);
    assert_eq!(llm.readings.counter("llm_history_cuts_total", &[]), 0.0);
}

#[tokio::test]
async fn what_one_provider_refuses_another_may_answer() {
    let gone = |_: &Value| {
        let error = json!({"type": "not_found_error", "message": "model: claude-2"});
        Some((StatusCode::NOT_FOUND, json!({"type": "error", "error": error})))
    };
    let broke = |_: &Value| {
        let message = "Your credit balance is too low to access the Anthropic API.";
        let error = json!({"type": "invalid_request_error", "message": message});
        Some((StatusCode::BAD_REQUEST, json!({"type": "error", "error": error})))
    };
    for (refuses, reason) in [(gone as Refuses, "invalid_request"), (broke, "quota")] {
        let (first, second) = (Choosy::start(refuses).await, Choosy::start(|_| None).await);
        let llm = Bench::start().await.llm_with(LlmProtocol::Anthropic, |config| {
            config.base_url = Some(first.url());
            config.fallback = vec![LlmConfig {
                protocol: LlmProtocol::OpenAi,
                model: Some(MODEL.to_owned()),
                base_url: Some(second.url()),
                api_key: ApiKey::new("another-key"),
                ..LlmConfig::default()
            }];
        });
        let (text, _) = llm.ask().await.expect("an answer");
        assert_eq!(text, "Aye.");
        assert_eq!(first.asked().len(), 1, "{reason}");
        let fell = llm.readings.counter("llm_fallbacks_total", &[("reason", reason)]);
        assert_eq!(fell, 1.0, "{reason}");
    }
}
