//! One request and its response on one connection.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{arrival::Response, event::Header};

/// What ended an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum End {
    /// The next request began.
    NextRequest = 0,
    /// The connection closed, or broke.
    Closed = 1,
    /// The client dropped the connection at once: with data unread, or by a reset of its own.
    Aborted = 2,
    /// Nothing has happened for long; only user space says so, of a record it looked at.
    Silence = 3,
    /// The connection closed, and the peer had closed its half first.
    ClosedByPeer = 4,
}

/// A finished exchange.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exchange {
    /// Begins every event.
    pub header: Header,
    /// Number of the request on its connection, from 1, rising.
    pub number: u64,
    /// When the first send of the request returned, ns.
    pub request_first_ns: u64,
    /// When its last send returned, ns.
    pub request_last_ns: u64,
    /// Bytes of the request.
    pub request_bytes: u64,
    /// The response; all 0 where nothing arrived.
    pub response: Response,
    /// Times that something had waited to be read.
    pub pickups: u64,
    /// When the first of these reads returned, ns.
    pub first_read_ns: u64,
    /// How long the first of them had waited, ns.
    pub first_pickup_ns: u64,
    /// See [`crate::pickup::Pickups::followed_ns`].
    pub followed_pickup_ns: u64,
    /// See [`crate::pickup::Pickups::run_delay_ns`].
    pub run_delay_ns: u64,
    /// How long the peer could send nothing because nobody read, ns, in all.
    pub window_closed_ns: u64,
    /// Payload bytes sent on the connection so far.
    pub sent_bytes: u64,
    /// Payload bytes received on the connection so far.
    pub received_bytes: u64,
    /// See [`crate::connection::flags`]; [`crate::connection::flags::SKIPPED_ARRIVAL`] among them.
    pub flags: u32,
    /// An [`End`].
    pub end: u32,
    /// `sk->sk_err` where the connection broke, 0 for an orderly end.
    pub errno: u32,
    /// `tcp_sock.srtt_us`: smoothed round-trip time, in eighths of a µs; 0 where there is none yet.
    pub srtt_eighths_us: u32,
    /// `tcp_sock.total_retrans`: segments sent again since the connect.
    pub retransmits: u32,
    /// `tcp_sock.rtt_min`: least round-trip time of the last minutes, µs; all ones where there is none yet.
    pub least_rtt_us: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
    /// Thread that sent the first bytes of the request, in the initial PID namespace; 0 where no hook saw it
    /// sent, so that its times are those of the end.
    pub request_thread: u32,
}

const _: () = assert!(size_of::<Exchange>() == 24 + 32 + 32 + 48 + 16 + 32);
