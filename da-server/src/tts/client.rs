//! Asks one provider after the other until one begins to speak.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::{
    AudioFormat, Speech, TtsConfig, TtsError, TtsMetrics, backend::Backend, metrics::CallTimer,
    remembered::Remembered,
};
use crate::provider::{
    AdmissionMetrics, CallReports, Outcome, ProviderSetupError, call::ChunkStream, fallback::Chain,
};

/// A client of a speech provider and of those that stand in for it. Clones share everything.
#[derive(Clone)]
pub struct TtsClient {
    chain: Chain<Backend>,
    metrics: TtsMetrics,
    remembered: Remembered,
}

impl TtsClient {
    /// Builds a client, whose calls are reported to `reports` if anyone wants to look into them.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// [`ProviderSetupError`] for a missing key, an unreadable key file, an audio format that is
    /// unknown or not to be had, an unusable base URL, or a list of fallbacks that can't be used.
    pub fn new(
        config: &TtsConfig,
        http: reqwest::Client,
        admission: &AdmissionMetrics,
        metrics: &TtsMetrics,
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
        Ok(Self { chain, metrics: metrics.clone(), remembered: Remembered::default() })
    }

    /// Has a line spoken. Returns when the first audio is there, after retries and other providers
    /// if need be; from then on nothing is tried again.
    ///
    /// Dropping the future or the stream cancels the call. The call counts as successful once the
    /// stream has yielded `None`, so read it to its end.
    ///
    /// # Errors
    /// [`TtsError`] of the last attempt.
    pub async fn speak(&self, speech: Speech) -> Result<AudioStream, TtsError> {
        self.speak_as(0, speech).await
    }

    /// The same, beginning with the provider that has spoken before: [`AudioStream::provider_index`].
    ///
    /// # Errors
    /// As of [`speak`](Self::speak).
    pub async fn speak_as(
        &self,
        provider_index: usize,
        speech: Speech,
    ) -> Result<AudioStream, TtsError> {
        let timer = self.metrics.call();
        let speech = &speech;
        let ask = |backend: Arc<Backend>| async move { backend.call(speech).await };
        match self.chain.ask_from(provider_index, ask).await {
            Ok((provider_index, (format, chunks))) => {
                Ok(AudioStream { format, provider_index, chunks, timer: Some(timer) })
            }
            Err(error) => {
                timer.end(Outcome::Failed(error.kind));
                Err(error)
            }
        }
    }

    /// Has a line spoken that is always the same: once it was heard to its end, no provider is asked for it
    /// again. What a fallback speaks is not remembered.
    ///
    /// # Errors
    /// As of [`speak`](Self::speak).
    pub async fn recite(&self, speech: Speech) -> Result<AudioStream, TtsError> {
        if let Some((format, chunks)) = self.remembered.get(&speech) {
            return Ok(AudioStream { format, provider_index: 0, chunks, timer: None });
        }
        let mut audio = self.speak(speech.clone()).await?;
        if audio.provider_index == 0 {
            audio.chunks = self.remembered.remember(&speech, audio.format, audio.chunks);
        }
        Ok(audio)
    }
}

/// Audio as it comes: non-empty chunks, then `None`, or an error in its place.
pub struct AudioStream {
    /// What the bytes mean.
    pub format: AudioFormat,
    /// Who speaks: 0 is the first choice, the others are the fallbacks in their order.
    pub provider_index: usize,
    chunks: ChunkStream<Bytes>,
    /// Until the end of the call is known.
    timer: Option<CallTimer>,
}

impl AudioStream {
    fn end(&mut self, outcome: Outcome) {
        if let Some(timer) = self.timer.take() {
            timer.end(outcome);
        }
    }
}

impl Stream for AudioStream {
    type Item = Result<Bytes, TtsError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = ready!(self.chunks.poll_next_unpin(context));
        match &chunk {
            Some(Ok(_)) => {}
            Some(Err(error)) => self.end(Outcome::Failed(error.kind)),
            None => self.end(Outcome::Success),
        }
        Poll::Ready(chunk)
    }
}
