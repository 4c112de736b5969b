//! One provider and model: sends prompts and streams answers, whatever the wire protocol.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use reqwest::{
    Url,
    header::{CONTENT_TYPE, HeaderMap},
};

use super::{
    LlmConfig, LlmError, LlmEvent, LlmMetrics, Message, Prompt,
    answer::{CountingDecoder, answer, max_text_bytes},
    event::Part,
    history,
    longest::Longest,
    model::Model,
    parameter::{Learned, Parameter},
    sent::Sent,
    thought::Unopened,
    whole::{MAX_WHOLE_BYTES, streamed},
    wire::{Request, Wire},
};
use crate::provider::{
    AdmissionMetrics, ApiKey, CallKind, CallReports, ErrorKind, ProviderName, ProviderSetupError,
    Reporter, RetryAdvice,
    attempt_timings::AttemptRecorder,
    base_url,
    call::{CallRunner, ChunkStream},
    exchange,
    fallback::Labelled,
    request_body::request_body,
};

/// An answer this large is no answer of a character, whatever is around its text.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// One provider and model.
pub(super) struct Backend {
    http: reqwest::Client,
    wire: Box<dyn Wire>,
    url: Url,
    headers: HeaderMap,
    model: Arc<Model>,
    temperature: Option<f64>,
    context_tokens: Option<u32>,
    /// Whether its answers begin in thought.
    unopened: Unopened,
    runner: CallRunner,
}

impl Labelled for Backend {
    fn labels(&self) -> [&str; 2] {
        self.model.labels()
    }
}

impl Backend {
    pub(super) fn new(
        config: &LlmConfig,
        key: Option<ApiKey>,
        http: reqwest::Client,
        admission: &AdmissionMetrics,
        metrics: &LlmMetrics,
        reports: Option<CallReports>,
        has_fallback: bool,
    ) -> Result<Arc<Self>, ProviderSetupError> {
        let wire = config.wire()?;
        let headers = wire.headers(key.as_ref())?;
        let base = base_url(config.protocol.provider_name(), config.base_url())?;
        let url = wire.url(&base, config.model());
        let metrics = metrics.of(&config.provider(), config.model());
        metrics.create_parameter_series(wire.optional());
        Ok(Arc::new(Self {
            http,
            wire,
            url,
            headers,
            model: Arc::new(Model {
                provider: config.provider(),
                name: config.model().to_owned(),
                refused: Learned::default(),
                longest: Longest::default(),
                metrics,
            }),
            temperature: config.temperature,
            context_tokens: config.context_tokens,
            unopened: Unopened::new(config.begins_in_thought),
            runner: CallRunner {
                has_fallback,
                ..CallRunner::new(
                    Reporter {
                        kind: CallKind::Llm,
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
        }))
    }

    pub(super) fn provider(&self) -> &ProviderName {
        &self.model.provider
    }

    /// One call, with its retries.
    pub(super) async fn call(
        self: &Arc<Self>,
        prompt: &Prompt,
    ) -> Result<ChunkStream<LlmEvent>, LlmError> {
        let attempt = |recorder| self.attempt(recorder, prompt);
        let parts = self.runner.run(self.model.metrics.clone(), attempt).await?;
        let events = parts.filter_map(|part| {
            future::ready(match part {
                Ok(Part::Event(event)) => Some(Ok(event)),
                Ok(Part::Thought) => None,
                Err(error) => Some(Err(error)),
            })
        });
        Ok(events.boxed())
    }

    async fn attempt(
        self: &Arc<Self>,
        recorder: AttemptRecorder,
        prompt: &Prompt,
    ) -> Result<ChunkStream<Part>, LlmError> {
        let provider = self.provider();
        let messages = history::newest(prompt, self.max_history_bytes(prompt));
        let body = self.wire.body(&self.request(prompt, messages));
        let optional = self.wire.optional();
        let call_id = recorder.call_id();
        let sent = Sent::new(&self.model, call_id, optional, &body, &prompt.system, messages);
        let request = self
            .http
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(request_body(&recorder, Bytes::from(body.to_string())));
        let (mut advice, mut words) = (RetryAdvice::default(), Vec::new());
        let response = exchange::send(
            provider,
            request,
            &recorder,
            |headers| {
                self.model.metrics.rate_limits(headers);
                advice = RetryAdvice::from_headers(headers, SystemTime::now());
            },
            |body| {
                words = body.to_vec();
                self.wire.parse_error(body)
            },
        )
        .await
        .map_err(|error| sent.refused(error.status.unwrap_or_default(), &words, error))?;
        let (is_whole, limit) = match exchange::media_type(&response).as_str() {
            // The last two are what several servers and gateways call it.
            "text/event-stream" | "text/plain" | "" => (false, MAX_ANSWER_BYTES),
            "application/json" => (true, MAX_WHOLE_BYTES),
            _ => return Err(LlmError::new(provider, ErrorKind::Protocol)),
        };
        let idle = self.runner.timeouts.idle;
        let mut body = exchange::body(provider.clone(), response, recorder, idle, limit).boxed();
        if is_whole {
            let streamed = streamed(provider, &*self.wire, body).await;
            let streamed = streamed.map_err(|broken| sent.broken(broken, advice))?;
            body = stream::once(future::ready(Ok(streamed))).boxed();
        }
        let decoder = CountingDecoder::new(self.wire.decoder(), self.model.metrics.clone());
        let max_bytes = max_text_bytes(prompt.max_tokens);
        let parts = answer(provider.clone(), body, decoder, self.unopened.clone(), max_bytes);
        Ok(parts
            .map(move |part| match part {
                Ok(part) => {
                    sent.answered(&part);
                    Ok(part)
                }
                Err(broken) => Err(sent.broken(broken, advice)),
            })
            .boxed())
    }

    fn request<'a>(&'a self, prompt: &'a Prompt, messages: &'a [Message]) -> Request<'a> {
        let refused = self.model.refused.so_far();
        let temperature = self.temperature.or(prompt.temperature);
        Request {
            model: &self.model.name,
            system: &prompt.system,
            messages,
            temperature: temperature.filter(|_| !refused.has(Parameter::Temperature)),
            max_tokens: prompt.max_tokens,
            refused,
        }
    }

    /// How many bytes of the conversation may be sent to the model.
    fn max_history_bytes(&self, prompt: &Prompt) -> usize {
        let configured =
            self.context_tokens.map(|tokens| history::context_bytes(tokens, prompt.max_tokens));
        let limits = [configured, self.model.longest.limit()];
        limits.into_iter().flatten().min().unwrap_or(usize::MAX)
    }
}
