//! One provider: sends lines and streams audio, whatever the wire protocol.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap},
};

use super::{
    AudioFormat, Speech, TtsConfig, TtsError, TtsMetrics,
    audio_stats::AudioStats,
    coalesce::coalesce,
    container::opened,
    metrics::VoiceMetrics,
    voices::Voices,
    wire::{Request, Wire},
};
use crate::provider::{
    AdmissionMetrics, ApiKey, CallKind, CallReports, ErrorKind, ProviderSetupError, ReportedError,
    Reporter,
    attempt_timings::AttemptRecorder,
    base_url,
    call::{CallRunner, Chunk, ChunkStream},
    exchange,
    fallback::Labelled,
    request_body::request_body,
};

/// Ten minutes of the widest format; no line of a character is as long.
const MAX_AUDIO_BYTES: usize = 64 * 1024 * 1024;

/// A chunk of audio, and what its bytes mean.
struct Sound {
    format: AudioFormat,
    bytes: Bytes,
}

impl Chunk for Sound {
    fn is_end(&self) -> bool {
        false
    }
}

/// One provider.
pub(super) struct Backend {
    http: reqwest::Client,
    wire: Box<dyn Wire>,
    base: Url,
    headers: HeaderMap,
    model: String,
    format: AudioFormat,
    voices: Voices,
    runner: CallRunner,
    metrics: VoiceMetrics,
}

impl Labelled for Backend {
    fn labels(&self) -> [&str; 2] {
        [&self.runner.reporter.provider, &self.model]
    }
}

impl Backend {
    pub(super) fn new(
        config: &TtsConfig,
        key: Option<ApiKey>,
        http: reqwest::Client,
        admission: &AdmissionMetrics,
        metrics: &TtsMetrics,
        reports: Option<CallReports>,
        has_fallback: bool,
    ) -> Result<Arc<Self>, ProviderSetupError> {
        let wire = config.wire();
        Ok(Arc::new(Self {
            http,
            headers: wire.headers(key.as_ref())?,
            wire,
            base: base_url(config.protocol.provider_name(), config.base_url())?,
            model: config.model().to_owned(),
            format: config.format()?,
            voices: Voices::of_section(config),
            runner: CallRunner {
                has_fallback,
                ..CallRunner::new(
                    Reporter {
                        kind: CallKind::Tts,
                        provider: config.provider(),
                        model: config.model().into(),
                        reports,
                    },
                    config.timeouts.clone(),
                    config.retry.clone(),
                    config.max_concurrent,
                    config.breaker.clone(),
                    admission,
                )
            },
            metrics: metrics.of(config.provider()),
        }))
    }

    /// Audio once its first chunk is there, after retries if need be, and what its bytes mean.
    pub(super) async fn call(
        &self,
        speech: &Speech,
    ) -> Result<(AudioFormat, ChunkStream<Bytes>), TtsError> {
        let attempt = |recorder| self.attempt(recorder, speech);
        let mut sounds = self.runner.run(self.metrics.clone(), attempt).await?;
        let Some(first) = sounds.next().await.transpose()? else {
            return Err(self.error(ErrorKind::EmptyAnswer));
        };
        let sounds = stream::iter([Ok(first.bytes)]).chain(sounds.map_ok(|sound| sound.bytes));
        Ok((first.format, sounds.boxed()))
    }

    fn error(&self, kind: ErrorKind) -> TtsError {
        TtsError::new(&self.runner.reporter.provider, kind)
    }

    async fn attempt(
        &self,
        recorder: AttemptRecorder,
        speech: &Speech,
    ) -> Result<ChunkStream<Sound>, TtsError> {
        let provider = &self.runner.reporter.provider;
        let voice = self.voices.of(&speech.character, &speech.voice_id);
        // A server does not start without one.
        let voice = voice.ok_or_else(|| self.error(ErrorKind::InvalidRequest))?;
        let asked = Request {
            model: &self.model,
            voice,
            text: &speech.text,
            said_before: &speech.said_before,
            format: self.format,
        };
        let body = Bytes::from(self.wire.body(&asked).to_string());
        let stats =
            AudioStats::start(self.format, self.metrics.clone(), recorder.timings().asked_ns);
        let request = self
            .http
            .post(self.wire.url(&self.base, &asked))
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(request_body(&recorder, body));
        let response = exchange::send(
            provider,
            request,
            &recorder,
            |_| {},
            |body| self.wire.parse_error(body),
        )
        .await?;
        let media_type = exchange::media_type(&response);
        match media_type.as_str() {
            // Some servers leave it at that.
            "" | "application/octet-stream" | "binary/octet-stream" | "application/ogg" => {}
            audio if audio.starts_with("audio/") => {}
            "application/json" => {
                return Err(
                    match self.wire.parse_error(&exchange::short_body(response, &recorder).await) {
                        ReportedError { kind: None, code } => {
                            TtsError { code, ..self.error(ErrorKind::NotAudio) }
                        }
                        reported => TtsError::in_stream(provider, reported),
                    },
                );
            }
            _ => return Err(self.error(ErrorKind::NotAudio)),
        }
        self.metrics.count_characters(&speech.text);
        let idle = self.runner.timeouts.idle;
        let audio = exchange::body(provider.clone(), response, recorder, idle, MAX_AUDIO_BYTES)
            .filter(|chunk| future::ready(!matches!(chunk, Ok(bytes) if bytes.is_empty())))
            .boxed();
        let (format, audio) = opened(provider, self.format, &media_type, audio).await?;
        let audio = coalesce(or_if_empty(audio, self.error(ErrorKind::EmptyAnswer)));
        Ok(stats.observe(format, audio).map_ok(move |bytes| Sound { format, bytes }).boxed())
    }
}

/// The stream itself, or only `error` if there is nothing in it.
fn or_if_empty(audio: ChunkStream<Bytes>, error: TtsError) -> ChunkStream<Bytes> {
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
