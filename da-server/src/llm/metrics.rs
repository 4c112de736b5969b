//! The metrics of language-model calls.

use std::time::{Duration, SystemTime};

use prometheus::{
    Counter, CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGaugeVec, Opts,
};
use reqwest::header::HeaderMap;

use super::{LlmProvider, PriceConfig, Prices, Usage, tokens::TokenType};
use crate::metrics::{Registry, buckets};
use crate::provider::{
    ErrorKind, rate_limit,
    report::{AttemptReport, Observer, Outcome},
};

/// The families, for whatever providers and models are configured.
#[derive(Debug, Clone)]
pub struct LlmMetrics {
    latency: HistogramVec,
    first_token: HistogramVec,
    per_output_token: HistogramVec,
    attempts: HistogramVec,
    retries: IntCounterVec,
    tokens: IntCounterVec,
    rate_limits: IntGaugeVec,
    fallbacks: IntCounterVec,
    cost: CounterVec,
    prices: Prices,
}

impl LlmMetrics {
    /// Registers the families. Cost is counted where `prices` knows the model.
    ///
    /// # Errors
    /// If a family of the same name is registered already.
    pub fn register(registry: &Registry, prices: Prices) -> prometheus::Result<Self> {
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
        let rate_limits = IntGaugeVec::new(
            Opts::new(
                "llm_rate_limit_remaining",
                "What the provider's last answer said is left of a rate limit.",
            ),
            &["provider", "kind"],
        )?;
        registry.register(Box::new(rate_limits.clone()))?;
        let cost = CounterVec::new(
            Opts::new(
                "llm_cost_usd_total",
                "What the tokens cost by the price list, in US dollars; absent for models that \
                 have no price there.",
            ),
            &["provider", "model"],
        )?;
        registry.register(Box::new(cost.clone()))?;
        Ok(Self {
            prices,
            cost,
            rate_limits,
            latency: histogram(
                "llm_latency_seconds",
                "Logical language-model calls from request to last token, with their retries; \
                 failed and cancelled ones too.",
                buckets::LLM_SECONDS,
                &["provider", "model"],
            )?,
            first_token: histogram(
                "llm_time_to_first_token_seconds",
                "From the start of an attempt to its first text token; successful attempts with \
                 text only.",
                buckets::FIRST_CONTENT_SECONDS,
                &["provider", "model"],
            )?,
            per_output_token: histogram(
                "llm_time_per_output_token_seconds",
                "Mean time from one output token of an attempt to the next; successful attempts \
                 whose provider counted two or more.",
                buckets::OUTPUT_TOKEN_SECONDS,
                &["provider", "model"],
            )?,
            attempts: histogram(
                "llm_attempt_seconds",
                "Single attempts of language-model calls, without the pauses between them.",
                buckets::LLM_SECONDS,
                &["provider", "model", "outcome"],
            )?,
            retries: counter(
                "llm_retries_total",
                "Attempts that followed a failed one, by why that one failed.",
                &["provider", "reason"],
            )?,
            fallbacks: counter(
                "llm_fallbacks_total",
                "Calls that failed before their first token and went on with the next provider, \
                 by why they failed.",
                &["provider", "model", "to_provider", "to_model", "reason"],
            )?,
            tokens: counter(
                "llm_tokens_total",
                "Tokens as reported by the provider. cache_read and cache_write are parts of \
                 input, reasoning is a part of output.",
                &["provider", "model", "type"],
            )?,
        })
    }

    /// Puts the series of a fallback at 0. Either side is a provider's label value and its model.
    pub(super) fn know_fallback(&self, from: [&str; 2], to: [&str; 2]) {
        for reason in ErrorKind::ALL.into_iter().filter(|kind| kind.may_be_mended_elsewhere()) {
            self.fallback(from, to, reason);
        }
    }

    /// A call goes on with the next provider.
    pub(super) fn fell_back(&self, from: [&str; 2], to: [&str; 2], reason: ErrorKind) {
        self.fallback(from, to, reason).inc();
    }

    fn fallback(
        &self,
        [from, from_model]: [&str; 2],
        [to, to_model]: [&str; 2],
        reason: ErrorKind,
    ) -> IntCounter {
        self.fallbacks.with_label_values(&[from, from_model, to, to_model, reason.as_str()])
    }

    /// The series of one provider and model, every known one of them at 0. `model` is the
    /// configured name: what a server says about itself never becomes a label.
    pub(super) fn of(&self, provider: LlmProvider, model: &str) -> ModelMetrics {
        let name = provider.as_str();
        for outcome in Outcome::all() {
            self.attempts.with_label_values(&[name, model, outcome.as_str()]);
        }
        for reason in ErrorKind::ALL.into_iter().filter(|kind| kind.is_transient()) {
            self.retries.with_label_values(&[name, reason.as_str()]);
        }
        let price = self.prices.of(provider, model);
        if price.is_none() {
            tracing::warn!(
                provider = name,
                model,
                "no price is known, so llm_cost_usd_total leaves it out: add a [[price]]"
            );
        }
        ModelMetrics {
            cost: price.map(|price| (price.clone(), self.cost.with_label_values(&[name, model]))),
            provider,
            model: model.to_owned(),
            latency: self.latency.with_label_values(&[name, model]),
            first_token: self.first_token.with_label_values(&[name, model]),
            per_output_token: self.per_output_token.with_label_values(&[name, model]),
            rate_limits: self.rate_limits.clone(),
            attempts: self.attempts.clone(),
            retries: self.retries.clone(),
            tokens: TokenType::ALL
                .map(|kind| self.tokens.with_label_values(&[name, model, kind.as_str()])),
        }
    }
}

/// The series of one provider and model.
#[derive(Debug, Clone)]
pub(super) struct ModelMetrics {
    provider: LlmProvider,
    model: String,
    latency: Histogram,
    first_token: Histogram,
    per_output_token: Histogram,
    attempts: HistogramVec,
    retries: IntCounterVec,
    rate_limits: IntGaugeVec,
    /// What tokens cost and where that is counted, if it is known.
    cost: Option<(PriceConfig, Counter)>,
    tokens: [IntCounter; TokenType::ALL.len()],
}

impl ModelMetrics {
    pub(super) fn count_tokens(&self, usage: &Usage) {
        for (kind, counter) in TokenType::ALL.into_iter().zip(&self.tokens) {
            counter.inc_by(kind.of(usage).unwrap_or(0));
        }
        if let Some((price, counter)) = &self.cost {
            counter.inc_by(price.of_usage(usage));
        }
    }

    /// Notes what is left of rate limits. One that a provider never spoke of stays absent.
    pub(super) fn rate_limits(&self, headers: &HeaderMap) {
        for limit in rate_limit::from_headers(headers, SystemTime::now()) {
            let gauge =
                self.rate_limits.with_label_values(&[self.provider.as_str(), limit.kind.as_str()]);
            gauge.set(i64::try_from(limit.remaining).unwrap_or(i64::MAX));
        }
    }
}

impl Observer for ModelMetrics {
    fn attempt_ended(&self, report: AttemptReport) {
        let labels = [self.provider.as_str(), &self.model, report.outcome.as_str()];
        let attempts = self.attempts.with_label_values(&labels);
        attempts.observe(report.took.as_secs_f64());
        if let Some(first) = report.first_content {
            self.first_token.observe(first.as_secs_f64());
        }
        if let Some(each) = report.per_output_token() {
            self.per_output_token.observe(each.as_secs_f64());
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
