//! A cache of expositions: encoded once for all concurrent scrapes, without sources that are late.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout_at;

use super::gzip::gzip;
use super::scrape_negotiation::ScrapeNegotiation;
use crate::metrics::{Format, Metrics, Source};

/// Concurrent scrapes. Those that wait for the same exposition cost next to nothing, but each holds a
/// request.
const MAX_SCRAPES: usize = 128;

/// Why a scrape gets no exposition.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScrapeError {
    /// The limit of concurrent scrapes is reached.
    #[error("{MAX_SCRAPES} scrapes are in progress")]
    TooMany,
    /// A collector's metrics can't be encoded.
    #[error(transparent)]
    Defect(#[from] anyhow::Error),
}

/// The expositions, for any number of scrapers.
///
/// Encoding is CPU-bound, so it runs on the blocking pool, once for all concurrent scrapes. Each source is
/// encoded by itself, so that a late one does not delay the rest, and scrapes with different timeouts share it.
#[derive(Clone)]
pub(super) struct ExpositionCache(Arc<Shared>);

struct Shared {
    metrics: Metrics,
    parts: [[SourceText; Format::ALL.len()]; Source::ALL.len()],
    expositions: [[Exposition; 2]; Format::ALL.len()],
    permits: Semaphore,
}

/// The families of one source, in one format. Locked while they are encoded.
type SourceText = Arc<Mutex<Option<Encoded>>>;

/// All sources in one format, compressed or not, by when each was begun. Locked while it is made.
type Exposition = Arc<Mutex<Option<(Vec<Option<Instant>>, Bytes)>>>;

#[derive(Clone)]
struct Encoded {
    begun: Instant,
    bytes: Bytes,
}

impl ExpositionCache {
    /// An empty cache of `metrics`.
    pub(super) fn of(metrics: Metrics) -> Self {
        let permits = Semaphore::new(MAX_SCRAPES);
        let (parts, expositions) = Default::default();
        Self(Arc::new(Shared { metrics, parts, expositions, permits }))
    }

    /// All families as they are now, or as they were encoded for another scrape since this was called. Sources
    /// that are not ready in time are left out and counted.
    ///
    /// # Errors
    /// See [`ScrapeError`].
    pub(super) async fn expose(
        &self,
        negotiation: ScrapeNegotiation,
    ) -> Result<Bytes, ScrapeError> {
        let asked = Instant::now();
        let Ok(_permit) = self.0.permits.try_acquire() else {
            self.0.metrics.scrapes().refused();
            return Err(ScrapeError::TooMany);
        };
        let reading = Source::ALL.into_iter().map(async |source| {
            let deadline = (asked + negotiation.timeout).into();
            match timeout_at(deadline, self.part(source, negotiation.format, asked)).await {
                Ok(part) => part.map(Some),
                Err(_) => {
                    self.0.metrics.scrapes().skipped(source);
                    Ok(None)
                }
            }
        });
        let parts = try_join_all(reading).await?;
        Ok(self.whole(parts, negotiation).await?)
    }

    async fn part(
        &self,
        source: Source,
        format: Format,
        asked: Instant,
    ) -> anyhow::Result<Encoded> {
        let part = &self.0.parts[source as usize][format as usize];
        let mut last = Arc::clone(part).lock_owned().await;
        if let Some(written) = last.as_ref().filter(|last| last.begun >= asked) {
            return Ok(written.clone());
        }
        let registry = self.0.metrics.registry_of(source).clone();
        // The lock goes along, so that a scrape that is cancelled does not start the next one at once.
        let writing = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let bytes = Bytes::from(format.encode(&registry.gather())?);
            anyhow::Ok(last.insert(Encoded { begun, bytes }).clone())
        });
        writing.await.with_context(|| format!("writing {}", source.as_str()))?
    }

    async fn whole(
        &self,
        parts: Vec<Option<Encoded>>,
        negotiation: ScrapeNegotiation,
    ) -> anyhow::Result<Bytes> {
        let ScrapeNegotiation { format, gzip: compressed, .. } = negotiation;
        let whole = &self.0.expositions[format as usize][usize::from(compressed)];
        let mut last = Arc::clone(whole).lock_owned().await;
        let begun = parts.iter().map(|part| part.as_ref().map(|part| part.begun)).collect();
        if let Some((_, bytes)) = last.as_ref().filter(|(same, _)| *same == begun) {
            return Ok(bytes.clone());
        }
        let scrapes = self.0.metrics.scrapes().clone();
        let making = tokio::task::spawn_blocking(move || {
            let own = format.encode(&scrapes.gather())?;
            let read = parts.iter().flatten().map(|part| &part.bytes[..]);
            let all: Vec<&[u8]> = read.chain([&own[..], format.end()]).collect();
            let bytes = Bytes::from(if compressed { gzip(&all)? } else { all.concat() });
            anyhow::Ok(last.insert((begun, bytes)).1.clone())
        });
        making.await.context("putting the exposition together")?
    }
}

#[cfg(test)]
mod tests;
