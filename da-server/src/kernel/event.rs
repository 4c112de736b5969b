//! Bytes from the ring buffer → events.

use da_ebpf_common::arrival::FirstArrivals;
use da_ebpf_common::connection::Closed;
use da_ebpf_common::event::{Header, Kind};
use da_ebpf_common::exchange::Exchange;
use da_ebpf_common::existing::Existing;
use da_ebpf_common::histogram::Samples;
use da_ebpf_common::long_gap::LongGap;
use da_ebpf_common::tls::{FirstBytes, Handshake};
use zerocopy::FromBytes;

/// One event of the programs. Not `Debug`: a request in the clear has its headers in it.
pub enum Event<'a> {
    /// The first thing a client sent.
    FirstBytes(FirstBytes, &'a [u8]),
    /// A TLS handshake is done.
    Handshake(Handshake),
    /// What arrived first in answer to a request.
    FirstArrivals(FirstArrivals),
    /// Gaps between later arrivals.
    Gaps(Samples),
    /// Later waits to be read.
    Pickups(Samples),
    /// A long gap between two arrivals.
    LongGap(LongGap),
    /// A request and its response.
    Exchange(Exchange),
    /// The end of a connection.
    Closed(Closed),
    /// A connection that is older than the programs.
    Existing(Existing),
}

impl<'a> Event<'a> {
    /// Reads one entry of the ring buffer; `None` where it is no event, or a truncated one: then
    /// object and program are not of one build.
    pub fn read(entry: &'a [u8]) -> Option<Self> {
        let (header, _) = Header::read_from_prefix(entry).ok()?;
        match Kind::from_number(header.kind)? {
            Kind::FirstBytes => {
                let (first, rest) = FirstBytes::read_from_prefix(entry).ok()?;
                let payload = rest.get(..first.captured_bytes as usize)?;
                Some(Self::FirstBytes(first, payload))
            }
            Kind::Handshake => Some(Self::Handshake(Handshake::read_from_prefix(entry).ok()?.0)),
            Kind::FirstArrivals => {
                Some(Self::FirstArrivals(FirstArrivals::read_from_prefix(entry).ok()?.0))
            }
            Kind::Gaps => Some(Self::Gaps(Samples::read_from_prefix(entry).ok()?.0)),
            Kind::Pickups => Some(Self::Pickups(Samples::read_from_prefix(entry).ok()?.0)),
            Kind::LongGap => Some(Self::LongGap(LongGap::read_from_prefix(entry).ok()?.0)),
            Kind::Exchange => Some(Self::Exchange(Exchange::read_from_prefix(entry).ok()?.0)),
            Kind::Closed => Some(Self::Closed(Closed::read_from_prefix(entry).ok()?.0)),
            Kind::Existing => Some(Self::Existing(Existing::read_from_prefix(entry).ok()?.0)),
        }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::FirstBytes(..) => Kind::FirstBytes,
            Self::Handshake(_) => Kind::Handshake,
            Self::FirstArrivals(_) => Kind::FirstArrivals,
            Self::Gaps(_) => Kind::Gaps,
            Self::Pickups(_) => Kind::Pickups,
            Self::LongGap(_) => Kind::LongGap,
            Self::Exchange(_) => Kind::Exchange,
            Self::Closed(_) => Kind::Closed,
            Self::Existing(_) => Kind::Existing,
        }
    }
}

#[cfg(test)]
mod tests {
    use da_ebpf_common::event::ConnectionId;
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;

    fn first_bytes(payload: &[u8]) -> Vec<u8> {
        let mut first = FirstBytes::new_zeroed();
        first.header.kind = Kind::FirstBytes as u32;
        first.header.connection = ConnectionId { sock: 7, born_ns: 8 };
        first.captured_bytes = payload.len() as u32;
        [first.as_bytes(), payload].concat()
    }

    #[test]
    fn a_payload_ends_where_it_says() {
        let mut entry = first_bytes(b"GET /");
        entry.extend_from_slice(b"padding of the ring buffer");
        let Some(Event::FirstBytes(first, payload)) = Event::read(&entry) else { panic!() };
        assert_eq!(first.header.connection.born_ns, 8);
        assert_eq!(payload, b"GET /");
    }

    #[test]
    fn what_is_cut_off_or_unknown_is_no_event() {
        let entry = first_bytes(b"GET /");
        assert!(Event::read(&entry[..entry.len() - 1]).is_none());
        assert!(Event::read(&entry[..20]).is_none());
        let mut unknown = entry;
        unknown[16] = 99;
        assert!(Event::read(&unknown).is_none());
    }
}
