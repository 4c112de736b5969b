//! Sends lines and streams audio, whatever the wire protocol.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream};
use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap},
};

use super::{AudioFormat, Speech, TtsConfig, TtsError, TtsMetrics, meter::Meter, wire::Wire};
use crate::provider::{
    CallKind, CallReports, ErrorKind, GateMetrics, ProviderSetupError, Reporter, base_url,
    call::{Pieces, Plan},
    exchange,
    span::Span,
};

/// Ten minutes of the widest format; no line of a character is as long.
const MAX_AUDIO_BYTES: usize = 64 * 1024 * 1024;

/// A client of one speech provider. Clones share everything.
#[derive(Clone)]
pub struct TtsClient {
    shared: Arc<Shared>,
}

struct Shared {
    http: reqwest::Client,
    wire: Box<dyn Wire>,
    base: Url,
    headers: HeaderMap,
    model: String,
    format: AudioFormat,
    plan: Plan,
    metrics: TtsMetrics,
}

impl TtsClient {
    /// Builds a client, whose calls are reported to `reports` if anyone wants to look into them.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`ProviderSetupError`] for a missing key, an unreadable key file, an unknown audio format,
    /// or an unusable base URL.
    pub fn new(
        config: &TtsConfig,
        http: reqwest::Client,
        gates: &GateMetrics,
        metrics: TtsMetrics,
        reports: Option<CallReports>,
    ) -> Result<Self, ProviderSetupError> {
        let provider = config.provider.as_str();
        let wire = config.provider.wire();
        let shared = Arc::new(Shared {
            http,
            headers: wire.headers(config.key()?.as_ref())?,
            wire,
            base: base_url(provider, config.base_url())?,
            model: config.model().to_owned(),
            format: config.format()?,
            plan: Plan::new(
                Reporter { kind: CallKind::Tts, provider, model: config.model().into(), reports },
                config.timeouts.clone(),
                config.retry.clone(),
                config.max_concurrent,
                config.breaker.clone(),
                gates,
            ),
            metrics,
        });
        Ok(Self { shared })
    }

    /// Has a line spoken. Returns when the first audio is there, after retries if need be; from
    /// then on nothing is retried.
    ///
    /// Dropping the future or the stream cancels the call. The call counts as successful once the
    /// stream has yielded `None`, so read it to its end.
    ///
    /// # Errors
    /// [`TtsError`] of the last attempt.
    pub async fn speak(&self, speech: Speech) -> Result<AudioStream, TtsError> {
        let shared = &self.shared;
        let url = shared.wire.url(&shared.base, &shared.format, &speech);
        let body = Bytes::from(shared.wire.body(&shared.model, &speech).to_string());
        let attempt = |span| shared.attempt(span, url.clone(), body.clone(), &speech.text);
        let pieces = shared.plan.run(shared.metrics.clone(), attempt).await?;
        Ok(AudioStream { format: shared.format, pieces })
    }
}

impl Shared {
    async fn attempt(
        &self,
        span: Span,
        url: Url,
        body: Bytes,
        text: &str,
    ) -> Result<Pieces<Bytes>, TtsError> {
        let provider = self.plan.reporter.provider;
        let meter = Meter::start(self.format, self.metrics.clone(), span.marks().asked_ns);
        let request = self
            .http
            .post(url)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(span.body(body));
        let response =
            exchange::send(provider, request, &span, |_| {}, |body| self.wire.fault(body)).await?;
        let not_audio = TtsError::new(provider, ErrorKind::NotAudio);
        if !exchange::media_type(&response).starts_with("audio/") {
            return Err(not_audio);
        }
        self.metrics.count_characters(text);
        let idle = self.plan.timeouts.idle;
        let audio = exchange::body(provider, response, span, idle, MAX_AUDIO_BYTES)
            .filter(|chunk| future::ready(!matches!(chunk, Ok(bytes) if bytes.is_empty())))
            .boxed();
        Ok(meter.watch(or_if_empty(audio, not_audio)))
    }
}

/// The stream itself, or only `error` if there is nothing in it.
fn or_if_empty(audio: Pieces<Bytes>, error: TtsError) -> Pieces<Bytes> {
    stream::unfold((audio, Some(error)), |(mut audio, mut error)| async move {
        let chunk = match audio.next().await {
            Some(chunk) => {
                error = None;
                chunk
            }
            None => Err(error.take()?),
        };
        Some((chunk, (audio, error)))
    })
    .boxed()
}

/// Audio as it comes: non-empty chunks, then `None`, or an error in its place.
pub struct AudioStream {
    /// What the bytes mean.
    pub format: AudioFormat,
    pieces: Pieces<Bytes>,
}

impl Stream for AudioStream {
    type Item = Result<Bytes, TtsError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_next_unpin(context)
    }
}
