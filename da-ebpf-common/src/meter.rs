//! What the programs count about themselves.

/// On average one in this many runs of a program is timed; two clock reads cost as much as a run of
/// an untracked socket.
pub const TIMED_RUNS_INTERVAL: u64 = 64;

/// Per-CPU value of the `METERS` array.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Meter {
    /// Runs.
    pub runs: u64,
    /// Time spent in the runs that were timed, one in [`TIMED_RUNS_INTERVAL`], ns.
    pub timed_ns: u64,
}

/// What the programs count; the numbers index the per-CPU `COUNTERS` array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Records inserted into `CONNECTIONS`.
    Tracked = 0,
    /// Records removed from `CONNECTIONS` by a program.
    Released = 1,
    /// Connections not tracked because `CONNECTIONS` was full.
    ConnectionsFull = 2,
    /// Events not delivered: the ring buffer was full, or its lock could not be had.
    RingFull = 3,
    /// Connections whose calls were not timed before it was known whose they are: `EARLY_CALLS` was
    /// full.
    EarlyCallsFull = 4,
    /// Processes whose calls were not timed: `PROCESSES` was full.
    ProcessesFull = 5,
    /// System calls not timed: there was no memory for what is remembered of their thread, or its lock
    /// could not be had.
    ThreadsFull = 6,
    /// Records that were still there when their socket had become another connection's.
    UnseenClose = 7,
    /// Connections not followed before their first send: too many are on which nothing was sent.
    SilentFull = 8,
    /// DNS queries not followed: `DNS_QUERIES` was full.
    DnsQueriesFull = 9,
    /// Answers to DNS queries not delivered: their ring buffer was full.
    DnsAnswersFull = 10,
    /// Exchanges not reported, as their record had become another connection's in that moment.
    RecordReplaced = 11,
}

impl Counter {
    /// Entries of the `COUNTERS` array.
    pub const COUNT: u32 = 12;
}

#[cfg(feature = "user")]
// SAFETY: `Meter` is `repr(C)`, two u64 without padding, any bit pattern is a value, and `Copy`.
unsafe impl aya::Pod for Meter {}
