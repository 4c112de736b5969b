//! The metrics of speech calls.

use std::time::Duration;

use prometheus::{
    Counter, CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts,
};
use tokio::time::Instant;

use crate::metrics::{Registry, buckets};
use crate::provider::{
    ErrorKind, ProviderName,
    fallback::FallbackMetrics,
    outcome::{CallOutcome, Outcome},
    report::{AttemptReport, Observer},
};

/// The families, for whatever providers are configured.
#[derive(Debug, Clone)]
pub struct TtsMetrics {
    latency: [Histogram; CallOutcome::ALL.len()],
    first_byte: HistogramVec,
    attempts: HistogramVec,
    retries: IntCounterVec,
    pub(super) fallbacks: FallbackMetrics,
    characters: IntCounterVec,
    first_audio: HistogramVec,
    real_time_factor: HistogramVec,
    audio: CounterVec,
}

impl TtsMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// If a family of the same name is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let histogram = |name: &str, help: &str, edges: &[f64], labels: &[&str]| {
            let options = HistogramOpts::new(name, help).buckets(edges.to_vec());
            let family = HistogramVec::new(options, labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        let audio = Opts::new(
            "tts_audio_seconds_total",
            "Audio received from the speech provider, in seconds of playback.",
        );
        let audio = CounterVec::new(audio, &["provider"])?;
        registry.register(Box::new(audio.clone()))?;
        let latency = histogram(
            "tts_latency_seconds",
            "Duration of speech calls from the request to the last audio byte, failure or \
             cancellation, including retries and fallbacks.",
            buckets::TTS_SECONDS,
            &["outcome"],
        )?;
        Ok(Self {
            audio,
            characters: counter(
                "tts_characters_total",
                "Characters of text that a speech provider accepted.",
                &["provider"],
            )?,
            latency: CallOutcome::ALL.map(|outcome| latency.with_label_values(&[outcome.as_str()])),
            first_byte: histogram(
                "tts_time_to_first_byte_seconds",
                "Time from the start of an attempt to its first audio byte; attempts with audio that \
                 succeeded or were cancelled.",
                buckets::FIRST_CONTENT_SECONDS,
                &["provider"],
            )?,
            attempts: histogram(
                "tts_attempt_seconds",
                "Duration of single attempts of speech calls, without the pauses between them.",
                buckets::TTS_SECONDS,
                &["provider", "outcome"],
            )?,
            retries: counter(
                "tts_retries_total",
                "Retries after a failed attempt, by reason of the failure.",
                &["provider", "reason"],
            )?,
            fallbacks: FallbackMetrics::register(
                registry,
                "tts_fallbacks_total",
                "Calls that failed before their first audio and continued with the next provider, by \
                 reason of the failure.",
            )?,
            first_audio: histogram(
                "tts_time_to_first_audio_seconds",
                "Time from the start of an attempt until its first audible sample is heard, if the \
                 audio is played as it arrives; successful attempts only.",
                buckets::FIRST_CONTENT_SECONDS,
                &["provider"],
            )?,
            real_time_factor: histogram(
                "tts_real_time_factor",
                "Time spent waiting for the provider, divided by the seconds of audio received; \
                 successful attempts only. Above 1 playback has pauses.",
                buckets::REAL_TIME_FACTORS,
                &["provider"],
            )?,
        })
    }

    /// A call that begins now.
    pub(super) fn call(&self) -> CallTimer {
        let (started, outcome) = (Instant::now(), CallOutcome::Cancelled);
        CallTimer { started, outcome, latency: self.latency.clone() }
    }

    /// The series of one provider, every known one of them at 0.
    pub(super) fn of(&self, provider: ProviderName) -> VoiceMetrics {
        for outcome in Outcome::all() {
            self.attempts.with_label_values(&[&*provider, outcome.as_str()]);
        }
        for reason in ErrorKind::ALL.into_iter().filter(|kind| kind.is_transient()) {
            self.retries.with_label_values(&[&*provider, reason.as_str()]);
        }
        let labels = &[&*provider];
        VoiceMetrics {
            first_byte: self.first_byte.with_label_values(labels),
            characters: self.characters.with_label_values(labels),
            first_audio: self.first_audio.with_label_values(labels),
            real_time_factor: self.real_time_factor.with_label_values(labels),
            audio: self.audio.with_label_values(labels),
            attempts: self.attempts.clone(),
            retries: self.retries.clone(),
            provider,
        }
    }
}

/// Times a logical call, whoever is asked in it. Dropped before its end is known, it was cancelled.
#[derive(Debug)]
pub(super) struct CallTimer {
    started: Instant,
    outcome: CallOutcome,
    latency: [Histogram; CallOutcome::ALL.len()],
}

impl CallTimer {
    pub(super) fn end(mut self, outcome: Outcome) {
        self.outcome = outcome.into();
    }
}

impl Drop for CallTimer {
    fn drop(&mut self) {
        self.latency[self.outcome as usize].observe(self.started.elapsed().as_secs_f64());
    }
}

/// The series of one provider.
#[derive(Debug, Clone)]
pub(super) struct VoiceMetrics {
    provider: ProviderName,
    first_byte: Histogram,
    attempts: HistogramVec,
    retries: IntCounterVec,
    characters: IntCounter,
    first_audio: Histogram,
    real_time_factor: Histogram,
    audio: Counter,
}

impl VoiceMetrics {
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

impl Observer for VoiceMetrics {
    fn attempt_ended(&self, report: AttemptReport) {
        let labels = [&*self.provider, report.outcome.as_str()];
        let attempts = self.attempts.with_label_values(&labels);
        attempts.observe(report.took.as_secs_f64());
        if let Some(first) = report.first_content {
            self.first_byte.observe(first.as_secs_f64());
        }
    }

    fn retried(&self, reason: ErrorKind) {
        let labels = [&*self.provider, reason.as_str()];
        self.retries.with_label_values(&labels).inc();
    }

    /// One provider's part of a call has no series: a [`CallTimer`] has the whole.
    fn call_ended(&self, _: Duration, _: CallOutcome) {}
}
