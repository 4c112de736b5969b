//! The clock that the application and the BPF programs share, and the name of a thread.

use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC`, ns: what `bpf_ktime_get_ns` reads.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, rest_ns) = (now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned());
    seconds * 1_000_000_000 + rest_ns
}

/// This thread, as the PID namespace of this process names it.
#[must_use]
pub fn thread_id() -> u32 {
    gettid().as_raw_nonzero().get().cast_unsigned()
}
