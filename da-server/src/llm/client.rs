//! Asks one provider after the other until one begins to answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};

use super::{LlmConfig, LlmError, LlmEvent, LlmMetrics, Prompt, backend::Backend};
use crate::provider::{CallReports, GateMetrics, ProviderSetupError, call::Pieces};

/// A client of a language model and of those that stand in for it. Clones share everything.
#[derive(Clone)]
pub struct LlmClient {
    /// In the order in which they are asked; never empty.
    backends: Arc<[Arc<Backend>]>,
    metrics: LlmMetrics,
}

impl LlmClient {
    /// Builds a client, whose calls are reported to `reports` if anyone wants to look into them.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`ProviderSetupError`] for a missing key, an unreadable key file, an unusable base URL, or a
    /// list of fallbacks that can't be used.
    pub fn new(
        config: &LlmConfig,
        http: reqwest::Client,
        gates: &GateMetrics,
        metrics: &LlmMetrics,
        reports: Option<CallReports>,
    ) -> Result<Self, ProviderSetupError> {
        config.check_fallbacks().map_err(|bad| ProviderSetupError::Fallback(bad.to_string()))?;
        let backend = |config: &LlmConfig, key| {
            Backend::new(config, key, http.clone(), gates, metrics, reports.clone())
        };
        let first = backend(config, config.key()?);
        let fallbacks =
            config.fallback.iter().map(|fallback| backend(fallback, fallback.key_of_fallback()?));
        let backends: Arc<[_]> =
            std::iter::once(first).chain(fallbacks).collect::<Result<_, _>>()?;
        for pair in backends.windows(2) {
            metrics.know_fallback(pair[0].labels(), pair[1].labels());
        }
        Ok(Self { backends, metrics: metrics.clone() })
    }

    /// Asks for an answer. Returns when its first text is there, after retries and other providers
    /// if need be; from then on nothing is tried again.
    ///
    /// Dropping the future or the stream cancels the call.
    ///
    /// # Errors
    /// [`LlmError`] of the last attempt.
    pub async fn stream(&self, prompt: Prompt) -> Result<LlmStream, LlmError> {
        let mut result = self.backends[0].call(&prompt).await;
        for pair in self.backends.windows(2) {
            let (from, to) = (&pair[0], &pair[1]);
            match &result {
                Err(error) if error.kind.may_be_mended_elsewhere() => {
                    let [next, model] = to.labels();
                    tracing::warn!(%error, next, model, "asking the next provider");
                    self.metrics.fell_back(from.labels(), to.labels(), error.kind);
                    result = to.call(&prompt).await;
                }
                _ => break,
            }
        }
        Ok(LlmStream { pieces: result? })
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
