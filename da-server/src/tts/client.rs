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
        self.ask(&speech).await.map(|(_, audio)| audio)
    }

    /// Has a line spoken that is always the same: the provider is asked once, and from then on nobody. What
    /// a fallback speaks is not remembered.
    ///
    /// # Errors
    /// As of [`speak`](Self::speak).
    pub async fn recite(&self, speech: Speech) -> Result<AudioStream, TtsError> {
        if let Some((format, chunks)) = self.remembered.get(&speech) {
            return Ok(AudioStream { format, chunks, timer: None });
        }
        let (is_first_choice, audio) = self.ask(&speech).await?;
        if !is_first_choice {
            return Ok(audio);
        }
        let AudioStream { format, chunks, timer } = audio;
        Ok(AudioStream { format, chunks: self.remembered.remember(&speech, format, chunks), timer })
    }

    /// Asks until one provider speaks. Returns whether that is the first as well.
    async fn ask(&self, speech: &Speech) -> Result<(bool, AudioStream), TtsError> {
        let timer = self.metrics.call();
        let ask = |backend: Arc<Backend>| async move {
            let is_first_choice = self.chain.is_first(&backend);
            backend.call(speech).await.map(|audio| (is_first_choice, audio))
        };
        match self.chain.ask(ask).await {
            Ok((is_first_choice, (format, chunks))) => {
                Ok((is_first_choice, AudioStream { format, chunks, timer: Some(timer) }))
            }
            Err(error) => {
                timer.end(Outcome::Failed(error.kind));
                Err(error)
            }
        }
    }
}

/// Audio as it comes: non-empty chunks, then `None`, or an error in its place.
pub struct AudioStream {
    /// What the bytes mean.
    pub format: AudioFormat,
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
