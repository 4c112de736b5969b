//! Measures the audio of one attempt as it streams through.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{AudioFormat, Playback, metrics::VoiceMetrics, silence};
use crate::clock::monotonic_ns;
use crate::provider::call::ChunkStream;

/// How much audio is kept to look for the first audible sample: 5 s of the widest format.
const MAX_LEADING_BYTES: usize = 512 * 1024;

/// Statistics of the audio so far. Its seconds are counted when this is dropped; everything else only if
/// the audio is complete.
pub(super) struct AudioStats {
    format: AudioFormat,
    metrics: VoiceMetrics,
    /// How long the attempt waited for its permit.
    queued: Duration,
    started: Instant,
    /// The time spent waiting for the provider, without the player's share.
    waited: Duration,
    bytes: usize,
    /// The first chunks, and when each was there.
    leading: Vec<(Instant, Bytes)>,
}

impl AudioStats {
    /// An attempt that was asked for at `asked_ns` of `CLOCK_MONOTONIC`, and sends its request now.
    pub(super) fn start(format: AudioFormat, metrics: VoiceMetrics, asked_ns: u64) -> Self {
        let queued = Duration::from_nanos(monotonic_ns().saturating_sub(asked_ns));
        let (started, waited) = (Instant::now(), Duration::ZERO);
        Self { format, metrics, queued, started, waited, bytes: 0, leading: Vec::new() }
    }

    /// The same audio, in the format that it turned out to have, measured.
    pub(super) fn observe(
        mut self,
        format: AudioFormat,
        audio: ChunkStream<Bytes>,
    ) -> ChunkStream<Bytes> {
        self.format = format;
        self.waited = self.started.elapsed();
        stream::unfold((audio, Some(self)), |(mut audio, mut stats)| async move {
            let asked = Instant::now();
            let chunk = audio.next().await;
            let now = Instant::now();
            match &chunk {
                Some(Ok(bytes)) => {
                    if let Some(stats) = &mut stats {
                        stats.waited += now - asked;
                        stats.take(bytes, now);
                    }
                }
                // Audio that breaks off has no statistics.
                Some(Err(_)) => stats = None,
                None => {
                    if let Some(mut stats) = stats.take() {
                        stats.waited += now - asked;
                        stats.complete();
                    }
                }
            }
            Some((chunk?, (audio, stats)))
        })
        .boxed()
    }

    fn take(&mut self, bytes: &Bytes, now: Instant) {
        if self.bytes < MAX_LEADING_BYTES {
            self.leading.push((now, bytes.clone()));
        }
        self.bytes += bytes.len();
    }

    fn complete(&self) {
        if let Some(heard) = self.first_heard() {
            self.metrics.first_audio(self.queued + heard.saturating_duration_since(self.started));
        }
        if let Some(lasts) = self.format.duration(self.bytes).filter(|lasts| !lasts.is_zero()) {
            self.metrics.real_time_factor(self.waited.as_secs_f64() / lasts.as_secs_f64());
        }
    }

    /// When somebody who listens while it comes hears the first audible sample.
    fn first_heard(&self) -> Option<Instant> {
        let audio: Vec<u8> = self.leading.iter().flat_map(|(_, chunk)| chunk).copied().collect();
        let mut silence = silence::leading(&self.format, &audio)?;
        let mut playback = Playback::default();
        for (at, chunk) in &self.leading {
            let lasts = self.format.duration(chunk.len())?;
            let begins = playback.chunk(*at, lasts);
            if silence < lasts {
                return Some(begins + silence);
            }
            silence -= lasts;
        }
        None
    }
}

impl Drop for AudioStats {
    fn drop(&mut self) {
        if let Some(lasts) = self.format.duration(self.bytes) {
            self.metrics.count_audio(lasts);
        }
    }
}
