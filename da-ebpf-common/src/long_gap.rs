//! Gaps within a response that are long enough to be told one by one, with what TCP knows of their cause.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::event::Header;

/// A gap between two arrivals of one response.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct LongGap {
    /// Begins every event.
    pub header: Header,
    /// Number of the request on its connection.
    pub number: u64,
    /// The arrival before it, ns.
    pub from_ns: u64,
    /// The arrival that ends it, ns.
    pub to_ns: u64,
    /// For how long of it something that had come before was not read, ns.
    pub unread_ns: u64,
    /// For how long of it the receive window was used up, ns.
    pub window_closed_ns: u64,
    /// Segments that came out of order during it (`tcp_sock.rcv_ooopack`): one before them was lost, or overtaken.
    pub out_of_order: u32,
    /// `tcp_sock.srtt_us` at its end: smoothed round-trip time, in eighths of a µs.
    pub srtt_eighths_us: u32,
}

const _: () = assert!(size_of::<LongGap>() == 24 + 40 + 8);

/// For how much of the time from `from_ns` to `to_ns` bytes that had come before it were not read: all were at
/// `emptied_ns`, unless there are some yet. Where that read returned before they came, another one was under way, which
/// took them as they came: one that waits for more (`MSG_WAITALL`).
#[inline(always)]
pub fn unread_ns(emptied_ns: Option<u64>, from_ns: u64, to_ns: u64) -> u64 {
    match emptied_ns {
        Some(emptied_ns) if emptied_ns < to_ns => emptied_ns.saturating_sub(from_ns),
        _ => to_ns.saturating_sub(from_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_unread_until_a_read_takes_the_last_of_them() {
        assert_eq!(unread_ns(None, 100, 200), 100);
        assert_eq!(unread_ns(Some(170), 100, 200), 70);
        assert_eq!(unread_ns(Some(90), 100, 200), 0, "by a read that was under way");
        assert_eq!(unread_ns(Some(210), 100, 200), 100);
    }
}
