//! The metrics of language-model calls.

use std::time::{Duration, SystemTime};

use prometheus::{
    Counter, CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGaugeVec, Opts,
};
use reqwest::header::HeaderMap;

use super::{PriceConfig, Prices, Usage, parameter::Parameter, tokens::TokenType};
use crate::metrics::{Registry, buckets};
use crate::provider::{
    ErrorKind, ProviderName,
    fallback::FallbackMetrics,
    outcome::{CallOutcome, Outcome},
    rate_limit,
    report::{AttemptReport, Observer},
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
    pub(super) fallbacks: FallbackMetrics,
    refused: IntCounterVec,
    history_cuts: IntCounterVec,
    usage_missing: IntCounterVec,
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
                "What is left of a rate limit, by the provider's last answer.",
            ),
            &["provider", "model", "kind"],
        )?;
        registry.register(Box::new(rate_limits.clone()))?;
        let cost = CounterVec::new(
            Opts::new(
                "llm_cost_usd_total",
                "Cost of the tokens by the price list, in US dollars; absent for models without a \
                 price.",
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
                "Duration of language-model calls from the request to the last token, failure or \
                 cancellation, including retries.",
                buckets::LLM_SECONDS,
                &["provider", "model", "outcome"],
            )?,
            first_token: histogram(
                "llm_time_to_first_token_seconds",
                "Time from the start of an attempt to its first text token; attempts with text that \
                 succeeded or were cancelled.",
                buckets::FIRST_CONTENT_SECONDS,
                &["provider", "model"],
            )?,
            per_output_token: histogram(
                "llm_time_per_output_token_seconds",
                "Mean time between two output tokens of an attempt; successful attempts whose \
                 provider counted two or more.",
                buckets::OUTPUT_TOKEN_SECONDS,
                &["provider", "model"],
            )?,
            attempts: histogram(
                "llm_attempt_seconds",
                "Duration of single attempts of language-model calls, without the pauses between \
                 them.",
                buckets::LLM_SECONDS,
                &["provider", "model", "outcome"],
            )?,
            retries: counter(
                "llm_retries_total",
                "Retries after a failed attempt, by reason of the failure.",
                &["provider", "model", "reason"],
            )?,
            fallbacks: FallbackMetrics::register(
                registry,
                "llm_fallbacks_total",
                "Calls that failed before their first token and continued with the next provider, by \
                 reason of the failure.",
            )?,
            refused: counter(
                "llm_refused_parameters_total",
                "Requests that the model refused because of a parameter, and that were repeated at \
                 once without it.",
                &["provider", "model", "parameter"],
            )?,
            history_cuts: counter(
                "llm_history_cuts_total",
                "Requests that the model refused as too long, and that were repeated at once with \
                 the newer half of the conversation.",
                &["provider", "model"],
            )?,
            usage_missing: counter(
                "llm_usage_missing_total",
                "Answers with text whose provider did not report all tokens, so that tokens and cost \
                 are counted too low: interrupted answers, and servers that don't report tokens.",
                &["provider", "model"],
            )?,
            tokens: counter(
                "llm_tokens_total",
                "Tokens as reported by the provider. cache_read and cache_write are parts of \
                 input, reasoning is a part of output.",
                &["provider", "model", "type"],
            )?,
        })
    }

    /// The series of one provider and model, every known one of them at 0. `model` is the
    /// configured name: what a server says about itself never becomes a label.
    pub(super) fn of(&self, provider: &ProviderName, model: &str) -> ModelMetrics {
        let name: &str = provider;
        for outcome in Outcome::all() {
            self.attempts.with_label_values(&[name, model, outcome.as_str()]);
        }
        for reason in ErrorKind::ALL.into_iter().filter(|kind| kind.is_transient()) {
            self.retries.with_label_values(&[name, model, reason.as_str()]);
        }
        let price = self.prices.of(name, model);
        if price.is_none() {
            tracing::warn!(
                provider = name,
                model,
                "the model has no known price, so llm_cost_usd_total does not include it: add a [[price]]"
            );
        }
        ModelMetrics {
            cost: price.map(|price| (price.clone(), self.cost.with_label_values(&[name, model]))),
            provider: provider.clone(),
            model: model.to_owned(),
            latency: CallOutcome::ALL
                .map(|outcome| self.latency.with_label_values(&[name, model, outcome.as_str()])),
            first_token: self.first_token.with_label_values(&[name, model]),
            per_output_token: self.per_output_token.with_label_values(&[name, model]),
            rate_limits: self.rate_limits.clone(),
            attempts: self.attempts.clone(),
            retries: self.retries.clone(),
            refused: self.refused.clone(),
            history_cuts: self.history_cuts.with_label_values(&[name, model]),
            usage_missing: self.usage_missing.with_label_values(&[name, model]),
            tokens: TokenType::ALL
                .map(|kind| self.tokens.with_label_values(&[name, model, kind.as_str()])),
        }
    }
}

/// The series of one provider and model.
#[derive(Debug, Clone)]
pub(super) struct ModelMetrics {
    provider: ProviderName,
    model: String,
    latency: [Histogram; CallOutcome::ALL.len()],
    first_token: Histogram,
    per_output_token: Histogram,
    attempts: HistogramVec,
    retries: IntCounterVec,
    rate_limits: IntGaugeVec,
    refused: IntCounterVec,
    history_cuts: IntCounter,
    usage_missing: IntCounter,
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

    /// Creates the series of parameters that can be refused at 0.
    pub(super) fn create_parameter_series(&self, parameters: &[Parameter]) {
        for parameter in parameters {
            let labels = [&*self.provider, &self.model, parameter.as_str()];
            self.refused.with_label_values(&labels);
        }
    }

    /// A request was refused for this parameter.
    pub(super) fn refused(&self, parameter: Parameter) {
        let labels = [&*self.provider, &self.model, parameter.as_str()];
        self.refused.with_label_values(&labels).inc();
    }

    /// A request was refused as too long.
    pub(super) fn history_cut(&self) {
        self.history_cuts.inc();
    }

    /// Notes what is left of rate limits. One that a provider never spoke of stays absent.
    pub(super) fn rate_limits(&self, headers: &HeaderMap) {
        for limit in rate_limit::from_headers(headers, SystemTime::now()) {
            let labels = [&*self.provider, &self.model, limit.kind.as_str()];
            let gauge = self.rate_limits.with_label_values(&labels);
            gauge.set(i64::try_from(limit.remaining).unwrap_or(i64::MAX));
        }
    }
}

impl Observer for ModelMetrics {
    fn attempt_ended(&self, report: AttemptReport) {
        let labels = [&*self.provider, &self.model, report.outcome.as_str()];
        let attempts = self.attempts.with_label_values(&labels);
        attempts.observe(report.took.as_secs_f64());
        if let Some(first) = report.first_content {
            self.first_token.observe(first.as_secs_f64());
        }
        if report.had_content && report.output_tokens.is_none() {
            self.usage_missing.inc();
        }
        if let Some(each) = report.per_output_token() {
            self.per_output_token.observe(each.as_secs_f64());
        }
    }

    fn retried(&self, reason: ErrorKind) {
        let labels = [&*self.provider, &self.model, reason.as_str()];
        self.retries.with_label_values(&labels).inc();
    }

    fn call_ended(&self, took: Duration, outcome: CallOutcome) {
        self.latency[outcome as usize].observe(took.as_secs_f64());
    }
}
