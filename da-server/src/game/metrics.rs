//! `requests_total` and `response_time_seconds`.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use super::scene::{Scene, Scenes};
use crate::metrics::{RequestStatus, buckets};

/// The game's families. Only loaded scenes have series.
#[derive(Debug, Clone)]
pub struct GameMetrics {
    requests: IntCounterVec,
    response_time: HistogramVec,
}

/// One scene's series.
#[derive(Debug, Clone)]
pub(super) struct SceneMetrics {
    requests: [IntCounter; RequestStatus::ALL.len()],
    response_time: Histogram,
}

impl GameMetrics {
    /// Registers the families with every scene's series at 0.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: &Registry, scenes: &Scenes) -> prometheus::Result<Self> {
        let help = "Player requests finished: lines, and presses that the character notices.";
        let opts = Opts::new("requests_total", help);
        let requests = IntCounterVec::new(opts, &["scene", "character", "status"])?;
        registry.register(Box::new(requests.clone()))?;
        let help = "Player's message received to last byte of text and audio handed to the \
                    player's socket; requests that ended in success or error.";
        let opts = HistogramOpts::new("response_time_seconds", help)
            .buckets(buckets::RESPONSE_SECONDS.to_vec());
        let response_time = HistogramVec::new(opts, &["scene", "character"])?;
        registry.register(Box::new(response_time.clone()))?;
        let metrics = Self { requests, response_time };
        for scene in scenes.iter() {
            metrics.scene(scene);
        }
        Ok(metrics)
    }

    /// The series of a loaded scene.
    pub(super) fn scene(&self, scene: &Scene) -> SceneMetrics {
        let (id, character) = (scene.id.as_str(), scene.character_id());
        let requests = RequestStatus::ALL
            .map(|status| self.requests.with_label_values(&[id, character, status.as_str()]));
        let response_time = self.response_time.with_label_values(&[id, character]);
        SceneMetrics { requests, response_time }
    }
}

impl SceneMetrics {
    /// A player's request ended.
    pub(super) fn finished(&self, status: RequestStatus) {
        self.requests[status as usize].inc();
    }

    /// The last byte of an answer was handed over.
    pub(super) fn responded(&self, took: Duration) {
        self.response_time.observe(took.as_secs_f64());
    }
}
