//! Expositions: read once for all who wait, without what is late.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout_at;

use super::gzip::gzip;
use super::terms::Terms;
use crate::metrics::{Format, Metrics, Source};

/// Scrapes under way at once. Those who wait for the same exposition cost next to nothing, but each
/// is a request that is kept.
const MAX_SCRAPES: usize = 128;

/// Why there is no exposition.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScrapeError {
    /// As many as may be are under way.
    #[error("{MAX_SCRAPES} scrapes are under way")]
    TooMany,
    /// A collector handed over something that can't be written.
    #[error(transparent)]
    Defect(#[from] anyhow::Error),
}

/// The exposition, for any number of scrapers.
///
/// Making it takes CPU time, which nobody who asks for it may take from anybody else: it is made
/// outside the runtime's own threads, so that other requests go on, and once for all who wait, so that
/// many scrapers take no more than one. What is read from each source is a part of its own, so that a
/// late one keeps nobody from the rest, and two scrapers with different patience can share it.
#[derive(Clone)]
pub(super) struct Scrapes(Arc<Shared>);

struct Shared {
    metrics: Metrics,
    parts: [[Part; Format::ALL.len()]; Source::ALL.len()],
    wholes: [[Whole; 2]; Format::ALL.len()],
    seats: Semaphore,
}

/// What is read from one source, in one format. Locked while it is written.
type Part = Arc<Mutex<Option<Written>>>;

/// All parts in one format, compressed or not, by when each was begun. Locked while it is made.
type Whole = Arc<Mutex<Option<(Vec<Option<Instant>>, Bytes)>>>;

#[derive(Clone)]
struct Written {
    begun: Instant,
    bytes: Bytes,
}

impl Scrapes {
    /// Of what is in `metrics`.
    pub(super) fn of(metrics: Metrics) -> Self {
        let seats = Semaphore::new(MAX_SCRAPES);
        let (parts, wholes) = Default::default();
        Self(Arc::new(Shared { metrics, parts, wholes, seats }))
    }

    /// All families as they are now, or as they were written for another scraper since this was
    /// called, but for those of sources that were not read in time: these are counted.
    ///
    /// # Errors
    /// See [`ScrapeError`].
    pub(super) async fn expose(&self, terms: Terms) -> Result<Bytes, ScrapeError> {
        let asked = Instant::now();
        let Ok(_seat) = self.0.seats.try_acquire() else {
            self.0.metrics.scrapes().refused();
            return Err(ScrapeError::TooMany);
        };
        let reading = Source::ALL.into_iter().map(async |source| {
            let deadline = (asked + terms.within).into();
            match timeout_at(deadline, self.part(source, terms.format, asked)).await {
                Ok(part) => part.map(Some),
                Err(_) => {
                    self.0.metrics.scrapes().skipped(source);
                    Ok(None)
                }
            }
        });
        let parts = try_join_all(reading).await?;
        Ok(self.whole(parts, terms).await?)
    }

    async fn part(
        &self,
        source: Source,
        format: Format,
        asked: Instant,
    ) -> anyhow::Result<Written> {
        let part = &self.0.parts[source as usize][format as usize];
        let mut last = Arc::clone(part).lock_owned().await;
        if let Some(written) = last.as_ref().filter(|last| last.begun >= asked) {
            return Ok(written.clone());
        }
        let registry = self.0.metrics.registry_of(source).clone();
        // The lock goes along: whoever asks and leaves at once must not have the next one begun.
        let writing = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let bytes = Bytes::from(format.encode(&registry.gather())?);
            anyhow::Ok(last.insert(Written { begun, bytes }).clone())
        });
        writing.await.with_context(|| format!("writing {}", source.as_str()))?
    }

    async fn whole(&self, parts: Vec<Option<Written>>, terms: Terms) -> anyhow::Result<Bytes> {
        let Terms { format, gzip: compressed, .. } = terms;
        let whole = &self.0.wholes[format as usize][usize::from(compressed)];
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
