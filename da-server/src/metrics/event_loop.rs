//! How late the runtime is.
//!
//! A task sleeps and looks how late it wakes. That is what every timer and socket of the process
//! suffers, but of several workers a single blocked one need not show in it: the others go on, and
//! wake the task in time. So the task also looks at each worker: tokio publishes when a worker parks
//! and how long it was busy, and brings both up to date whenever the worker comes back to its loop,
//! at the latest after 61 polls. A worker that is not parked and for which neither has moved since
//! the last look has not been at its loop in between.

use std::time::{Duration, Instant};

use prometheus::{Histogram, HistogramOpts};
use tokio::runtime::{Handle, RuntimeMetrics};

use super::{Registry, Standstill, buckets};
use crate::clock::monotonic_ns;

/// Between two looks.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// `event_loop_lag_seconds` and `event_loop_stall_seconds`.
#[derive(Debug, Clone)]
pub struct EventLoopMetrics {
    lag: Histogram,
    stall: Histogram,
    standstill: Standstill,
}

/// A worker as it was seen last.
#[derive(Debug)]
struct Worker {
    turns: Turns,
    since: Instant,
    seen: Instant,
}

/// What moves whenever a worker comes back to its loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turns {
    /// Odd while it is parked.
    parks_and_unparks: u64,
    busy: Duration,
}

impl EventLoopMetrics {
    /// Registers the families.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let histogram = |name: &str, help: &str| {
            let edges = buckets::EVENT_LOOP_SECONDS.to_vec();
            let family = Histogram::with_opts(HistogramOpts::new(name, help).buckets(edges))?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, prometheus::Error>(family)
        };
        Ok(Self {
            lag: histogram(
                "event_loop_lag_seconds",
                "How late a task wakes up that sleeps for 50 ms at a time.",
            )?,
            stall: histogram(
                "event_loop_stall_seconds",
                "How long a worker of the runtime did not return to its event loop, as sampled every \
                 50 ms.",
            )?,
            standstill: Standstill::default(),
        })
    }

    /// How long the runtime as a whole stands still while it is watched.
    #[must_use]
    pub fn standstill(&self) -> Standstill {
        self.standstill.clone()
    }

    /// Watches the runtime that it runs on, for ever. Spawn it: only a task of its own is woken
    /// by the workers.
    pub async fn watch(self) {
        let runtime = Handle::current().metrics();
        let look = |number| Turns::of(&runtime, number);
        let now = Instant::now();
        let mut workers: Vec<Worker> = (0..runtime.num_workers())
            .map(|number| Worker { turns: look(number), since: now, seen: now })
            .collect();
        loop {
            self.standstill.look(monotonic_ns(), SAMPLE_INTERVAL);
            let due = Instant::now() + SAMPLE_INTERVAL;
            tokio::time::sleep_until(due.into()).await;
            let now = Instant::now();
            self.lag.observe(now.saturating_duration_since(due).as_secs_f64());
            for (number, worker) in workers.iter_mut().enumerate() {
                if let Some(stalled) = worker.look(look(number), now) {
                    self.stall.observe(stalled.as_secs_f64());
                }
            }
        }
    }
}

impl Worker {
    /// Looks again. If a stall is over, says for how long it was seen.
    fn look(&mut self, turns: Turns, now: Instant) -> Option<Duration> {
        if turns == self.turns && !turns.is_parked() {
            self.seen = now;
            return None;
        }
        let stalled = self.seen - self.since;
        *self = Self { turns, since: now, seen: now };
        (!stalled.is_zero()).then_some(stalled)
    }
}

impl Turns {
    fn of(runtime: &RuntimeMetrics, worker: usize) -> Self {
        Self {
            parks_and_unparks: runtime.worker_park_unpark_count(worker),
            busy: runtime.worker_total_busy_duration(worker),
        }
    }

    fn is_parked(self) -> bool {
        self.parks_and_unparks % 2 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKED: Duration = Duration::from_millis(400);

    /// Seconds of lag and of stalls while one task blocks its worker, of so many.
    fn blocking_one_of(workers: usize) -> (f64, f64) {
        let registry = Registry::new();
        let metrics = EventLoopMetrics::register(&registry).expect("registers");
        let (lag, stall) = (metrics.lag.clone(), metrics.stall.clone());
        let runtime = match workers {
            1 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
            n => tokio::runtime::Builder::new_multi_thread().worker_threads(n).enable_all().build(),
        };
        runtime.expect("runtime").block_on(async {
            tokio::spawn(metrics.watch());
            tokio::time::sleep(4 * SAMPLE_INTERVAL).await;
            let before = (lag.get_sample_sum(), stall.get_sample_sum());
            let blocking = tokio::spawn(async { std::thread::sleep(BLOCKED) });
            blocking.await.expect("no panic");
            tokio::time::sleep(4 * SAMPLE_INTERVAL).await;
            (lag.get_sample_sum() - before.0, stall.get_sample_sum() - before.1)
        })
    }

    #[test]
    fn a_blocked_runtime_of_one_thread_lags() {
        let (lag, _) = blocking_one_of(1);
        assert!(lag >= (BLOCKED - SAMPLE_INTERVAL).as_secs_f64(), "{lag}");
    }

    #[test]
    fn one_blocked_worker_of_several_is_seen() {
        for workers in [2, 4, 8] {
            let (lag, stall) = blocking_one_of(workers);
            // While the watching task is late itself, that is what shows it.
            let seen = stall + lag;
            println!(
                "{workers} workers, one blocked {BLOCKED:?}: lag {lag:.3} s, stall {stall:.3} s"
            );
            assert!(
                seen >= (BLOCKED - 2 * SAMPLE_INTERVAL).as_secs_f64(),
                "{workers}: {lag} {stall}"
            );
        }
    }

    #[test]
    fn a_parked_or_moving_worker_is_not_stalled_and_a_stall_is_told_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let turns = |parks_and_unparks, busy| Turns {
            parks_and_unparks,
            busy: Duration::from_millis(busy),
        };
        let mut worker = Worker { turns: turns(1, 0), since: start, seen: start };
        let told: Vec<_> = [
            (50, turns(1, 0)),
            (100, turns(2, 0)),
            (150, turns(2, 0)),
            (200, turns(2, 0)),
            (250, turns(2, 9)),
            (300, turns(2, 50)),
            (350, turns(2, 50)),
            (400, turns(3, 50)),
            (450, turns(3, 50)),
        ]
        .into_iter()
        .map(|(ms, turns)| worker.look(turns, at(ms)).map(|stalled| stalled.as_millis()))
        .collect();
        let none = None;
        assert_eq!(told, [none, none, none, none, Some(100), none, none, Some(50), none]);
    }
}
