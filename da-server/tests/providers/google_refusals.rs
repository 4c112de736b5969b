//! How Google refuses: with details in the body where others have statuses and headers.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use da_server::llm::{LlmConfig, LlmProtocol, Message, Prompt, Role};
use da_server::provider::{ApiKey, ErrorKind};
use serde_json::{Value, json};

use crate::bench::{Bench, Llm, MODEL, prompt};

/// Refuses the first requests, in this order, and answers the others.
struct Google {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(Instant, Value)>>>,
}

impl Google {
    async fn refusing(refusals: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let refusals: VecDeque<_> = refusals.into_iter().collect();
        let (kept, refusals) = (asked.clone(), Arc::new(Mutex::new(refusals)));
        let router = Router::new().fallback(move |body: Bytes| async move {
            let body = serde_json::from_slice(&body).expect("JSON");
            kept.lock().expect("no panic").push((Instant::now(), body));
            match refusals.lock().expect("no panic").pop_front() {
                Some((status, said)) => {
                    (StatusCode::from_u16(status).expect("a status"), axum::Json(said))
                        .into_response()
                }
                None => ([(CONTENT_TYPE, "text/event-stream")], ANSWER).into_response(),
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    /// A client that makes no pause of its own worth the name.
    async fn client(&self, adjust: impl FnOnce(&mut LlmConfig)) -> Llm {
        Bench::start().await.llm_with(LlmProtocol::Google, |config| {
            config.base_url = Some(format!("http://{}/v1", self.address));
            config.retry.initial_backoff = Duration::from_millis(1);
            adjust(config);
        })
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().expect("no panic").iter().map(|(_, body)| body.clone()).collect()
    }

    /// Between the first two requests.
    fn pause(&self) -> Duration {
        let asked = self.asked.lock().expect("no panic");
        asked[1].0 - asked[0].0
    }
}

const ANSWER: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Aye.\"}]},\
                      \"finishReason\":\"STOP\"}]}\n\n";

fn error(code: u16, status: &str, message: &str, details: Value) -> (u16, Value) {
    let error = json!({"code": code, "status": status, "message": message, "details": details});
    (code, json!({"error": error}))
}

fn limited(quota: &str, delay: &str) -> (u16, Value) {
    let of = |name: &str| format!("type.googleapis.com/google.rpc.{name}");
    let details = json!([
        {"@type": of("QuotaFailure"), "violations": [{"quotaId": quota}]},
        {"@type": of("RetryInfo"), "retryDelay": delay},
    ]);
    error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", details)
}

fn invalid(message: &str) -> (u16, Value) {
    error(400, "INVALID_ARGUMENT", message, Value::Null)
}

const PER_MINUTE: &str = "GenerateRequestsPerMinutePerProjectPerModel";
const PER_DAY: &str = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";

#[tokio::test]
async fn a_delay_in_the_body_is_waited_for_whether_shorter_or_longer_than_our_own() {
    let asked = Duration::from_millis(400);
    for own in [Duration::from_millis(1), Duration::from_secs(20)] {
        let server = Google::refusing([limited(PER_MINUTE, "0.400s")]).await;
        let llm = server.client(|config| {
            config.retry.initial_backoff = own;
            config.retry.max_backoff = own;
        });
        llm.await.ask().await.expect("an answer");
        let paused = server.pause();
        assert!((asked..Duration::from_secs(10)).contains(&paused), "{paused:?}");
    }
}

#[tokio::test]
async fn a_long_delay_in_the_body_is_not_waited_for_where_another_can_be_asked() {
    let first = Google::refusing([limited(PER_MINUTE, "34s")]).await;
    let second = Google::refusing([]).await;
    let llm = first.client(|config| {
        config.fallback = vec![LlmConfig {
            protocol: LlmProtocol::Google,
            model: Some("another".to_owned()),
            base_url: Some(format!("http://{}/v1", second.address)),
            api_key: ApiKey::new("another-key"),
            ..LlmConfig::default()
        }];
    });
    llm.await.ask().await.expect("an answer");
    assert_eq!((first.asked().len(), second.asked().len()), (1, 1));
}

#[tokio::test]
async fn what_is_used_up_for_today_is_not_asked_for_again() {
    let (status, alone) = limited(PER_DAY, "0.001s");
    for said in [alone.clone(), json!([alone])] {
        let server = Google::refusing([(status, said)]).await;
        let (_, error) = server.client(|_| {}).await.ask().await.expect_err("refused");
        assert_eq!((error.kind, error.status), (ErrorKind::Quota, Some(429)));
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_key_that_is_refused_as_a_bad_request_is_a_refused_key() {
    let info = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]);
    let message = "API key not valid. Please pass a valid API key.";
    let refused = error(400, "INVALID_ARGUMENT", message, info);
    let server = Google::refusing([refused]).await;
    let (_, error) = server.client(|_| {}).await.ask().await.expect_err("refused");
    assert_eq!((error.kind, error.status), (ErrorKind::Authentication, Some(400)));
    assert_eq!(error.code.expect("a code").as_str(), "api_key_invalid");
}

#[tokio::test]
async fn a_refused_temperature_is_left_out_of_its_section() {
    let server = Google::refusing([invalid("does not support the temperature parameter")]).await;
    let llm = server.client(|config| config.temperature = Some(0.4)).await;
    llm.ask().await.expect("an answer");
    llm.ask().await.expect("an answer");
    let sent: Vec<_> = server.asked().iter().map(|body| body["generationConfig"].clone()).collect();
    let without = json!({"maxOutputTokens": 800});
    assert_eq!(
        sent,
        [json!({"maxOutputTokens": 800, "temperature": 0.4}), without.clone(), without]
    );
    let labels = [("model", MODEL), ("parameter", "temperature")];
    assert_eq!(llm.readings.counter("llm_refused_parameters_total", &labels), 1.0);
}

#[tokio::test]
async fn a_conversation_that_is_too_long_loses_its_older_half() {
    let message = "The input token count (1200000) exceeds the maximum number of tokens allowed \
                   (1048576).";
    let server = Google::refusing([invalid(message)]).await;
    let line = |role| Message { role, text: "Aye.".to_owned() };
    let turns = (0..4).flat_map(|_| [Role::Player, Role::Character]);
    let messages = turns.chain([Role::Player]).map(line).collect();
    let llm = server.client(|_| {}).await;
    llm.ask_for(Prompt { messages, ..prompt() }).await.expect("an answer");
    let asked = server.asked();
    let roles = |body: &Value| {
        let contents = body["contents"].as_array().expect("contents");
        contents.iter().map(|content| content["role"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(roles(&asked[0]).len(), 9);
    assert_eq!(roles(&asked[1]), ["user", "model", "user", "model", "user"]);
}
