//! What arrives in answer to a request.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{event::Header, histogram::Histogram, tls::Records};

/// Arrivals of a response that are kept one by one; a power of two.
pub const MAX_FIRST_ARRIVALS: usize = 8;

/// One arrival.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Arrival {
    /// When, ns.
    pub at_ns: u64,
    /// Bytes that it brought.
    pub bytes: u32,
    /// Payload bytes that the peer had acknowledged by then, modulo 2³².
    pub acked_bytes: u32,
}

impl Arrival {
    /// Whether the peer's TCP had the whole of a request when it came. Of one that did not, nothing
    /// answers the request; one that did may have been sent before the peer's process read it.
    /// `request_end`: payload bytes sent up to the request's end, modulo 2³².
    pub fn acknowledges(&self, request_end: u32) -> bool {
        self.acked_bytes.wrapping_sub(request_end).cast_signed() >= 0
    }
}

/// The longest record of a close alert: TLS 1.2 with AES-GCM, RFC 5288 §3.
const MAX_ALERT_BYTES: u32 = 31;

/// Bytes that came right before an arrival and were left out of its response, because they were as long as a close
/// alert: as something follows them they were none, and what follows begins that much later. `from_bytes` came
/// before the response, `before_bytes` before the arrival, and `counted_bytes` are the response's so far.
#[inline(always)]
pub fn left_out_bytes(from_bytes: u32, counted_bytes: u64, before_bytes: u64) -> u32 {
    let counted_end = from_bytes.wrapping_add(counted_bytes as u32);
    let bytes = (before_bytes as u32).wrapping_sub(counted_end);
    if bytes <= MAX_ALERT_BYTES { bytes } else { 0 }
}

/// What arrived in answer to one request, in short.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Response {
    /// First arrival that may answer the request, ns; 0 if there was none. Of the first request of a
    /// TLS 1.3 connection that is one which acknowledges all that was sent by then.
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
    /// Number of the request these answer, modulo 2³²; anything else than the number asked for is
    /// stale.
    pub request: u32,
    /// Payload bytes received before the first of them, modulo 2³².
    pub from_bytes: u32,
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
    /// When the send of the client's Finished returned, ns; 0 where no session tickets are expected.
    pub finished_ns: u64,
    /// Payload bytes sent up to the request's end, modulo 2³².
    pub request_end: u32,
    /// Payload bytes received before the first arrival, modulo 2³².
    pub from_bytes: u32,
    /// Entries of `arrivals` that are set.
    pub count: u64,
    /// The arrivals, in order.
    pub arrivals: [Arrival; MAX_FIRST_ARRIVALS],
    /// The TLS records that were read since the client's Finished.
    pub records: Records,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}

impl FirstArrivals {
    /// Those that were kept.
    pub fn kept(&self) -> &[Arrival] {
        let count = usize::try_from(self.count).unwrap_or(usize::MAX).min(self.arrivals.len());
        &self.arrivals[..count]
    }
}

const _: () = assert!(
    size_of::<FirstArrivals>() == 24 + 24 + 16 * MAX_FIRST_ARRIVALS + size_of::<Records>() + 4
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_no_alert_after_all_counts_with_what_follows() {
        assert_eq!(left_out_bytes(4_000, 0, 4_000), 0);
        assert_eq!(left_out_bytes(4_000, 500, 4_500), 0);
        assert_eq!(left_out_bytes(4_000, 500, 4_524), 24);
        assert_eq!(left_out_bytes(u32::MAX - 9, 0, (1 << 32) + 14), 24, "past 4 GiB");
        // An arrival that was taken for another response's.
        assert_eq!(left_out_bytes(4_000, 500, 9_000), 0);
        assert_eq!(left_out_bytes(4_000, 500, 4_400), 0);
    }

    #[test]
    fn what_acknowledges_less_than_the_request_can_not_answer_it() {
        let arrival = |acked_bytes| Arrival { at_ns: 0, bytes: 1, acked_bytes };
        assert!(!arrival(499).acknowledges(500));
        assert!(arrival(500).acknowledges(500) && arrival(501).acknowledges(500));
        assert!(arrival(3).acknowledges(u32::MAX), "past 4 GiB");
        assert!(!arrival(u32::MAX).acknowledges(3), "past 4 GiB");
    }
}
