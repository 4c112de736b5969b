//! One request and its response on one connection.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::event::Header;

/// What arrived in answer to one request; written by the arrival hook alone.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Arrivals {
    /// Number of the request these answer; anything else than the number asked for is stale.
    pub request: u64,
    /// First arrival later than session tickets are expected, ns.
    pub first_ns: u64,
    /// Last arrival, ns.
    pub last_ns: u64,
    /// Bytes of all arrivals.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Arrivals>() == 32);

/// Arrivals of a fresh TLS 1.3 connection that are kept one by one; a power of two.
pub const MAX_FIRST_ARRIVALS: usize = 8;

/// One arrival.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Arrival {
    /// When, ns.
    pub at_ns: u64,
    /// Bytes that it brought.
    pub bytes: u64,
}

/// What arrived first after a TLS 1.3 handshake: session tickets, and then the first response. Goes
/// before the first [`Exchange`] of such a connection.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FirstArrivals {
    /// Begins every event.
    pub header: Header,
    /// When the send of the ClientHello returned, ns.
    pub hello_ns: u64,
    /// When the send of the client's Finished returned, ns.
    pub finished_ns: u64,
    /// Until then tickets are certainly expected: a round trip and a half, and a little more, ns.
    pub tickets_until_ns: u64,
    /// Entries of `arrivals` that are set.
    pub count: u64,
    /// The arrivals, in order.
    pub arrivals: [Arrival; MAX_FIRST_ARRIVALS],
}

const _: () = assert!(size_of::<FirstArrivals>() == 24 + 32 + 16 * MAX_FIRST_ARRIVALS);

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
    pub arrivals: Arrivals,
    /// Payload bytes sent on the connection so far.
    pub sent_bytes: u64,
    /// Payload bytes received on the connection so far.
    pub received_bytes: u64,
    /// See [`crate::connection::flags`].
    pub flags: u32,
    /// An [`End`].
    pub end: u32,
    /// `sk->sk_err` where the connection broke, 0 for an orderly end.
    pub errno: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Exchange>() == 24 + 32 + 32 + 32);
