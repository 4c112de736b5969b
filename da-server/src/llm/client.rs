//! Sends prompts and streams answers, whatever the wire protocol.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
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
    CallKind, CallReports, ErrorKind, GateMetrics, ProviderSetupError, Reporter, base_url,
    call::{Pieces, Plan},
    exchange,
    gate::Gate,
    span::Span,
};

/// An answer this large is no answer of a character.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A client of one language model. Clones share everything.
#[derive(Clone)]
pub struct LlmClient {
    shared: Arc<Shared>,
}

struct Shared {
    http: reqwest::Client,
    wire: Box<dyn Wire>,
    url: Url,
    headers: HeaderMap,
    model: String,
    plan: Plan,
    metrics: ModelMetrics,
}

impl LlmClient {
    /// Builds a client, whose calls are reported to `reports` if anyone wants to look into them.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`ProviderSetupError`] for a missing key, an unreadable key file, or an unusable base URL.
    pub fn new(
        config: &LlmConfig,
        http: reqwest::Client,
        gates: &GateMetrics,
        metrics: &LlmMetrics,
        reports: Option<CallReports>,
    ) -> Result<Self, ProviderSetupError> {
        let provider = config.provider.as_str();
        let wire = config.provider.wire(config.is_hosted());
        let headers = wire.headers(config.key()?.as_ref())?;
        let url = base_url(provider, &format!("{}{}", config.base_url(), wire.path()))?;
        let shared = Arc::new(Shared {
            http,
            wire,
            url,
            headers,
            model: config.model().to_owned(),
            plan: Plan {
                reporter: Reporter {
                    kind: CallKind::Llm,
                    provider,
                    model: config.model().into(),
                    reports,
                },
                timeouts: config.timeouts.clone(),
                retry: config.retry.clone(),
                gate: Gate::new(
                    provider,
                    config.max_concurrent,
                    config.breaker.clone(),
                    &config.timeouts,
                    gates.of(CallKind::Llm, provider, config.model()),
                ),
            },
            metrics: metrics.of(config.provider, config.model()),
        });
        Ok(Self { shared })
    }

    /// Asks for an answer. Returns when its first text is there, after retries if need be; from
    /// then on nothing is retried.
    ///
    /// Dropping the future or the stream cancels the call.
    ///
    /// # Errors
    /// [`LlmError`] of the last attempt.
    pub async fn stream(&self, prompt: Prompt) -> Result<LlmStream, LlmError> {
        let shared = &self.shared;
        let body = Bytes::from(shared.wire.body(&shared.model, &prompt).to_string());
        let attempt = |span| shared.clone().attempt(span, body.clone());
        let pieces = shared.plan.run(shared.metrics.clone(), attempt).await?;
        Ok(LlmStream { pieces })
    }
}

impl Shared {
    async fn attempt(
        self: Arc<Self>,
        span: Span,
        body: Bytes,
    ) -> Result<Pieces<LlmEvent>, LlmError> {
        let provider = self.plan.reporter.provider;
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

/// The answer as it comes: text, then [`LlmEvent::Done`], or an error in its place.
pub struct LlmStream {
    pieces: Pieces<LlmEvent>,
}

impl Stream for LlmStream {
    type Item = Result<LlmEvent, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.pieces.poll_next_unpin(context)
    }
}
