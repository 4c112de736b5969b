//! The metrics of language-model calls.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use super::{LlmProvider, Usage};
use crate::metrics::buckets;
use crate::provider::{
    ErrorKind,
    report::{AttemptReport, Observer, Outcome},
};

/// The kinds of tokens that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenType {
    /// Prompt tokens, cached or not.
    Input,
    /// Answer tokens, shown or not.
    Output,
    /// The part of input read from the provider's cache.
    CacheRead,
    /// The part of input written to the provider's cache.
    CacheWrite,
    /// The part of output spent on hidden reasoning.
    Reasoning,
}

impl TokenType {
    const ALL: [Self; 5] =
        [Self::Input, Self::Output, Self::CacheRead, Self::CacheWrite, Self::Reasoning];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::Reasoning => "reasoning",
        }
    }

    const fn of(self, usage: &Usage) -> Option<u64> {
        match self {
            Self::Input => usage.input,
            Self::Output => usage.output,
            Self::CacheRead => usage.cache_read,
            Self::CacheWrite => usage.cache_write,
            Self::Reasoning => usage.reasoning,
        }
    }
}

/// The metrics of one provider and configured model, resolved once.
#[derive(Debug, Clone)]
pub struct LlmMetrics {
    provider: LlmProvider,
    model: String,
    latency: Histogram,
    first_token: Histogram,
    attempts: HistogramVec,
    retries: IntCounterVec,
    tokens: [IntCounter; TokenType::ALL.len()],
}

impl LlmMetrics {
    /// Registers the families, with every known series at 0. `model` is the configured name: what
    /// a server says about itself never becomes a label.
    ///
    /// # Errors
    /// If a family of the same name is registered already.
    pub fn register(
        registry: &Registry,
        provider: LlmProvider,
        model: &str,
    ) -> prometheus::Result<Self> {
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
        let latency = histogram(
            "llm_latency_seconds",
            "Logical language-model calls from request to last token, with their retries; failed \
             and cancelled ones too.",
            buckets::LLM_SECONDS,
            &["provider", "model"],
        )?;
        let first_token = histogram(
            "llm_time_to_first_token_seconds",
            "From the start of an attempt to its first text token; successful attempts with text \
             only.",
            buckets::FIRST_CONTENT_SECONDS,
            &["provider", "model"],
        )?;
        let attempts = histogram(
            "llm_attempt_seconds",
            "Single attempts of language-model calls, without the pauses between them.",
            buckets::LLM_SECONDS,
            &["provider", "model", "outcome"],
        )?;
        let retries = counter(
            "llm_retries_total",
            "Attempts that followed a failed one, by why that one failed.",
            &["provider", "reason"],
        )?;
        let tokens = counter(
            "llm_tokens_total",
            "Tokens as reported by the provider. cache_read and cache_write are parts of input, \
             reasoning is a part of output.",
            &["provider", "model", "type"],
        )?;
        let name = provider.as_str();
        for outcome in Outcome::all() {
            attempts.with_label_values(&[name, model, outcome.as_str()]);
        }
        for reason in ErrorKind::ALL.into_iter().filter(|kind| kind.is_transient()) {
            retries.with_label_values(&[name, reason.as_str()]);
        }
        Ok(Self {
            provider,
            model: model.to_owned(),
            latency: latency.with_label_values(&[name, model]),
            first_token: first_token.with_label_values(&[name, model]),
            attempts,
            retries,
            tokens: TokenType::ALL
                .map(|kind| tokens.with_label_values(&[name, model, kind.as_str()])),
        })
    }

    pub(super) fn count_tokens(&self, usage: &Usage) {
        for (kind, counter) in TokenType::ALL.into_iter().zip(&self.tokens) {
            counter.inc_by(kind.of(usage).unwrap_or(0));
        }
    }
}

impl Observer for LlmMetrics {
    fn attempt_ended(&self, report: AttemptReport) {
        let labels = [self.provider.as_str(), &self.model, report.outcome.as_str()];
        let attempts = self.attempts.with_label_values(&labels);
        attempts.observe(report.took.as_secs_f64());
        if let Some(first) = report.first_content {
            self.first_token.observe(first.as_secs_f64());
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
