//! What the character is to say, and the player's request behind it.

use std::sync::Arc;
use std::time::Instant;

use super::metrics::SceneMetrics;
use super::stage::{StageTimer, TurnStage};
use crate::metrics::RequestStatus;
use crate::store::AskedBy;

/// One thing for the character to say. `Debug` is left out: these are people's words.
pub(super) struct Job {
    pub(super) task: Task,
    /// The request that it answers; `None` for what nobody asked for.
    pub(super) request: Option<Request>,
    /// The id of the scene's cue that it is.
    pub(super) cue: Option<String>,
    /// When it was queued.
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

/// Where the text of a turn comes from.
pub(super) enum Task {
    /// The model answers this.
    Answer { asked_by: AskedBy, asked: String },
    /// The text is in the scene's file.
    Scripted { direction: String, text: String },
}

/// A player's request. It is counted exactly once: as what it ended in, or as cancelled if it is
/// dropped before it ended, wherever that may be.
pub(super) struct Request {
    metrics: Arc<SceneMetrics>,
    /// Whether the player said something: after a press, which interrupts nothing, nobody waits in silence.
    is_line: bool,
    /// `None` once its answer was handed over.
    timer: Option<StageTimer>,
    /// The status under which it is counted when it is dropped; `None`: it is not counted.
    status: Option<RequestStatus>,
}

impl Request {
    /// A line that the session takes up now, `received` before.
    pub(super) fn line(received: Instant, metrics: &Arc<SceneMetrics>) -> Self {
        Self::new(received, metrics, true)
    }

    /// The press of a control that the session takes up now, `received` before.
    pub(super) fn press(received: Instant, metrics: &Arc<SceneMetrics>) -> Self {
        Self::new(received, metrics, false)
    }

    fn new(received: Instant, metrics: &Arc<SceneMetrics>, is_line: bool) -> Self {
        let mut timer = StageTimer::start(received);
        timer.enter(TurnStage::Queue, Instant::now());
        let status = Some(RequestStatus::Cancelled);
        Self { metrics: metrics.clone(), is_line, timer: Some(timer), status }
    }

    /// From now on it is in this stage, if it was not before.
    pub(super) fn enter(&mut self, stage: TurnStage) {
        // A reading of the clock in the middle of a stage might be later than when it ended, which another
        // task notes.
        if let Some(timer) = self.timer.as_mut().filter(|timer| timer.stage() != stage) {
            timer.enter(stage, Instant::now());
        }
    }

    /// The first audio of its answer was written to the player's socket at `at`.
    pub(super) fn heard(&mut self, at: Instant) {
        let Some(timer) = &mut self.timer else { return };
        timer.enter(TurnStage::Rest, at);
        if self.is_line {
            self.metrics.heard(at.saturating_duration_since(timer.received()));
        }
    }

    /// Its answer, or the error in its place, was written to the player's socket at `at`.
    pub(super) fn responded(&mut self, at: Instant) {
        if let Some(timer) = self.timer.take() {
            self.metrics.responded(&timer.end(at));
        }
    }

    /// Ends it with this status.
    pub(super) fn end(mut self, status: RequestStatus) {
        self.status = Some(status);
    }

    /// Discards it without counting it: there was nothing to answer.
    pub(super) fn discard(mut self) {
        self.status = None;
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        let Some(status) = self.status else { return };
        self.metrics.finished(status);
        // Nothing cancels an answer that is already there, so the timer still runs.
        if let (RequestStatus::Cancelled, Some(timer)) = (status, &self.timer) {
            self.metrics.interrupted(timer.stage());
        }
    }
}
