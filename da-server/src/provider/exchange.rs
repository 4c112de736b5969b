//! One request and its response: what the client sees of an exchange on a connection.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap},
};
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::{
    ErrorKind, ProviderError, ProviderName, ReportedError, RetryAdvice,
    attempt_timings::AttemptRecorder, pace::Pace,
};

/// Error bodies are short; what is beyond this is not read.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;
/// How long the rest of an error body, or the end of a finished stream, may take.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// Sends the request and returns its response if that is HTTP 200. Any other answer is read and
/// passed to `parse_error`, which knows this protocol's errors. `on_headers` is called with the headers
/// of either.
pub(crate) async fn send(
    provider: &ProviderName,
    request: RequestBuilder,
    recorder: &AttemptRecorder,
    on_headers: impl FnOnce(&HeaderMap),
    parse_error: impl FnOnce(&[u8]) -> ReportedError,
) -> Result<Response, ProviderError> {
    let failed = |error| ProviderError::from_transport(provider, &error);
    let (client, request) = request.build_split();
    let request = request.map_err(failed)?;
    recorder.sent_to(request.url());
    let response = recorder.scope(client.execute(request)).await.map_err(failed)?;
    recorder.answered(&response);
    on_headers(response.headers());
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(response);
    }
    let advice = RetryAdvice::from_headers(response.headers(), SystemTime::now());
    let body = short_body(response, recorder).await;
    let (reported, advice) = (parse_error(&body), advice.or_from_body(&body));
    Err(ProviderError::from_answer(provider, status, reported, advice))
}

/// The media type of a response in lower case, without parameters.
pub(crate) fn media_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = text.split(';').next().unwrap_or("");
    essence.trim().to_ascii_lowercase()
}

/// The body as it arrives. A pause longer than `idle`, more than `max_bytes` in all, or a body cut
/// short ends it with an error; after an error or the end it yields nothing more. Others get their
/// turn however fast it comes.
pub(crate) fn body(
    provider: ProviderName,
    response: Response,
    recorder: AttemptRecorder,
    idle: Duration,
    max_bytes: usize,
) -> impl Stream<Item = Result<Bytes, ProviderError>> + Send {
    let chunks = Box::pin(response.bytes_stream());
    let reading = (chunks, recorder, max_bytes, Pace::default(), provider);
    stream::unfold(Some(reading), move |state| async move {
        let (mut chunks, recorder, left, mut pace, provider) = state?;
        let failed = |error| Some((Err(error), None));
        match timeout(idle, chunks.next()).await {
            Err(_elapsed) => failed(ProviderError::new(&provider, ErrorKind::Timeout)),
            Ok(None) => {
                recorder.body_ended();
                None
            }
            Ok(Some(Err(error))) => failed(ProviderError::from_transport(&provider, &error)),
            Ok(Some(Ok(chunk))) => {
                recorder.read(chunk.len());
                pace.spend(chunk.len()).await;
                match left.checked_sub(chunk.len()) {
                    None => failed(ProviderError::new(&provider, ErrorKind::Protocol)),
                    Some(left) => Some((Ok(chunk), Some((chunks, recorder, left, pace, provider)))),
                }
            }
        }
    })
}

/// A body of JSON once it is whole, though it may not have ended; or what there is of it, and why there is
/// no more.
pub(crate) async fn json_body(
    body: impl Stream<Item = Result<Bytes, ProviderError>> + Send,
) -> (Vec<u8>, Option<ProviderError>) {
    let (mut body, mut json) = (Box::pin(body), Vec::new());
    loop {
        match timeout(DRAIN_TIMEOUT, body.next()).await {
            Ok(Some(Ok(chunk))) => json.extend_from_slice(&chunk),
            Ok(Some(Err(error))) => return (json, Some(error)),
            Ok(None) => return (json, None),
            Err(_elapsed) if serde_json::from_slice::<IgnoredAny>(&json).is_ok() => {
                return (json, None);
            }
            Err(_elapsed) => {}
        }
    }
}

/// As much of an error's body as comes quickly, whatever its status. A part is better than none, so a body cut short is
/// not an error of its own.
pub(crate) async fn short_body(mut response: Response, recorder: &AttemptRecorder) -> Vec<u8> {
    let mut body = Vec::new();
    let _gave_up = timeout(DRAIN_TIMEOUT, async {
        while let Ok(chunk) = response.chunk().await {
            let Some(chunk) = chunk else {
                recorder.body_ended();
                break;
            };
            recorder.read(chunk.len());
            let room = MAX_ERROR_BODY_BYTES - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == MAX_ERROR_BODY_BYTES {
                break;
            }
        }
    })
    .await;
    body
}
