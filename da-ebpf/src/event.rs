//! The ring buffer to user space.

use aya_ebpf::{macros::map, maps::RingBuf};
use da_ebpf_common::{
    connection::Connection,
    event::{ConnectionId, Header, Kind},
    meter::Counter,
};

use crate::{meter, sock::Sock};

/// da-server sets the size when it loads the object.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// The header of an event of type `T`.
#[inline(always)]
pub fn header<T>(sock: Sock, connection: &Connection, kind: Kind) -> Header {
    Header {
        connection: ConnectionId { sock: sock.key(), born_ns: connection.born_ns },
        kind: kind as u32,
        length: size_of::<T>() as u32,
    }
}

/// Delivers an event, or counts it as lost.
#[inline(always)]
pub fn emit<T: 'static>(event: T) {
    match EVENTS.reserve::<T>(0) {
        Some(mut entry) => {
            entry.write(event);
            entry.submit(0);
        }
        None => meter::count(Counter::RingFull),
    }
}

/// Delivers an event of variable length, or counts it as lost.
#[inline(always)]
pub fn emit_bytes(event: &[u8]) {
    if EVENTS.output::<[u8]>(event, 0).is_err() {
        meter::count(Counter::RingFull);
    }
}
