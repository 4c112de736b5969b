//! The clock that the application and the BPF programs share, and the names of this thread and process.

use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};

/// `CLOCK_MONOTONIC`, ns: what `bpf_ktime_get_ns` reads.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let (seconds, rest_ns) = (now.tv_sec.cast_unsigned(), now.tv_nsec.cast_unsigned());
    seconds * 1_000_000_000 + rest_ns
}

/// The clock by which calls are looked at: the present, or a recording that began at some other time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock {
    /// Added to the present, modulo 2^64: the recording may be from another boot.
    ahead_ns: u64,
}

impl Clock {
    /// It is `at_ns` now.
    #[must_use]
    pub fn begin(at_ns: u64) -> Self {
        Self { ahead_ns: at_ns.wrapping_sub(monotonic_ns()) }
    }

    /// What time it is, ns.
    #[must_use]
    pub fn now_ns(self) -> u64 {
        monotonic_ns().wrapping_add(self.ahead_ns)
    }
}

/// This thread, as the PID namespace of this process names it.
#[must_use]
pub fn thread_id() -> u32 {
    gettid().as_raw_nonzero().get().cast_unsigned()
}

/// This process as the kernel names it, unless it is in a PID namespace, where it does not know that:
/// `PROC_PID_INIT_INO`, include/linux/proc_ns.h.
#[must_use]
pub fn own_pid() -> Option<u32> {
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    (namespace.as_os_str() == "pid:[4026531836]").then(std::process::id)
}
