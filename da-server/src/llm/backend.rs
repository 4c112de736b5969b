//! One provider and model: sends prompts and streams answers, whatever the wire protocol.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap},
};

use super::{
    LlmConfig, LlmError, LlmEvent, LlmMetrics, Prompt,
    answer::{Tally, answer},
    metrics::ModelMetrics,
    wire::Wire,
};
use crate::provider::{
    ApiKey, CallKind, CallReports, ErrorKind, GateMetrics, ProviderSetupError, Reporter, base_url,
    call::{Pieces, Plan},
    exchange,
    span::Span,
};

/// An answer this large is no answer of a character.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// One provider and model.
pub(super) struct Backend {
    http: reqwest::Client,
    wire: Box<dyn Wire>,
    url: Url,
    headers: HeaderMap,
    model: String,
    plan: Plan,
    metrics: ModelMetrics,
}

impl Backend {
    pub(super) fn new(
        config: &LlmConfig,
        key: Option<ApiKey>,
        http: reqwest::Client,
        gates: &GateMetrics,
        metrics: &LlmMetrics,
        reports: Option<CallReports>,
    ) -> Result<Arc<Self>, ProviderSetupError> {
        let provider = config.provider.as_str();
        let wire = config.provider.wire(config.is_hosted());
        let headers = wire.headers(key.as_ref())?;
        let url = base_url(provider, &format!("{}{}", config.base_url(), wire.path()))?;
        Ok(Arc::new(Self {
            http,
            wire,
            url,
            headers,
            model: config.model().to_owned(),
            plan: Plan::new(
                Reporter { kind: CallKind::Llm, provider, model: config.model().into(), reports },
                config.timeouts.clone(),
                config.retry.clone(),
                config.max_concurrent,
                config.breaker.clone(),
                gates,
            ),
            metrics: metrics.of(config.provider, config.model()),
        }))
    }

    /// Label values: the provider and the configured model.
    pub(super) fn labels(&self) -> [&str; 2] {
        [self.provider(), &self.model]
    }

    fn provider(&self) -> &'static str {
        self.plan.reporter.provider
    }

    /// One call, with its retries.
    pub(super) async fn call(
        self: &Arc<Self>,
        prompt: &Prompt,
    ) -> Result<Pieces<LlmEvent>, LlmError> {
        let body = Bytes::from(self.wire.body(&self.model, prompt).to_string());
        let attempt = |span| self.clone().attempt(span, body.clone());
        self.plan.run(self.metrics.clone(), attempt).await
    }

    async fn attempt(
        self: Arc<Self>,
        span: Span,
        body: Bytes,
    ) -> Result<Pieces<LlmEvent>, LlmError> {
        let provider = self.provider();
        let request = self
            .http
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(span.body(body));
        let response = exchange::send(
            provider,
            request,
            &span,
            |headers| self.metrics.rate_limits(headers),
            |body| self.wire.fault(body),
        )
        .await?;
        if exchange::media_type(&response) != "text/event-stream" {
            return Err(LlmError::new(provider, ErrorKind::Protocol));
        }
        let body =
            exchange::body(provider, response, span, self.plan.timeouts.idle, MAX_ANSWER_BYTES);
        let tally = Tally::new(self.wire.decoder(), self.metrics.clone());
        Ok(answer(provider, body, tally).boxed())
    }
}
