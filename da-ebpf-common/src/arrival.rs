//! What arrives in answer to a request.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{event::Header, histogram::Histogram};

/// Arrivals of a response that are kept one by one; a power of two.
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

/// What arrived in answer to one request, in short.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Response {
    /// First arrival later than session tickets are expected, ns; 0 if there was none.
    pub first_ns: u64,
    /// Last arrival, ns.
    pub last_ns: u64,
    /// Bytes of all arrivals.
    pub bytes: u64,
    /// Arrivals, session tickets among them.
    pub arrivals: u64,
}

/// What arrived in answer to one request; written by the arrival hook alone.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Arrivals {
    /// Number of the request these answer; anything else than the number asked for is stale.
    pub request: u64,
    /// In short.
    pub response: Response,
    /// The first ones; what is beyond `response.arrivals` is stale.
    pub first: [Arrival; MAX_FIRST_ARRIVALS],
    /// Gaps before each arrival that is not among the first; stale where there is none.
    pub gaps: Histogram,
}

/// The first arrivals of a response, in order. Goes before the
/// [`crate::exchange::Exchange`] where there was more
/// than one, or where session tickets may be among them.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FirstArrivals {
    /// Begins every event.
    pub header: Header,
    /// When the send of the ClientHello returned, ns; 0 where no session tickets are expected.
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

impl FirstArrivals {
    /// The latest of those that were kept.
    pub fn last(&self) -> Option<&Arrival> {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX).min(self.arrivals.len());
        self.arrivals[..count].last()
    }
}

const _: () = assert!(size_of::<FirstArrivals>() == 24 + 32 + 16 * MAX_FIRST_ARRIVALS);
