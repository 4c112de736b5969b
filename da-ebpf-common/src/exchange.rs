//! One request and its response on one connection.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::event::Header;

/// What arrived in answer to one request; written by the arrival hook alone.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Arrivals {
    /// Number of the request these answer; anything else than the number asked for is stale.
    pub request: u64,
    /// First arrival that can't be a session ticket, ns.
    pub first_ns: u64,
    /// Last arrival, ns.
    pub last_ns: u64,
    /// Last arrival that may have been a session ticket, ns.
    pub early_ns: u64,
    /// Bytes of the arrivals that may have been session tickets.
    pub early_bytes: u64,
    /// Bytes of all arrivals.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Arrivals>() == 48);

/// What ended an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum End {
    /// The next request began.
    NextRequest = 0,
    /// The connection closed.
    Closed = 1,
}

/// A finished exchange.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Exchange {
    /// Begins every event.
    pub header: Header,
    /// Number of the request on its connection, from 1.
    pub number: u64,
    /// First byte of the request handed to the kernel, ns.
    pub request_first_ns: u64,
    /// Last byte of the request handed to the kernel, ns.
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
    /// `sk->sk_err` where the connection closed, 0 for an orderly end.
    pub errno: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Exchange>() == 24 + 32 + 48 + 32);
