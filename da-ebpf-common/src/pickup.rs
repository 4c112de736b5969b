//! How long what has arrived waits to be read.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::histogram::Histogram;

/// The beginning of what a process has not read yet; written by the arrival hook.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Unread {
    /// When it arrived, ns.
    pub since_ns: u64,
    /// How long the thread that had used the connection last had waited for a CPU by then, in all, ns.
    pub run_delay_ns: u64,
    /// That thread; 0 where there was none any more.
    pub thread: u32,
    /// Payload bytes before it, modulo 2³².
    pub at_bytes: u32,
    /// The request it answers, modulo 2³².
    pub request: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}

/// How long what had arrived waited to be read, during one exchange; written by the receive hook
/// alone. A sample is taken by the read that takes the oldest unread byte.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Pickups {
    /// Number of the request they belong to, modulo 2³²; anything else than the number asked for is stale.
    pub request: u32,
    /// Reads that took what no run of the arrival hook had counted before: the kernel skipped it.
    pub skipped_arrivals: u32,
    /// Samples.
    pub count: u64,
    /// When the first of these reads returned, ns.
    pub first_read_ns: u64,
    /// The first sample, ns.
    pub first_ns: u64,
    /// Samples that were taken by the very thread that had used the connection last when they began, in all, ns.
    pub followed_ns: u64,
    /// For how long of these that thread was waiting for a CPU, ns.
    pub run_delay_ns: u64,
    /// How long the receive window was used up before somebody had read enough, ns, in all.
    pub window_closed_ns: u64,
    /// The others; stale where there is none.
    pub rest: Histogram,
}
