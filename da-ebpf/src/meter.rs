//! What the programs cost and count: read by da-server at every scrape.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::map, maps::PerCpuArray};
use da_ebpf_common::{
    meter::{Counter, Meter, TIMED_RUNS_INTERVAL},
    program::Program,
};

#[map]
static METERS: PerCpuArray<Meter> = PerCpuArray::with_max_entries(Program::ALL.len() as u32, 0);

#[map]
static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT, 0);

/// `CLOCK_MONOTONIC`, ns.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: the helper takes no arguments and only reads a clock.
    unsafe { bpf_ktime_get_ns() }
}

/// One run of a program under way; [`Run::end`] closes it.
#[must_use]
pub struct Run {
    meter: *mut Meter,
    /// 0 in a run that is not timed.
    started_ns: u64,
}

/// Counts a run; on average one in [`TIMED_RUNS_INTERVAL`] is timed.
#[inline(always)]
pub fn begin(program: Program) -> Option<Run> {
    let meter = METERS.get_ptr_mut(program as u32)?;
    // SAFETY: the pointer is to this CPU's own value, where a run stays to its end. On a tracepoint
    // the kernel skips a run of a program that is running on this CPU already; the iterator may be
    // preempted, but it runs for da-server's one reading thread alone. So nothing else writes it.
    let runs = unsafe {
        (*meter).runs += 1;
        (*meter).runs
    };
    Some(Run { meter, started_ns: if is_timed(runs) { now_ns() } else { 0 } })
}

/// Spreads the timed runs as if by chance: at even distances they would fall in step with whatever
/// the host does over and over.
#[inline(always)]
fn is_timed(run: u64) -> bool {
    // Two rounds of multiply and fold: the finalizer of MurmurHash3, short of its last step.
    let mut hash = (run ^ (run >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (hash >> 33).is_multiple_of(TIMED_RUNS_INTERVAL)
}

impl Run {
    /// The program has done its work.
    #[inline(always)]
    pub fn end(self) {
        if self.started_ns != 0 {
            // SAFETY: as in `begin`.
            unsafe { (*self.meter).timed_ns += now_ns().saturating_sub(self.started_ns) };
        }
    }
}

/// Adds one to a counter of this CPU.
pub fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the pointer is to this CPU's own value. A program that interrupts another one in
        // the middle of this addition can cost a count, and no more.
        unsafe { *value += 1 };
    }
}
