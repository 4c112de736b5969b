//! The kernel view about itself: whether it is there, what it costs, what it holds and loses.

pub(super) mod losses;
pub(super) mod meters;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aya::maps::{MapData, PerCpuArray};
use da_ebpf_common::event::Kind;
use da_ebpf_common::meter::Counter;
use da_ebpf_common::program::Program;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{CounterVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

use self::losses::{Loss, LossMetrics};
use self::meters::Meters;
use super::load::programs::Programs;
use super::load::status::{ProgramState, Reason};
use crate::metrics::Registry;

/// Value of the `map` label of the `CONNECTIONS` map.
const CONNECTIONS: &str = "connections";

/// `ebpf_up`, `ebpf_unavailable` and `ebpf_program_state`.
#[derive(Debug, Clone)]
pub struct StatusMetrics {
    up: IntGauge,
    unavailable: IntGaugeVec,
    states: IntGaugeVec,
}

impl StatusMetrics {
    /// Registers them as things stand: with the programs that were attached, or why there are none.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(
        registry: &Registry,
        programs: Result<&Programs, Reason>,
    ) -> prometheus::Result<Self> {
        let up = IntGauge::new("ebpf_up", "1 if the BPF programs are attached and read.")?;
        let opts = Opts::new("ebpf_unavailable", "1 for the reason why there is no kernel view.");
        let reasons = IntGaugeVec::new(opts, &["reason"])?;
        let opts = Opts::new("ebpf_program_state", "1 for the state each BPF program is in.");
        let states = IntGaugeVec::new(opts, &["program", "state"])?;
        registry.register(Box::new(up.clone()))?;
        registry.register(Box::new(reasons.clone()))?;
        registry.register(Box::new(states.clone()))?;
        let status = Self { up, unavailable: reasons, states };
        match programs {
            Ok(programs) => {
                status.set(None);
                for (program, state) in programs.states() {
                    status.set_program(*program, *state);
                }
            }
            Err(reason) => status.unavailable(reason),
        }
        Ok(status)
    }

    /// Says that there is no kernel view, and why.
    pub fn unavailable(&self, reason: Reason) {
        self.set(Some(reason));
        self.set_programs(&Program::ALL, ProgramState::Absent);
    }

    fn set(&self, unavailable: Option<Reason>) {
        self.up.set(i64::from(unavailable.is_none()));
        for reason in Reason::ALL {
            let holds = i64::from(unavailable == Some(reason));
            self.unavailable.with_label_values(&[reason.as_str()]).set(holds);
        }
    }

    /// Says what has become of some programs.
    pub fn set_programs(&self, programs: &[Program], current: ProgramState) {
        for program in programs {
            self.set_program(*program, current);
        }
    }

    fn set_program(&self, program: Program, current: ProgramState) {
        for state in ProgramState::ALL {
            let holds = i64::from(state == current);
            self.states.with_label_values(&[program.as_str(), state.as_str()]).set(holds);
        }
    }
}

/// `ebpf_events_total{event}`.
#[derive(Debug)]
pub struct EventMetrics([(Kind, IntCounter); Kind::ALL.len()]);

impl EventMetrics {
    /// Registers it with every event at 0.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let opts = Opts::new("ebpf_events_total", "Events read from the BPF programs.");
        let total = IntCounterVec::new(opts, &["event"])?;
        let handles = Kind::ALL.map(|kind| (kind, total.with_label_values(&[kind.as_str()])));
        registry.register(Box::new(total))?;
        Ok(Self(handles))
    }

    /// One was read.
    pub fn count(&self, kind: Kind) {
        if let Some((_, counter)) = self.0.iter().find(|(own, _)| *own == kind) {
            counter.inc();
        }
    }
}

/// `ebpf_map_entries` and `ebpf_map_capacity`; exported by [`SelfMetrics`].
#[derive(Debug, Clone)]
pub struct MapMetrics {
    entries: IntGaugeVec,
    capacity: IntGaugeVec,
}

impl MapMetrics {
    /// Of no maps yet.
    ///
    /// # Errors
    /// A family is malformed: a defect of the program.
    pub fn new() -> prometheus::Result<Self> {
        let entries = Opts::new("ebpf_map_entries", "Entries in use, by BPF map.");
        let capacity = Opts::new("ebpf_map_capacity", "Entries there is room for, by BPF map.");
        Ok(Self {
            entries: IntGaugeVec::new(entries, &["map"])?,
            capacity: IntGaugeVec::new(capacity, &["map"])?,
        })
    }

    /// So many entries of a map are in use.
    pub fn entries(&self, map: &str, entries: u64) {
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        self.entries.with_label_values(&[map]).set(entries);
    }

    /// A map has room for so many entries.
    pub fn capacity(&self, map: &str, entries: u64) {
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        self.capacity.with_label_values(&[map]).set(entries);
    }
}

/// Reads the programs' own counts at every scrape.
pub struct SelfMetrics {
    meters: Meters,
    counters: PerCpuArray<MapData, u64>,
    programs: Programs,
    forgotten: Arc<AtomicU64>,
    losses: LossMetrics,
    /// Two scrapes at once would both add what is new.
    refreshing: Mutex<()>,
    run_seconds_total: CounterVec,
    runs_total: IntCounterVec,
    maps: MapMetrics,
}

impl SelfMetrics {
    /// Over the maps of the loaded programs; `forgotten` counts the records removed in user space.
    ///
    /// # Errors
    /// A family is malformed: a defect of the program.
    pub fn new(
        meters: Meters,
        counters: PerCpuArray<MapData, u64>,
        programs: Programs,
        forgotten: Arc<AtomicU64>,
        losses: LossMetrics,
        maps: MapMetrics,
        max_connections: u32,
    ) -> prometheus::Result<Self> {
        let run_seconds_total = CounterVec::new(
            Opts::new(
                "ebpf_program_run_seconds_total",
                "Time spent in BPF programs: an estimate from one run in 64, taken as if by chance.",
            ),
            &["program"],
        )?;
        let runs_total = IntCounterVec::new(
            Opts::new("ebpf_program_runs_total", "Runs of BPF programs."),
            &["program"],
        )?;
        maps.capacity(CONNECTIONS, u64::from(max_connections));
        Ok(Self {
            meters,
            counters,
            programs,
            forgotten,
            losses,
            refreshing: Mutex::new(()),
            run_seconds_total,
            runs_total,
            maps,
        })
    }

    fn families(&self) -> [&dyn Collector; 5] {
        [
            &self.run_seconds_total,
            &self.runs_total,
            &self.maps.entries,
            &self.maps.capacity,
            self.losses.family(),
        ]
    }

    /// Sum over all CPUs; `None` if the kernel does not hand it out.
    fn counted(&self, counter: Counter) -> Option<u64> {
        self.counters.get(&(counter as u32), 0).ok().map(|values| values.iter().sum())
    }

    fn refresh(&self) {
        let _alone = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        for program in Program::ALL {
            let Some(cost) = self.meters.cost(&[program]) else { continue };
            let counter = self.runs_total.with_label_values(&[program.as_str()]);
            counter.inc_by(cost.runs.saturating_sub(counter.get()));
            let seconds = cost.run_time.as_secs_f64();
            let counter = self.run_seconds_total.with_label_values(&[program.as_str()]);
            counter.inc_by((seconds - counter.get()).max(0.0));
        }
        if let Some(released) = self.counted(Counter::Released)
            && let Some(tracked) = self.counted(Counter::Tracked)
        {
            let gone = released + self.forgotten.load(Ordering::Relaxed);
            self.maps.entries(CONNECTIONS, tracked.saturating_sub(gone));
        }
        for loss in Loss::ALL {
            if let Some(counted) = loss.counter().and_then(|counter| self.counted(counter)) {
                self.losses.raise_to(loss, counted);
            }
        }
        self.losses.raise_to(Loss::Recursion, self.programs.recursion_misses());
    }
}

impl Collector for SelfMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.families().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        self.families().into_iter().flat_map(Collector::collect).collect()
    }
}
