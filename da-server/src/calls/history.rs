//! The history of calls: the latest, and the slowest; and what is under way.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast;

use super::file_writer::CallFileWriter;
use super::{Call, Update};
use crate::kernel::{LatestUnderWay, Snapshot};

/// Calls that are listed at once, at most: the largest `limit` of `/api/calls`.
pub const MAX_LISTED: u16 = 500;

/// Calls that a reader of live updates may be behind before it misses some.
const MAX_UPDATES_BEHIND: usize = 256;

/// How much is remembered: of this process's calls so much, and of others' so much again.
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

/// The latest and the slowest calls, in bounded memory.
#[derive(Debug)]
pub struct CallHistory {
    bounds: Bounds,
    state: Mutex<HistoryState>,
    updates: broadcast::Sender<Arc<Update>>,
    file: Option<CallFileWriter>,
    under_way: LatestUnderWay,
}

#[derive(Debug, Default)]
struct HistoryState {
    /// Calls that were added so far.
    added: u64,
    own: Remembered,
    /// Of other processes, which may make very many.
    others: Remembered,
}

#[derive(Debug, Default)]
struct Remembered {
    /// Oldest first, each with its place in the order of all.
    latest: VecDeque<(u64, Arc<Call>)>,
    /// Slowest first, with when they were added.
    slowest: Vec<(Instant, Arc<Call>)>,
}

impl Remembered {
    fn add(&mut self, place: u64, call: &Arc<Call>, bounds: Bounds) {
        if self.latest.len() >= bounds.latest {
            self.latest.pop_front();
        }
        if bounds.latest > 0 {
            self.latest.push_back((place, Arc::clone(call)));
        }
        let at = self.slowest.partition_point(|(_, other)| other.duration_ns >= call.duration_ns);
        if at < bounds.slowest {
            self.slowest.insert(at, (Instant::now(), Arc::clone(call)));
            self.slowest.truncate(bounds.slowest);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Call>> {
        let latest = self.latest.iter().map(|(_, call)| call);
        latest.chain(self.slowest.iter().map(|(_, call)| call))
    }
}

impl HistoryState {
    /// The place of a further call, and among which it is remembered.
    fn next(&mut self, call: &Call) -> (u64, &mut Remembered) {
        self.added += 1;
        (self.added, if call.process.is_none() { &mut self.own } else { &mut self.others })
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Call>> {
        self.own.all().chain(self.others.all())
    }
}

impl CallHistory {
    /// An empty history.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let (updates, _) = broadcast::channel(MAX_UPDATES_BEHIND);
        let under_way = LatestUnderWay::default();
        Self { bounds, state: Mutex::default(), updates, file: None, under_way }
    }

    /// All of `calls`, the first of which ended first.
    #[must_use]
    pub fn of(calls: Vec<Call>) -> Self {
        let most = calls.len();
        let history = Self::new(Bounds { latest: most, slowest: most, slowest_for: Duration::MAX });
        let mut guard = history.state();
        let (state, now) = (&mut *guard, Instant::now());
        for call in calls.into_iter().map(Arc::new) {
            let (place, of) = state.next(&call);
            of.latest.push_back((place, Arc::clone(&call)));
            of.slowest.push((now, call));
        }
        for of in [&mut state.own.slowest, &mut state.others.slowest] {
            of.sort_by_key(|(_, call)| Reverse(call.duration_ns));
        }
        drop(guard);
        history
    }

    /// The same, and `under_way` are those that the kernel view sees at the moment.
    #[must_use]
    pub fn with(self, under_way: LatestUnderWay) -> Self {
        Self { under_way, ..self }
    }

    /// The same, and every call that is added is handed to `file` too.
    #[must_use]
    pub fn written_by(self, file: Option<CallFileWriter>) -> Self {
        Self { file, ..self }
    }

    /// Requests that have not ended yet, as the kernel view sees them.
    #[must_use]
    pub fn under_way(&self) -> Arc<Snapshot> {
        self.under_way.get()
    }

    /// Adds a finished call, and sends it to all followers.
    pub fn add(&self, call: Arc<Call>) {
        let mut state = self.state();
        let (place, of) = state.next(&call);
        of.add(place, &call, self.bounds);
        drop(state);
        let update = Arc::new(Update::new(call));
        if let Some(file) = &self.file {
            file.take(&update);
        }
        // Nobody may be listening.
        let _ = self.updates.send(update);
    }

    /// The latest calls, the last one first.
    #[must_use]
    pub fn latest(&self) -> Vec<Arc<Call>> {
        let state = self.state();
        let mut all: Vec<_> = state.own.latest.iter().chain(&state.others.latest).collect();
        all.sort_by_key(|(place, _)| Reverse(*place));
        all.into_iter().map(|(_, call)| Arc::clone(call)).collect()
    }

    /// The slowest calls of the last while, the slowest first.
    #[must_use]
    pub fn slowest(&self) -> Vec<Arc<Call>> {
        let state = self.state();
        let all = state.own.slowest.iter().chain(&state.others.slowest);
        let mut all: Vec<_> = all.map(|(_, call)| Arc::clone(call)).collect();
        all.sort_by_key(|call| Reverse(call.duration_ns));
        all
    }

    /// The call of that number, if it is still remembered.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Arc<Call>> {
        self.state().all().find(|call| call.id == id).cloned()
    }

    /// The providers of all that is remembered, in alphabetical order.
    #[must_use]
    pub fn providers(&self) -> Vec<String> {
        self.names(|call| Some(&call.provider))
    }

    /// The names of the processes other than this one that made what is remembered, in alphabetical order.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        self.names(|call| call.process.as_ref().map(|process| &process.name))
    }

    /// Their workloads.
    #[must_use]
    pub fn workloads(&self) -> Vec<String> {
        self.names(|call| call.process.as_ref()?.workload.as_ref())
    }

    fn names(&self, name: impl Fn(&Call) -> Option<&String>) -> Vec<String> {
        let state = self.state();
        let all: BTreeSet<&String> = state.all().filter_map(|call| name(call)).collect();
        all.into_iter().cloned().collect()
    }

    /// Every call from now on. A reader that is too slow is told how many it missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Update>> {
        self.updates.subscribe()
    }

    /// What is state, without what has become too old. A panic elsewhere leaves it whole.
    fn state(&self) -> MutexGuard<'_, HistoryState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |(added, _): &(Instant, _)| added.elapsed() <= self.bounds.slowest_for;
        state.own.slowest.retain(is_new);
        state.others.slowest.retain(is_new);
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::Process;
    use crate::calls::call::tests::call;

    fn ids(calls: &[Arc<Call>]) -> Vec<u64> {
        calls.iter().map(|call| call.id).collect()
    }

    fn with_calls(bounds: Bounds) -> CallHistory {
        let history = CallHistory::new(bounds);
        for (id, duration_ns) in [(1, 50), (2, 10), (3, 90), (4, 50), (5, 20)] {
            history.add(Arc::new(call(id, duration_ns)));
        }
        history
    }

    #[test]
    fn the_latest_and_the_slowest_are_kept_and_no_others() {
        let history = with_calls(Bounds { latest: 2, slowest: 3, ..Bounds::default() });
        assert_eq!(ids(&history.latest()), [5, 4]);
        assert_eq!(ids(&history.slowest()), [3, 1, 4]);
        assert_eq!(history.find(3).map(|call| call.duration_ns), Some(90));
        assert!(history.find(2).is_none());
        assert_eq!(history.providers(), ["anthropic"]);
    }

    #[test]
    fn calls_of_other_processes_take_no_place_of_ones_own() {
        let history = with_calls(Bounds { latest: 2, slowest: 3, ..Bounds::default() });
        let process = Some(Process { name: "psql".to_owned(), pid: 1, workload: None });
        for id in 6..100 {
            history.add(Arc::new(Call { process: process.clone(), ..call(id, 60) }));
        }
        history.add(Arc::new(call(100, 1)));
        assert_eq!(ids(&history.latest()), [100, 99, 98, 5]);
        assert_eq!(ids(&history.slowest()), [3, 6, 7, 8, 1, 4]);
        assert_eq!(history.processes(), ["psql"]);
        assert!(history.find(5).is_some() && history.find(99).is_some());
    }

    #[test]
    fn what_was_slow_long_ago_is_forgotten() {
        let bounds = Bounds { slowest_for: Duration::ZERO, ..Bounds::default() };
        let history = with_calls(bounds);
        std::thread::sleep(Duration::from_millis(1));
        assert!(history.slowest().is_empty());
        assert_eq!(history.latest().len(), 5);
    }

    #[test]
    fn of_a_file_all_are_there_in_both_orders() {
        let calls = [(1, 50), (2, 10), (3, 90)].map(|(id, duration_ns)| call(id, duration_ns));
        let history = CallHistory::of(calls.to_vec());
        assert_eq!(ids(&history.latest()), [3, 2, 1]);
        assert_eq!(ids(&history.slowest()), [3, 1, 2]);
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_room() {
        let history = with_calls(Bounds { latest: 0, slowest: 0, ..Bounds::default() });
        assert!(history.latest().is_empty() && history.slowest().is_empty());
    }

    #[tokio::test]
    async fn a_call_is_written_once_for_all_who_follow() {
        let history = CallHistory::new(Bounds::default());
        let (mut one, mut other) = (history.subscribe(), history.subscribe());
        history.add(Arc::new(call(7, 1)));
        let (one, other) = (one.recv().await.expect("a call"), other.recv().await.expect("a call"));
        let json = one.json().expect("JSON");
        assert_eq!(serde_json::from_str::<Call>(json).expect("a call"), *other.call);
        assert!(std::ptr::eq(json, other.json().expect("JSON")));
    }

    #[tokio::test]
    async fn who_follows_is_told_of_every_call_or_of_how_many_it_missed() {
        let history = with_calls(Bounds::default());
        let mut updates = history.subscribe();
        history.add(Arc::new(call(6, 1)));
        assert_eq!(updates.recv().await.expect("a call").call.id, 6);
        let missed = 10;
        for id in 0..(MAX_UPDATES_BEHIND + missed) as u64 {
            history.add(Arc::new(call(id, 1)));
        }
        let lagged = broadcast::error::RecvError::Lagged(missed as u64);
        assert_eq!(updates.recv().await.expect_err("missed some"), lagged);
    }
}
