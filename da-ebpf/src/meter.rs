//! What the programs cost and count: read by da-server at every scrape.

use aya_ebpf::{helpers::bpf_ktime_get_ns, macros::map, maps::PerCpuArray};
use da_ebpf_common::meter::{Counter, Meter, Program, TIMED_RUNS_INTERVAL};

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

/// Runs `body` as one run of `program`; one run in [`TIMED_RUNS_INTERVAL`] is timed.
#[inline(always)]
pub fn metered(program: Program, body: impl FnOnce()) {
    let Some(meter) = METERS.get_ptr_mut(program as u32) else { return };
    // SAFETY: the pointer is to this CPU's own value, and the kernel never runs a program again on
    // a CPU where it is already running, so nothing else writes it meanwhile.
    let runs = unsafe {
        (*meter).runs += 1;
        (*meter).runs
    };
    if runs % TIMED_RUNS_INTERVAL != 0 {
        return body();
    }
    let started_ns = now_ns();
    body();
    // SAFETY: as above.
    unsafe { (*meter).timed_ns += now_ns() - started_ns };
}

/// Adds one to a counter of this CPU.
pub fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        // SAFETY: the pointer is to this CPU's own value. A program that interrupts another one in
        // the middle of this addition can cost a count, and no more.
        unsafe { *value += 1 };
    }
}
