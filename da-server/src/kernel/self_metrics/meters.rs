//! What the view has cost so far: its programs, by their own `METERS`, and the reader's thread.

use std::sync::Arc;
use std::time::Duration;

use aya::maps::{MapData, PerCpuArray};
use da_ebpf_common::meter::{Meter, TIMED_RUNS_INTERVAL};
use da_ebpf_common::program::Program;
use prometheus::Counter;
use rustix::time::{ClockId, clock_gettime};

use crate::metrics::Registry;

/// Runs of one or more programs, and the time they took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Runs.
    pub runs: u64,
    /// Estimated from one run in [`TIMED_RUNS_INTERVAL`].
    pub run_time: Duration,
}

/// The map; clones share it.
#[derive(Clone)]
pub struct Meters(Arc<PerCpuArray<MapData, Meter>>);

impl Meters {
    /// Takes the map over.
    pub fn new(map: PerCpuArray<MapData, Meter>) -> Self {
        Self(Arc::new(map))
    }

    /// What these programs have cost; `None` if the kernel does not tell it of one of them.
    pub fn cost(&self, programs: &[Program]) -> Option<Cost> {
        let mut cost = Cost::default();
        for program in programs {
            for meter in self.0.get(&(*program as u32), 0).ok()?.iter() {
                cost.runs += meter.runs;
                cost.run_time += Duration::from_nanos(meter.timed_ns * TIMED_RUNS_INTERVAL);
            }
        }
        Some(cost)
    }
}

/// `ebpf_reader_cpu_seconds_total`.
#[derive(Debug)]
pub struct ReaderCpu(Counter);

impl ReaderCpu {
    /// Registers it.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "CPU time of the thread that reads what the BPF programs report.";
        let seconds_total = Counter::new("ebpf_reader_cpu_seconds_total", help)?;
        registry.register(Box::new(seconds_total.clone()))?;
        Ok(Self(seconds_total))
    }

    /// CPU time of the calling thread, which is the reader's, since it began.
    pub fn look(&self) -> Duration {
        let used = clock_gettime(ClockId::ThreadCPUTime);
        let used = Duration::try_from(used).unwrap_or_default();
        self.0.inc_by((used.as_secs_f64() - self.0.get()).max(0.0));
        used
    }
}
