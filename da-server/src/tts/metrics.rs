//! The metrics of speech calls.

use std::time::Duration;

use prometheus::{
    Counter, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts,
};

use super::TtsProvider;
use crate::metrics::{Registry, buckets};
use crate::provider::{
    ErrorKind,
    report::{AttemptReport, Observer, Outcome},
};

/// The metrics of one speech provider, resolved once.
#[derive(Debug, Clone)]
pub struct TtsMetrics {
    provider: TtsProvider,
    latency: Histogram,
    first_byte: Histogram,
    attempts: HistogramVec,
    retries: IntCounterVec,
    characters: IntCounter,
    first_audio: Histogram,
    real_time_factor: Histogram,
    audio: Counter,
}

impl TtsMetrics {
    /// Registers the families, with every known series at 0.
    ///
    /// # Errors
    /// If a family of the same name is registered already.
    pub fn register(registry: &Registry, provider: TtsProvider) -> prometheus::Result<Self> {
        let latency = Histogram::with_opts(
            HistogramOpts::new(
                "tts_latency_seconds",
                "Logical speech calls from request to last audio byte, with their retries; failed \
                 and cancelled ones too.",
            )
            .buckets(buckets::TTS_SECONDS.to_vec()),
        )?;
        let first_byte = Histogram::with_opts(
            HistogramOpts::new(
                "tts_time_to_first_byte_seconds",
                "From the start of an attempt to its first audio byte; successful attempts only.",
            )
            .buckets(buckets::FIRST_CONTENT_SECONDS.to_vec()),
        )?;
        let attempts = HistogramVec::new(
            HistogramOpts::new(
                "tts_attempt_seconds",
                "Single attempts of speech calls, without the pauses between them.",
            )
            .buckets(buckets::TTS_SECONDS.to_vec()),
            &["provider", "outcome"],
        )?;
        let retries = IntCounterVec::new(
            Opts::new(
                "tts_retries_total",
                "Attempts that followed a failed one, by why that one failed.",
            ),
            &["provider", "reason"],
        )?;
        let characters = IntCounter::new(
            "tts_characters_total",
            "Characters of text that a speech provider accepted to speak.",
        )?;
        let first_audio = Histogram::with_opts(
            HistogramOpts::new(
                "tts_time_to_first_audio_seconds",
                "From the start of an attempt to its first audible sample being heard by somebody \
                 who plays the audio as it comes; successful attempts only.",
            )
            .buckets(buckets::FIRST_CONTENT_SECONDS.to_vec()),
        )?;
        let real_time_factor = Histogram::with_opts(
            HistogramOpts::new(
                "tts_real_time_factor",
                "Waited for the provider / seconds of audio that came; successful attempts only. \
                 Above 1 nobody can listen without a pause.",
            )
            .buckets(buckets::REAL_TIME_FACTORS.to_vec()),
        )?;
        let audio = Counter::new(
            "tts_audio_seconds_total",
            "Audio that came from the speech provider, in seconds of playing it.",
        )?;
        registry.register(Box::new(first_audio.clone()))?;
        registry.register(Box::new(real_time_factor.clone()))?;
        registry.register(Box::new(audio.clone()))?;
        registry.register(Box::new(latency.clone()))?;
        registry.register(Box::new(first_byte.clone()))?;
        registry.register(Box::new(attempts.clone()))?;
        registry.register(Box::new(retries.clone()))?;
        registry.register(Box::new(characters.clone()))?;
        for outcome in Outcome::all() {
            attempts.with_label_values(&[provider.as_str(), outcome.as_str()]);
        }
        for reason in ErrorKind::ALL.into_iter().filter(|kind| kind.is_transient()) {
            retries.with_label_values(&[provider.as_str(), reason.as_str()]);
        }
        Ok(Self {
            provider,
            latency,
            first_byte,
            attempts,
            retries,
            characters,
            first_audio,
            real_time_factor,
            audio,
        })
    }

    pub(super) fn count_characters(&self, text: &str) {
        self.characters.inc_by(text.chars().count() as u64);
    }

    pub(super) fn count_audio(&self, lasts: Duration) {
        self.audio.inc_by(lasts.as_secs_f64());
    }

    pub(super) fn first_audio(&self, took: Duration) {
        self.first_audio.observe(took.as_secs_f64());
    }

    pub(super) fn real_time_factor(&self, factor: f64) {
        self.real_time_factor.observe(factor);
    }
}

impl Observer for TtsMetrics {
    fn attempt_ended(&self, report: AttemptReport) {
        let labels = [self.provider.as_str(), report.outcome.as_str()];
        let attempts = self.attempts.with_label_values(&labels);
        attempts.observe(report.took.as_secs_f64());
        if let Some(first) = report.first_content {
            self.first_byte.observe(first.as_secs_f64());
        }
    }

    fn retried(&self, reason: ErrorKind) {
        let labels = [self.provider.as_str(), reason.as_str()];
        self.retries.with_label_values(&labels).inc();
    }

    fn call_ended(&self, took: Duration) {
        self.latency.observe(took.as_secs_f64());
    }
}
