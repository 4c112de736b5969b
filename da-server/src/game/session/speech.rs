//! What the character says next, and when.

use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::game::job::{Job, Request, Task};
use crate::game::prompt::direction;
use crate::game::queue::{Entry, Next, Priority};
use crate::game::stage::Stage;
use crate::game::turn::Performance;
use crate::metrics::RequestStatus;
use crate::store::AskedBy;

/// What every scene begins with, for the model.
const BEGINNING: &str = "The scene begins.";

/// A turn that is under way.
pub(super) struct RunningTurn<'a> {
    pub(super) ends: BoxFuture<'a, RequestStatus>,
    pub(super) cancel: CancellationToken,
}

impl Session<'_> {
    /// Begins the next turn if it is time for it; or says when it will be.
    pub(super) fn speak_next(&mut self) -> Option<Instant> {
        let now = Instant::now();
        while self.openings.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, opening)) = self.openings.pop_front() {
                let task = Task::Recite { direction: direction(BEGINNING), text: opening.text };
                self.enqueue(Priority::Normal, task, None);
            }
        }
        let opening_due = self.openings.front().map(|(due, _)| *due);
        if self.turn.is_some() {
            return opening_due;
        }
        match self.queue.next(now, self.line_ended) {
            Next::Say(entry) => self.begin_turn(entry, now),
            Next::Wait(until) => return Some(opening_due.map_or(until, |due| due.min(until))),
            Next::Idle => {}
        }
        opening_due
    }

    fn begin_turn(&mut self, Entry { priority, item: job }: Entry<Job>, now: Instant) {
        self.game.metrics.waited(priority, now.saturating_duration_since(job.queued));
        self.turns += 1;
        let mut performance = Performance {
            game: self.game,
            outbox: self.outbox,
            claim: self.started.claim,
            replaced: self.started.seat.leave(),
            world: self.started.world.clone(),
            number: self.turns,
            request: job.request,
        };
        // It is out of the queue, whatever becomes of it before it first runs.
        performance.enter(Stage::Delivery);
        let cancel = CancellationToken::new();
        let ends = performance.perform(job.task, cancel.clone()).boxed();
        self.turn = Some(RunningTurn { ends, cancel });
    }

    pub(super) fn turn_ended(&mut self, status: RequestStatus) {
        self.turn = None;
        self.line_ended = (status != RequestStatus::Cancelled).then(Instant::now);
    }

    /// Stops what the character is saying.
    pub(super) fn interrupt(&mut self) {
        if let Some(turn) = &self.turn {
            turn.cancel.cancel();
        }
    }

    /// Whether there was room. What is superseded is dropped, and counted by that.
    pub(super) fn enqueue(
        &mut self,
        priority: Priority,
        task: Task,
        request: Option<Request>,
    ) -> bool {
        let job = Job { task, request, queued: Instant::now() };
        let pushed = self.queue.push(Entry { priority, item: job });
        match pushed.rejected {
            None => true,
            Some(job) => {
                if let Some(request) = job.request {
                    request.end(RequestStatus::Rejected);
                }
                false
            }
        }
    }

    /// Has the character react to what happens.
    pub(super) fn react(
        &mut self,
        priority: Priority,
        what: &str,
        request: Option<Request>,
    ) -> bool {
        let task = Task::Answer { asked_by: AskedBy::Scene, asked: direction(what) };
        self.enqueue(priority, task, request)
    }

    /// What follows from how the scene stands now: cues, and the end.
    pub(super) fn settle(&mut self) {
        for cue in self.started.world.take_cues() {
            self.react(cue.priority, &cue.direction, None);
        }
        if let Some(outcome) = self.started.world.end_if_decided() {
            let message = outcome.message.clone();
            self.metrics.decided(&outcome.id);
            self.react(Priority::Urgent, &message, None);
        }
    }
}
