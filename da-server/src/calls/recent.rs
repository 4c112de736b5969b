//! The calls that are remembered: the latest, and the slowest.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use super::Call;

/// Calls that are listed at once, at most: the largest `limit` of `/api/calls`.
pub const MAX_LISTED: u16 = 500;

/// Calls that a reader of live updates may be behind before it misses some.
const MAX_BEHIND: usize = 256;

/// How much is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// How many of the latest calls.
    pub latest: usize,
    /// How many of the slowest.
    pub slowest: usize,
    /// How long a slow call stays among the slowest: one of last week says nothing about today.
    pub slowest_for: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { latest: 500, slowest: 100, slowest_for: Duration::from_secs(3_600) }
    }
}

/// A call that has just ended, for all who follow.
#[derive(Debug)]
pub struct Update {
    /// The call.
    pub call: Arc<Call>,
    json: OnceLock<Option<String>>,
}

impl Update {
    fn new(call: Arc<Call>) -> Self {
        Self { call, json: OnceLock::new() }
    }

    /// The call as JSON: the first who asks writes it, for all others too. None if it can't be written,
    /// which the log says.
    pub fn json(&self) -> Option<&str> {
        let write = || match serde_json::to_string(&*self.call) {
            Ok(json) => Some(json),
            Err(error) => {
                tracing::error!(call = self.call.id, "a call can't be written: {error}");
                None
            }
        };
        self.json.get_or_init(write).as_deref()
    }
}

/// The latest and the slowest calls, in bounded memory.
#[derive(Debug)]
pub struct Recent {
    bounds: Bounds,
    kept: Mutex<Kept>,
    updates: broadcast::Sender<Arc<Update>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first.
    latest: VecDeque<Arc<Call>>,
    /// Slowest first, with when they were added.
    slowest: Vec<(Instant, Arc<Call>)>,
}

impl Recent {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let (updates, _) = broadcast::channel(MAX_BEHIND);
        Self { bounds, kept: Mutex::default(), updates }
    }

    /// Takes a finished call in, and tells everyone who follows.
    pub fn add(&self, call: Arc<Call>) {
        let mut kept = self.kept();
        if kept.latest.len() >= self.bounds.latest {
            kept.latest.pop_front();
        }
        if self.bounds.latest > 0 {
            kept.latest.push_back(Arc::clone(&call));
        }
        let place =
            kept.slowest.partition_point(|(_, other)| other.duration_ns >= call.duration_ns);
        if place < self.bounds.slowest {
            kept.slowest.insert(place, (Instant::now(), Arc::clone(&call)));
            kept.slowest.truncate(self.bounds.slowest);
        }
        drop(kept);
        // Nobody may be listening.
        let _ = self.updates.send(Arc::new(Update::new(call)));
    }

    /// The latest calls, the last one first.
    #[must_use]
    pub fn latest(&self) -> Vec<Arc<Call>> {
        self.kept().latest.iter().rev().cloned().collect()
    }

    /// The slowest calls of the last while, the slowest first.
    #[must_use]
    pub fn slowest(&self) -> Vec<Arc<Call>> {
        self.kept().slowest.iter().map(|(_, call)| Arc::clone(call)).collect()
    }

    /// The call of that number, if it is still remembered.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Arc<Call>> {
        let kept = self.kept();
        let slowest = kept.slowest.iter().map(|(_, call)| call);
        kept.latest.iter().chain(slowest).find(|call| call.id == id).cloned()
    }

    /// The providers of all that is remembered, in alphabetical order.
    #[must_use]
    pub fn providers(&self) -> Vec<String> {
        let kept = self.kept();
        let slowest = kept.slowest.iter().map(|(_, call)| call);
        let all: BTreeSet<&String> =
            kept.latest.iter().chain(slowest).map(|call| &call.provider).collect();
        all.into_iter().cloned().collect()
    }

    /// Every call from now on. A reader that is too slow is told how many it missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Update>> {
        self.updates.subscribe()
    }

    /// What is kept, without what has become too old. A panic elsewhere leaves it whole.
    fn kept(&self) -> MutexGuard<'_, Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.slowest.retain(|(added, _)| added.elapsed() <= self.bounds.slowest_for);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::call::tests::call;

    fn ids(calls: &[Arc<Call>]) -> Vec<u64> {
        calls.iter().map(|call| call.id).collect()
    }

    fn with_calls(bounds: Bounds) -> Recent {
        let recent = Recent::new(bounds);
        for (id, duration_ns) in [(1, 50), (2, 10), (3, 90), (4, 50), (5, 20)] {
            recent.add(Arc::new(call(id, duration_ns)));
        }
        recent
    }

    #[test]
    fn the_latest_and_the_slowest_are_kept_and_no_others() {
        let recent = with_calls(Bounds { latest: 2, slowest: 3, ..Bounds::default() });
        assert_eq!(ids(&recent.latest()), [5, 4]);
        assert_eq!(ids(&recent.slowest()), [3, 1, 4]);
        assert_eq!(recent.find(3).map(|call| call.duration_ns), Some(90));
        assert!(recent.find(2).is_none());
        assert_eq!(recent.providers(), ["anthropic"]);
    }

    #[test]
    fn what_was_slow_long_ago_is_forgotten() {
        let bounds = Bounds { slowest_for: Duration::ZERO, ..Bounds::default() };
        let recent = with_calls(bounds);
        std::thread::sleep(Duration::from_millis(1));
        assert!(recent.slowest().is_empty());
        assert_eq!(recent.latest().len(), 5);
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_room() {
        let recent = with_calls(Bounds { latest: 0, slowest: 0, ..Bounds::default() });
        assert!(recent.latest().is_empty() && recent.slowest().is_empty());
    }

    #[tokio::test]
    async fn a_call_is_written_once_for_all_who_follow() {
        let recent = Recent::new(Bounds::default());
        let (mut one, mut other) = (recent.subscribe(), recent.subscribe());
        recent.add(Arc::new(call(7, 1)));
        let (one, other) = (one.recv().await.expect("a call"), other.recv().await.expect("a call"));
        let json = one.json().expect("JSON");
        assert_eq!(serde_json::from_str::<Call>(json).expect("a call"), *other.call);
        assert!(std::ptr::eq(json, other.json().expect("JSON")));
    }

    #[tokio::test]
    async fn who_follows_is_told_of_every_call_or_of_how_many_it_missed() {
        let recent = with_calls(Bounds::default());
        let mut updates = recent.subscribe();
        recent.add(Arc::new(call(6, 1)));
        assert_eq!(updates.recv().await.expect("a call").call.id, 6);
        let missed = 10;
        for id in 0..(MAX_BEHIND + missed) as u64 {
            recent.add(Arc::new(call(id, 1)));
        }
        let lagged = broadcast::error::RecvError::Lagged(missed as u64);
        assert_eq!(updates.recv().await.expect_err("missed some"), lagged);
    }
}
