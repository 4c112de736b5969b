//! What the BPF programs and `da-server` say to each other: map values, ring-buffer events, limits.
//!
//! One file per probe, named as in the other two crates. All times are nanoseconds of
//! `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`, Rust's `Instant`); a time of 0 means "did not happen".
//! Every struct is `repr(C)` without padding, and its size is asserted where it is defined.

#![cfg_attr(not(test), no_std)]

pub mod arrival;
pub mod connection;
pub mod dns;
pub mod event;
pub mod exchange;
pub mod existing;
pub mod head;
pub mod histogram;
pub mod long_gap;
pub mod meter;
pub mod peers;
pub mod pickup;
pub mod program;
pub mod silent;
pub mod syscall;
pub mod tls;

/// Bytes of a ClientHello that are copied to user space: a post-quantum one is about 1,500 bytes and may
/// carry its server name at the very end.
pub const MAX_FIRST_BYTES: usize = 4096;

/// Bytes of a first send in the clear in which its name is looked for.
pub const MAX_HEAD_BYTES: usize = 1024;
