//! What the character says next, and when.

use std::time::Instant;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::game::job::{Job, Task};
use crate::game::prompt::direction;
use crate::game::queue::{Entry, Next, Priority};
use crate::game::scene::Cue;
use crate::game::stage::TurnStage;
use crate::game::turn::{EndedTurn, TurnRunner};
use crate::metrics::RequestStatus;
use crate::store::AskedBy;

/// What every scene begins with, for the model.
const BEGINNING: &str = "The scene begins.";

/// A turn that is under way.
pub(super) struct RunningTurn<'a> {
    pub(super) ends: BoxFuture<'a, EndedTurn>,
    pub(super) cancel: CancellationToken,
    /// The id of the scene's cue that it is.
    cue: Option<String>,
}

impl Session<'_> {
    /// Begins the next turn if it is due, or returns when it will be.
    pub(super) fn speak_next(&mut self) -> Option<Instant> {
        let now = Instant::now();
        while self.openings.front().is_some_and(|(due, _)| *due <= now) {
            if let Some((_, opening)) = self.openings.pop_front() {
                let task = Task::Scripted { direction: direction(BEGINNING), text: opening.text };
                self.enqueue(Priority::Normal, Job::unasked(task));
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
        if let Some(cue) = &job.cue {
            self.started.world.give_cue(cue);
        }
        let mut runner = TurnRunner {
            id: self.game.next_turn_id(),
            game: self.game,
            outbound: self.outbound,
            lease: self.started.lease,
            has_past: self.started.resumed || self.turns > 1,
            replaced: self.started.guard.eviction_token(),
            world: self.started.world.clone(),
            number: self.turns,
            request: job.request,
            in_rest: false,
        };
        // It is out of the queue, whatever becomes of it before it first runs.
        runner.enter(TurnStage::Delivery);
        let cancel = CancellationToken::new();
        let ends = runner.run(job.task, cancel.clone()).boxed();
        self.turn = Some(RunningTurn { ends, cancel, cue: job.cue });
    }

    pub(super) fn turn_ended(&mut self, EndedTurn { status, has_words }: EndedTurn) {
        let cue = self.turn.take().and_then(|turn| turn.cue);
        let was_cancelled = status == RequestStatus::Cancelled;
        // Whoever speaks first must not lose what the scene has to tell them.
        if let Some(cue) = cue.filter(|_| was_cancelled && !has_words) {
            self.started.world.withdraw_cue(&cue);
        }
        self.line_ended = (!was_cancelled).then(Instant::now);
    }

    /// Stops what the character is saying, so that it can be said again: what nobody asked for is paid from
    /// the player's budget then. Without any left it goes on.
    pub(super) fn interrupt_for_nothing(&mut self) {
        let is_cue = self.turn.as_ref().is_some_and(|turn| turn.cue.is_some());
        if !is_cue || self.take_request(Instant::now()).is_ok() {
            self.interrupt();
        }
    }

    /// Stops what the character is saying.
    pub(super) fn interrupt(&mut self) {
        if let Some(turn) = &self.turn {
            turn.cancel.cancel();
        }
    }

    /// Queues a job, and returns whether the queue took it. Superseded jobs are dropped, which counts them.
    pub(super) fn enqueue(&mut self, priority: Priority, job: Job) -> bool {
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

    /// Evaluates the scene's rules: queues the cues that are due, and the end if it is decided.
    /// A cue that was dropped before its turn is due again, and is queued again.
    pub(super) fn evaluate_rules(&mut self) {
        for cue in self.started.world.due_cues() {
            if !self.waits_already(&cue) {
                let job = Job::unasked(reaction(&cue.direction));
                self.enqueue(cue.priority, Job { cue: Some(cue.id), ..job });
            }
        }
        if let Some(outcome) = self.started.world.end_if_decided() {
            let message = outcome.message.clone();
            self.metrics.decided(&outcome.id);
            self.enqueue(Priority::Urgent, Job::unasked(reaction(&message)));
        }
    }

    /// Whether the cue is queued, or another one that it would only replace: of priority `background` there is
    /// one at most.
    fn waits_already(&self, cue: &Cue) -> bool {
        self.queue.any(|waiting| {
            let in_its_place =
                cue.priority == Priority::Background && waiting.priority == cue.priority;
            waiting.item.cue.as_ref().is_some_and(|id| *id == cue.id || in_its_place)
        })
    }
}

/// Has the character react to what happens.
pub(super) fn reaction(what: &str) -> Task {
    Task::Answer { asked_by: AskedBy::Scene, asked: direction(what) }
}
