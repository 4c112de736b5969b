//! Our requests beside those of the newest official SDKs: who may not ask the providers has no
//! better witness of what they want.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use da_server::llm::{LlmConfig, LlmProtocol};
use da_server::tts::TtsProtocol;
use da_testkit::programs::skip;
use serde_json::Value;

use crate::bench::{Bench, MODEL, PROVIDERS};
use crate::tts::hear;

/// The Python that `cargo xtask test` puts libraries into.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/test-python/bin/python");
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/providers/sdks/ask.py");

/// What a provider reads of a request. The rest of the headers are about the library or the
/// connection.
const HEADERS: [&str; 6] = [
    "authorization",
    "x-api-key",
    "anthropic-version",
    "x-goog-api-key",
    "xi-api-key",
    "content-type",
];

#[derive(Debug, Clone, PartialEq)]
struct Asked {
    /// With what follows it.
    path: String,
    headers: BTreeMap<String, String>,
    body: Value,
}

/// A server that keeps what it was sent, and answers with the end of each protocol's streams.
async fn start() -> (String, Arc<Mutex<Vec<Asked>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    let answer = move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
        let value = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        // Whoever asks for text says so in the body.
        let is_speech = uri.path().ends_with("/speech") || uri.path().ends_with("/stream");
        let accept = is_speech.then_some("accept");
        let headers = HEADERS.into_iter().chain(accept);
        let headers = headers.filter_map(|name| Some((name.to_owned(), value(name)?)));
        let body = serde_json::from_slice(&body).expect("JSON");
        let asked = Asked { path: uri.to_string(), headers: headers.collect(), body };
        keep.lock().expect("no panic").push(asked);
        let end = match uri.path() {
            "/v1/messages" => "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            "/v1/chat/completions" => "data: [DONE]\n\n",
            _ => "data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\n\n",
        };
        ([(CONTENT_TYPE, "text/event-stream")], end)
    };
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, kept)
}

#[tokio::test]
async fn we_ask_as_the_official_sdks_do() {
    let found = Command::new(PYTHON)
        .args(["-c", "import anthropic, openai, google.genai, elevenlabs"])
        .output();
    if !found.is_ok_and(|found| found.status.success()) {
        return skip("the official SDKs are not installed: `cargo xtask test` installs them");
    }
    let (url, kept) = start().await;
    let asking = url.clone();
    let ran = tokio::task::spawn_blocking(move || {
        Command::new(PYTHON)
            .arg(PROGRAM)
            .arg(asking)
            .output()
            .expect("Python: `cargo xtask setup` installs it")
    });
    let output = ran.await.expect("no panic");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs = std::mem::take(&mut *kept.lock().expect("no panic"));
    let bench = Bench::start().await;
    for provider in PROVIDERS {
        let llm = bench.llm_with(provider, |config: &mut LlmConfig| {
            let version = if provider == LlmProtocol::Anthropic { "" } else { "/v1" };
            config.base_url = Some(format!("{url}{version}"));
            config.retry.max_retries = 0;
        });
        // What comes back has no words, which is all the same here.
        let _answer = llm.ask().await;
    }
    for (provider, version) in [(TtsProtocol::OpenAi, "/v1"), (TtsProtocol::ElevenLabs, "")] {
        let tts = bench.tts_with(provider, |config| {
            config.base_url = Some(format!("{url}{version}"));
            config.model = Some(MODEL.to_owned());
            config.retry.max_retries = 0;
        });
        let _not_audio = hear(&tts).await;
    }
    let mut ours = std::mem::take(&mut *kept.lock().expect("no panic"));
    // A server that is not OpenAI's own is asked by the older name of the limit.
    let body = ours[1].body.as_object_mut().expect("an object");
    let limit = body.remove("max_tokens").expect("the limit");
    body.insert("max_completion_tokens".to_owned(), limit);
    assert_eq!(ours, theirs);
}
