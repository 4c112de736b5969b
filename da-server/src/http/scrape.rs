//! One exposition at a time, whoever asks and however often.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::metrics::Metrics;

/// The exposition, for any number of scrapers.
///
/// Writing it takes CPU time, which nobody who asks for it may take from anybody else: it is written
/// outside the runtime's own threads, so that other requests go on, and once for all who wait, so that
/// many scrapers take no more than one.
#[derive(Clone)]
pub(super) struct Scrapes {
    metrics: Metrics,
    /// Held while it is written.
    last: Arc<Mutex<Option<Exposition>>>,
}

struct Exposition {
    begun: Instant,
    text: Bytes,
}

impl Scrapes {
    /// Of what is in `metrics`.
    pub(super) fn of(metrics: Metrics) -> Self {
        Self { metrics, last: Arc::default() }
    }

    /// All families as they are now, or as they were written for another scraper since this was called.
    ///
    /// # Errors
    /// A collector handed over something that can't be written.
    pub(super) async fn expose(&self) -> anyhow::Result<Bytes> {
        let asked = Instant::now();
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some(Exposition { text, .. }) = last.as_ref().filter(|last| last.begun >= asked) {
            return Ok(text.clone());
        }
        let metrics = self.metrics.clone();
        // The lock goes along: whoever asks and leaves at once must not have the next one begun.
        let writing = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let text = Bytes::from(metrics.expose()?);
            *last = Some(Exposition { begun, text: text.clone() });
            anyhow::Ok(text)
        });
        writing.await.context("writing the exposition")?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    use futures_util::future::join_all;
    use prometheus::core::{Collector, Desc};
    use prometheus::proto::MetricFamily;

    use super::*;

    /// Counts how often it was asked, and takes its time.
    #[derive(Clone, Default)]
    struct Slow(Arc<AtomicU64>);

    impl Collector for Slow {
        fn desc(&self) -> Vec<&Desc> {
            Vec::new()
        }

        fn collect(&self) -> Vec<MetricFamily> {
            self.0.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(50));
            Vec::new()
        }
    }

    #[tokio::test]
    async fn all_who_wait_get_the_same_one_and_who_comes_later_another() {
        let (metrics, slow) = (Metrics::new().expect("metrics"), Slow::default());
        metrics.registry().register(Box::new(slow.clone())).expect("registers");
        let scrapes = Scrapes::of(metrics);
        let texts = join_all((0..100).map(|_| scrapes.expose())).await;
        assert!(texts.iter().all(|text| text.as_ref().is_ok_and(|text| !text.is_empty())));
        let written = slow.0.load(Ordering::Relaxed);
        assert!((1..=2).contains(&written), "{written} times for 100 at once");
        scrapes.expose().await.expect("another");
        assert_eq!(slow.0.load(Ordering::Relaxed), written + 1, "nobody gets an old one");
    }
}
