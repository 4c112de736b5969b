//! The programs' maps that say whose system calls are timed, as the reader uses them.

use std::collections::{HashMap as StdHashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use da_ebpf_common::event::ConnectionId;
use da_ebpf_common::syscall::{MAX_EARLY, MAX_PROCESSES, MAX_SERIES, Process};

use super::SyscallMetrics;
use crate::clock::monotonic_ns;
use crate::kernel::load::syscalls::SyscallMapHandles;
use crate::kernel::self_metrics::MapMetrics;
use crate::kernel::self_metrics::losses::{Loss, LossMetrics};
use crate::kernel::series::SeriesLabels;
use crate::kernel::tracker::Attributed;

/// By then a program that was just counting a call when something changed has counted it.
const SETTLED: Duration = Duration::from_millis(10);

/// A connect may turn out to have been one to an endpoint for so long.
const CANDIDATE: Duration = Duration::from_secs(2);

/// include/uapi/linux/bpf.h: only where there is none yet.
const BPF_NOEXIST: u64 = 1;

/// The maps, and what is known of those in them.
pub struct SyscallMaps {
    maps: SyscallMapHandles,
    metrics: SyscallMetrics,
    map_metrics: MapMetrics,
    losses: LossMetrics,
    /// Attributed connections, and the process that owns each.
    attributed: StdHashMap<ConnectionId, u32>,
    /// Processes, and how many attributed connections each has.
    owners: StdHashMap<u32, usize>,
    /// What is to be done once no program counts under the old state any more, soonest first.
    due: VecDeque<(Instant, Due)>,
    /// Early calls whose connection was not followed any more at the last sweep.
    stale: HashSet<ConnectionId>,
}

/// Whether a connect was too long ago to be one to an endpoint that is not known yet.
fn is_over(connected_ns: u64, now_ns: u64) -> bool {
    Duration::from_nanos(now_ns.saturating_sub(connected_ns)) >= CANDIDATE
}

#[derive(Debug, Clone, Copy)]
enum Due {
    /// All calls before its attribution are counted: they belong to this series.
    Early(ConnectionId, u32),
    /// All calls of a closed connection are counted.
    Closed(ConnectionId),
}

impl SyscallMaps {
    /// Takes the maps over.
    pub fn new(
        maps: SyscallMapHandles,
        metrics: SyscallMetrics,
        map_metrics: MapMetrics,
        losses: LossMetrics,
    ) -> Self {
        map_metrics.capacity("processes", MAX_PROCESSES.into());
        map_metrics.capacity("early_calls", MAX_EARLY.into());
        map_metrics.capacity("series_calls", MAX_SERIES.into());
        Self {
            maps,
            metrics,
            map_metrics,
            losses,
            attributed: StdHashMap::new(),
            owners: StdHashMap::new(),
            due: VecDeque::new(),
            stale: HashSet::new(),
        }
    }

    /// Begins an epoch, or with 0 ends one.
    pub fn set_epoch(&mut self, epoch: u64) {
        if let Err(error) = self.maps.epoch.set(0, epoch, 0) {
            tracing::error!(%error, "the kernel refused to write SYSCALL_EPOCH");
        }
    }

    /// It is known now whose a connection is.
    pub fn attribute(&mut self, one: &Attributed) {
        let id = one.connection;
        let Some(place) = self.metrics.place(&one.labels) else {
            self.losses.count(Loss::SeriesFull);
            return self.forget(id);
        };
        if self.maps.series.insert(id, place, 0).is_err() {
            self.losses.count(Loss::TimedConnectionsFull);
            return self.forget(id);
        }
        let since_ns = monotonic_ns();
        let process = Process { since_ns, connected_ns: since_ns };
        // It may be there; else, where this fails, the map is full, which the programs counted at the
        // connect.
        let _ = self.maps.processes.insert(one.pid, process, BPF_NOEXIST);
        *self.owners.entry(one.pid).or_default() += 1;
        if let Some(pid) = self.attributed.insert(id, one.pid) {
            self.disown(pid); // it was attributed before, behind another name
        }
        self.due.push_back((Instant::now() + SETTLED, Due::Early(id, place)));
    }

    /// No connection goes to that series any more, nor has one for long.
    pub fn forget_series(&self, labels: &SeriesLabels) {
        self.metrics.forget(labels);
    }

    /// The connection is of no interest.
    pub fn forget(&mut self, id: ConnectionId) {
        // It may have begun while nothing was timed, and has no early calls then.
        let _ = self.maps.early_calls.remove(&id);
    }

    /// The connection is over; it may never have been of interest.
    pub fn close(&mut self, id: ConnectionId) {
        match self.attributed.remove(&id) {
            Some(pid) => {
                self.disown(pid);
                self.due.push_back((Instant::now() + SETTLED, Due::Closed(id)));
            }
            None => self.forget(id),
        }
    }

    fn disown(&mut self, pid: u32) {
        if let Some(connections) = self.owners.get_mut(&pid) {
            *connections -= 1;
            if *connections == 0 {
                self.owners.remove(&pid);
            }
        }
    }

    /// Does what was left for later, as far as its time has come.
    pub fn catch_up(&mut self, now: Instant) {
        while let Some((_, due)) = self.due.pop_front_if(|(at, _)| *at <= now) {
            match due {
                Due::Early(id, place) => {
                    if let Ok(calls) = self.maps.early_calls.get(&id, 0) {
                        self.metrics.add(place, &calls);
                        self.forget(id);
                    }
                }
                Due::Closed(id) => {
                    // One that was attributed twice is gone already.
                    let _ = self.maps.series.remove(&id);
                }
            }
        }
    }

    /// Once a second: stops timing processes that have no attributed connection and did not connect
    /// lately, and counts what is in the maps.
    pub fn look(&mut self, now_ns: u64) {
        let all: Vec<_> = self.maps.processes.iter().filter_map(Result::ok).collect();
        let mut processes = all.len() as u64;
        for (pid, process) in all {
            if is_over(process.connected_ns, now_ns) && !self.owners.contains_key(&pid) {
                let _ = self.maps.processes.remove(&pid);
                processes -= 1;
            }
        }
        self.map_metrics.entries("processes", processes);
        let early_calls = self.make_room(now_ns);
        self.map_metrics.entries("early_calls", early_calls);
        self.map_metrics.entries("series_calls", self.metrics.places() as u64);
    }

    /// Lets go of the early calls on connections that keep silent, where they take half of the room:
    /// nothing would ever tell whose they are. Says how many are left.
    fn make_room(&mut self, now_ns: u64) -> u64 {
        let early: Vec<_> = self.maps.early_calls.keys().filter_map(Result::ok).collect();
        let mut left = early.len() as u64;
        if left <= u64::from(MAX_EARLY / 2) {
            return left;
        }
        for id in early {
            if is_over(id.born_ns, now_ns) && !self.attributed.contains_key(&id) {
                self.forget(id);
                self.losses.count(Loss::EarlyCallsEvicted);
                left -= 1;
            }
        }
        left
    }

    /// Lets go of connections whose end was lost with a full ring buffer. Early calls go when they
    /// are found so twice: the event that says whose they are may be on the way.
    pub fn sweep(&mut self, is_tracked: impl Fn(ConnectionId) -> bool) {
        let lost: Vec<_> = self.attributed.keys().copied().filter(|id| !is_tracked(*id)).collect();
        for id in lost {
            self.close(id);
        }
        let early = self.maps.early_calls.keys().filter_map(Result::ok);
        let stale: HashSet<_> = early.filter(|id| !is_tracked(*id)).collect();
        for id in stale.intersection(&self.stale).copied().collect::<Vec<_>>() {
            self.forget(id);
        }
        self.stale = stale;
    }
}
