//! The programs' clock.

use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC`, ns: what `bpf_ktime_get_ns` says.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, rest_ns) = (now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned());
    seconds * 1_000_000_000 + rest_ns
}
