//! What the character is to say, and the player's request behind it.

use std::sync::Arc;
use std::time::Instant;

use super::metrics::SceneMetrics;
use super::stage::{Stage, StageClock};
use crate::metrics::RequestStatus;
use crate::store::AskedBy;

/// One thing for the character to say. `Debug` is left out: these are people's words.
pub(super) struct Job {
    pub(super) task: Task,
    /// The request that it answers; `None` for what nobody asked for.
    pub(super) request: Option<Request>,
    /// The id of the scene's cue that it is.
    pub(super) cue: Option<String>,
    /// When it began to wait for its place.
    pub(super) queued: Instant,
}

impl Job {
    /// One that nobody asked for; it waits from now on.
    pub(super) fn unasked(task: Task) -> Self {
        Self { task, request: None, cue: None, queued: Instant::now() }
    }

    /// One that answers a player's request; it waits from now on.
    pub(super) fn requested(task: Task, request: Request) -> Self {
        Self { request: Some(request), ..Self::unasked(task) }
    }
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
    metrics: Arc<SceneMetrics>,
    /// `None` once its answer was handed over.
    clock: Option<StageClock>,
    /// What it is counted as when it is dropped; `None`: not at all.
    status: Option<RequestStatus>,
}

impl Request {
    /// A request that the session takes up now, `received` before.
    pub(super) fn new(received: Instant, metrics: &Arc<SceneMetrics>) -> Self {
        let mut clock = StageClock::start(received);
        clock.enter(Stage::Queue, Instant::now());
        let status = Some(RequestStatus::Cancelled);
        Self { metrics: metrics.clone(), clock: Some(clock), status }
    }

    /// From now on it waits for this.
    pub(super) fn enter(&mut self, stage: Stage) {
        if let Some(clock) = &mut self.clock {
            clock.enter(stage, Instant::now());
        }
    }

    /// Its answer, or the word that there is none, was handed to the player's socket at `at`.
    pub(super) fn responded(&mut self, at: Instant) {
        if let Some(clock) = self.clock.take() {
            self.metrics.responded(&clock.end(at));
        }
    }

    /// It ended.
    pub(super) fn end(mut self, status: RequestStatus) {
        self.status = Some(status);
    }

    /// It turned out to be none.
    pub(super) fn forget(mut self) {
        self.status = None;
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let Some(status) = self.status else { return };
        self.metrics.finished(status);
        // Nothing cancels an answer that is already there, so the clock still runs.
        if let (RequestStatus::Cancelled, Some(clock)) = (status, &self.clock) {
            self.metrics.interrupted(clock.stage());
        }
    }
}
