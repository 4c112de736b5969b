//! Asks one provider after the other until one begins to answer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};

use super::{LlmConfig, LlmError, LlmEvent, LlmMetrics, Prompt, backend::Backend};
use crate::provider::{
    AdmissionMetrics, CallReports, ProviderSetupError, call::ChunkStream, fallback::Chain,
};

/// A client of a language model and of those that stand in for it. Clones share everything.
#[derive(Clone)]
pub struct LlmClient {
    chain: Chain<Backend>,
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
        admission: &AdmissionMetrics,
        metrics: &LlmMetrics,
        reports: Option<CallReports>,
    ) -> Result<Self, ProviderSetupError> {
        let chain = Chain::new(config, &metrics.fallbacks, |config, has_fallback| {
            let reports = reports.clone();
            Backend::new(
                config,
                config.key()?,
                http.clone(),
                admission,
                metrics,
                reports,
                has_fallback,
            )
        })?;
        Ok(Self { chain })
    }

    /// Asks for an answer. Returns when its first text is there, after retries and other providers
    /// if need be; from then on nothing is tried again.
    ///
    /// Dropping the future or the stream cancels the call.
    ///
    /// # Errors
    /// [`LlmError`] of the last attempt.
    pub async fn stream(&self, prompt: Prompt) -> Result<LlmStream, LlmError> {
        let prompt = &prompt;
        let ask = |backend: Arc<Backend>| async move { backend.call(prompt).await };
        Ok(LlmStream { chunks: self.chain.ask(ask).await? })
    }
}

/// The answer as it comes: text, [`LlmEvent::Complete`], then [`LlmEvent::Done`]; or an error in place of
/// either.
pub struct LlmStream {
    chunks: ChunkStream<LlmEvent>,
}

impl LlmStream {
    /// Reads on after [`LlmEvent::Complete`], for the count of tokens and so that the connection can carry
    /// the next call, without anybody waiting for it. Takes half a second at most.
    pub fn read_on(mut self) {
        tokio::spawn(async move { while self.next().await.is_some() {} });
    }
}

impl Stream for LlmStream {
    type Item = Result<LlmEvent, LlmError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(context)
    }
}
