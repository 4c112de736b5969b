//! Records of connections that are over: the kernel has skipped the run that would have removed them.
//!
//! Iterator `bpf_map_elem` over `CONNECTIONS`, since 5.9: runs for every record while da-server reads
//! the iterator's file, now and then.

use core::ffi::c_void;

use da_ebpf_common::{connection::Connection, event::ConnectionId, program::Program};

use crate::{
    connection,
    iterator::{self, Meta},
    meter::{self, now_ns},
    sock::Sock,
};

/// `struct bpf_iter__bpf_map_elem`, kernel/bpf/map_iter.c.
#[repr(C)]
struct MapElement {
    meta: *const Meta,
    map: *const c_void,
    key: *const u64,
    value: *const Connection,
}

/// A younger record may be of a socket that has not yet left CLOSE: the kernel says so beforehand.
const LEAST_AGE_NS: u64 = 10_000_000_000;

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
extern "C" fn leftover(ctx: *const MapElement) -> i32 {
    let Some(run) = meter::begin(Program::Leftover) else { return 0 };
    // SAFETY: the kernel hands over a context of this layout, and the verifier knows its fields.
    let (meta, key, value) = unsafe { ((*ctx).meta, (*ctx).key, (*ctx).value) };
    // Both are null once, behind the last record.
    if !key.is_null() && !value.is_null() {
        // SAFETY: they are of the sizes that the map was made with, and there for the run.
        let (sock, born_ns) = unsafe { (*key, (*value).born_ns) };
        // 0: it is being born.
        if born_ns != 0
            && now_ns().saturating_sub(born_ns) > LEAST_AGE_NS
            // SAFETY: as above.
            && !unsafe { is_followed(value, Sock::from_argument(sock)) }
        {
            // SAFETY: the context's file; two words.
            unsafe { iterator::write((*meta).file(), &ConnectionId { sock, born_ns }) };
        }
    }
    run.end();
    0
}

/// Whether the record is still of that socket, whose memory may be free by now, or another
/// connection's: the kernel keeps it for sockets, whose state is CLOSE when they are let go of.
///
/// # Safety
/// `record` is one of the map's.
#[inline(always)]
unsafe fn is_followed(record: *const Connection, sock: Sock) -> bool {
    // SAFETY: the caller's promise.
    !sock.is_closed() && unsafe { connection::is_of(record, sock) }
}
