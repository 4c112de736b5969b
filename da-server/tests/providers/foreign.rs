//! Servers that are no provider at all: what a wrong base URL finds.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use da_server::provider::ErrorKind;
use futures_util::stream;

use crate::bench::{Bench, PROVIDERS, VOICES};
use crate::tts::speech;

/// Answers every request with what `answer` makes.
async fn serve(answer: fn(Uri) -> Response) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(move |uri: Uri| async move { answer(uri) });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn llm_error(answer: fn(Uri) -> Response) -> Vec<(ErrorKind, Option<u16>)> {
    let address = serve(answer).await;
    let bench = Bench::start().await;
    let mut errors = Vec::new();
    for provider in PROVIDERS {
        let url = format!("http://{address}");
        let llm = bench.llm_with(provider, |config| config.base_url = Some(url));
        let (text, error) = llm.ask().await.expect_err("no provider");
        assert_eq!(text, "");
        assert_eq!(llm.readings.counter("llm_retries_total", &[]), 0.0, "a retry mends nothing");
        errors.push((error.kind, error.status));
    }
    errors
}

/// Why neither voice speaks, and how often they were asked again.
async fn tts_error(answer: fn(Uri) -> Response) -> (ErrorKind, f64) {
    let address = serve(answer).await;
    let bench = Bench::start().await;
    let mut errors = Vec::new();
    for provider in VOICES {
        let url = format!("http://{address}");
        let tts = bench.tts_with(provider, |config| config.base_url = Some(url));
        let error = tts.client.speak(speech()).await.err().expect("no provider");
        errors.push((error.kind, tts.readings.counter("tts_retries_total", &[])));
    }
    assert_eq!(errors[0], errors[1]);
    errors[0]
}

fn page(_: Uri) -> Response {
    Html("<h1>It works!</h1>").into_response()
}

/// Wherever it is asked, it sends on to a place that would answer.
fn moved(uri: Uri) -> Response {
    match uri.path().ends_with("/new") {
        true => ([(CONTENT_TYPE, "text/event-stream")], "data: [DONE]\n\n").into_response(),
        false => (StatusCode::FOUND, [(LOCATION, "/new")]).into_response(),
    }
}

fn endless(_: Uri) -> Response {
    let comment = Bytes::from(vec![b':'; 64 * 1024]);
    let body = stream::repeat_with(move || Ok::<_, Infallible>(comment.clone()));
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}

fn silent(_: Uri) -> Response {
    ([(CONTENT_TYPE, "audio/mpeg")], "").into_response()
}

#[tokio::test]
async fn a_web_page_is_no_answer() {
    assert_eq!(llm_error(page).await, [(ErrorKind::Protocol, None); PROVIDERS.len()]);
    assert_eq!(tts_error(page).await, (ErrorKind::NotAudio, 0.0));
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_key() {
    assert_eq!(llm_error(moved).await, [(ErrorKind::Protocol, Some(302)); PROVIDERS.len()]);
    assert_eq!(tts_error(moved).await, (ErrorKind::Protocol, 0.0));
}

#[tokio::test]
async fn an_endless_answer_is_given_up() {
    assert_eq!(llm_error(endless).await, [(ErrorKind::Protocol, None); PROVIDERS.len()]);
}

#[tokio::test]
async fn audio_without_a_byte_is_asked_for_again() {
    assert_eq!(tts_error(silent).await, (ErrorKind::EmptyAnswer, 2.0));
}
