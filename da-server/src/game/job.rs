//! What the character is to say, and the player's request behind it.

use std::time::Instant;

use super::metrics::SceneMetrics;
use crate::metrics::RequestStatus;
use crate::store::AskedBy;

/// One thing for the character to say. `Debug` is left out: these are people's words.
pub(super) struct Job {
    pub(super) task: Task,
    /// The request that it answers; `None` for what nobody asked for.
    pub(super) request: Option<Request>,
}

/// Where the words come from.
pub(super) enum Task {
    /// From the model, in answer to this.
    Answer { asked_by: AskedBy, asked: String },
    /// From the scene's file.
    Recite { direction: String, text: String },
}

/// A player's request. It is counted exactly once: as what it ended in, or as cancelled if it is
/// dropped before it ended, wherever that may be.
pub(super) struct Request {
    pub(super) received: Instant,
    metrics: SceneMetrics,
    /// What it is counted as when it is dropped; `None`: not at all.
    status: Option<RequestStatus>,
}

impl Request {
    pub(super) fn new(received: Instant, metrics: &SceneMetrics) -> Self {
        Self { received, metrics: metrics.clone(), status: Some(RequestStatus::Cancelled) }
    }

    /// It ended.
    pub(super) fn end(mut self, status: RequestStatus) {
        self.status = Some(status);
    }

    /// It turned out to be none.
    pub(super) fn forget(mut self) {
        self.status = None;
    }

    /// Its answer, or the word that there is none, was handed to the player's socket at `at`.
    pub(super) fn responded(&self, at: Instant) {
        self.metrics.responded(at.saturating_duration_since(self.received));
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if let Some(status) = self.status {
            self.metrics.finished(status);
        }
    }
}
