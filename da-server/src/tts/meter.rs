//! Measures the audio of one attempt while it passes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{AudioFormat, Playback, metrics::VoiceMetrics, silence};
use crate::clock::monotonic_ns;
use crate::provider::call::Pieces;

/// Audio kept to look for its first audible sample: 5 s of the widest format.
const LEADING_BYTES: usize = 512 * 1024;

/// What is known of the audio so far. Its seconds are counted when it is dropped; everything else
/// only of audio that came whole.
pub(super) struct Meter {
    format: AudioFormat,
    metrics: VoiceMetrics,
    /// From the attempt's beginning to this one's: the wait for its turn among the calls in flight.
    queued: Duration,
    started: Instant,
    /// Waited for the provider, the player's share left out.
    waited: Duration,
    bytes: usize,
    /// The first pieces, and when each was there.
    leading: Vec<(Instant, Bytes)>,
}

impl Meter {
    /// An attempt that was asked for at `asked_ns` of `CLOCK_MONOTONIC`, and sends its request now.
    pub(super) fn start(format: AudioFormat, metrics: VoiceMetrics, asked_ns: u64) -> Self {
        let queued = Duration::from_nanos(monotonic_ns().saturating_sub(asked_ns));
        let (started, waited) = (Instant::now(), Duration::ZERO);
        Self { format, metrics, queued, started, waited, bytes: 0, leading: Vec::new() }
    }

    /// The same audio, which has turned out to be in this format, measured.
    pub(super) fn watch(mut self, format: AudioFormat, audio: Pieces<Bytes>) -> Pieces<Bytes> {
        self.format = format;
        self.waited = self.started.elapsed();
        stream::unfold((audio, Some(self)), |(mut audio, mut meter)| async move {
            let asked = Instant::now();
            let piece = audio.next().await;
            let now = Instant::now();
            match &piece {
                Some(Ok(bytes)) => {
                    if let Some(meter) = &mut meter {
                        meter.waited += now - asked;
                        meter.take(bytes, now);
                    }
                }
                // What is broken off has no figures.
                Some(Err(_)) => meter = None,
                None => {
                    if let Some(mut meter) = meter.take() {
                        meter.waited += now - asked;
                        meter.whole();
                    }
                }
            }
            Some((piece?, (audio, meter)))
        })
        .boxed()
    }

    fn take(&mut self, bytes: &Bytes, now: Instant) {
        if self.bytes < LEADING_BYTES {
            self.leading.push((now, bytes.clone()));
        }
        self.bytes += bytes.len();
    }

    fn whole(&self) {
        if let Some(heard) = self.first_heard() {
            self.metrics.first_audio(self.queued + heard.saturating_duration_since(self.started));
        }
        if let Some(lasts) = self.format.duration(self.bytes).filter(|lasts| !lasts.is_zero()) {
            self.metrics.real_time_factor(self.waited.as_secs_f64() / lasts.as_secs_f64());
        }
    }

    /// When somebody who listens while it comes hears the first audible sample.
    fn first_heard(&self) -> Option<Instant> {
        let audio: Vec<u8> = self.leading.iter().flat_map(|(_, piece)| piece).copied().collect();
        let mut silence = silence::leading(&self.format, &audio)?;
        let mut playback = Playback::default();
        for (at, piece) in &self.leading {
            let lasts = self.format.duration(piece.len())?;
            let begins = playback.piece(*at, lasts);
            if silence < lasts {
                return Some(begins + silence);
            }
            silence -= lasts;
        }
        None
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(lasts) = self.format.duration(self.bytes) {
            self.metrics.count_audio(lasts);
        }
    }
}
