//! The header that every ring-buffer event begins with.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What an event is; [`Header::kind`] carries it as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// [`crate::tls::FirstBytes`]
    FirstBytes = 1,
    /// [`crate::tls::Handshake`]
    Handshake = 2,
    /// [`crate::exchange::Exchange`]
    Exchange = 3,
    /// [`crate::connection::Closed`]
    Closed = 4,
    /// [`crate::arrival::FirstArrivals`]
    FirstArrivals = 5,
    /// [`crate::histogram::Samples`]: gaps behind the first arrivals of a response.
    Gaps = 6,
    /// [`crate::histogram::Samples`]: later waits to be read.
    Pickups = 7,
    /// [`crate::existing::Existing`]
    Existing = 8,
    /// [`crate::long_gap::LongGap`]
    LongGap = 9,
}

impl Kind {
    /// All kinds, for label sets.
    pub const ALL: [Self; 9] = [
        Self::FirstBytes,
        Self::Handshake,
        Self::Exchange,
        Self::Closed,
        Self::FirstArrivals,
        Self::Gaps,
        Self::Pickups,
        Self::Existing,
        Self::LongGap,
    ];

    /// The kind behind a number read from the ring buffer.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// Value of the `event` label of `ebpf_events_total`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FirstBytes => "first_bytes",
            Self::Handshake => "handshake",
            Self::Exchange => "exchange",
            Self::Closed => "closed",
            Self::FirstArrivals => "first_arrivals",
            Self::Gaps => "gaps",
            Self::Pickups => "pickups",
            Self::Existing => "existing",
            Self::LongGap => "long_gap",
        }
    }
}

/// Names a connection for as long as it lives, and after.
///
/// The kernel reuses a socket's address at once, so the address alone is not a name; together with
/// the time of the connect it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ConnectionId {
    /// Address of the `struct sock`: the key of the `CONNECTIONS` map.
    pub sock: u64,
    /// When the connection entered SYN_SENT, ns.
    pub born_ns: u64,
}

/// Connections of which one reading of the iterator `leftover` tells, at most.
pub const MAX_LEFTOVERS: usize = 128;

/// First bytes of every event.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// The connection it is about.
    pub connection: ConnectionId,
    /// A [`Kind`].
    pub kind: u32,
    /// Bytes of the whole event.
    pub length: u32,
}

const _: () = assert!(size_of::<Header>() == 24);

#[cfg(feature = "user")]
// SAFETY: `ConnectionId` is `repr(C)`, two u64 without padding, any bit pattern is a value, and `Copy`.
unsafe impl aya::Pod for ConnectionId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_kinds_agree() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_number(kind as u32), Some(kind));
        }
        assert_eq!(Kind::from_number(0), None);
        assert_eq!(Kind::from_number(Kind::ALL.len() as u32 + 1), None);
    }
}
