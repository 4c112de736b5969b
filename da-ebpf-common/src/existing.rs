//! A connection that is older than the programs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{event::Header, peers::Peers};

/// A connection that was there before the programs were. It does not come through the ring buffer:
/// the iterator's file consists of these.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Existing {
    /// Begins every event. `born_ns` is when the connection was found.
    pub header: Header,
    /// See [`Peers`]; the process is the first one found to hold the socket.
    pub peers: Peers,
    /// Payload bytes sent before.
    pub sent_bytes: u64,
    /// Payload bytes received before.
    pub received_bytes: u64,
    /// Segments sent again before.
    pub retransmits: u64,
}

const _: () = assert!(size_of::<Existing>() == 24 + 72 + 24);
