//! Records of connections that are over: the kernel has skipped the run that would have removed them.
//!
//! Iterator `bpf_map_elem` over `CONNECTIONS`, since 5.9: runs for every record while da-server reads
//! the iterator's file, now and then.

use core::ffi::c_void;

use da_ebpf_common::{
    connection::{Connection, Peers},
    event::ConnectionId,
    program::Program,
};

use crate::{
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
            && !unsafe { is_of(&raw const (*value).peers, Sock::from_argument(sock)) }
        {
            // SAFETY: the context's file; two words.
            unsafe { iterator::write((*meta).file(), &ConnectionId { sock, born_ns }) };
        }
    }
    run.end();
    0
}

/// Whether a record is still of that socket. Its memory may be free by now, or another
/// connection's: the kernel keeps it for sockets, whose state is CLOSE when they are let go of.
///
/// # Safety
/// `peers` is in a record of the map.
#[inline(always)]
unsafe fn is_of(peers: *const Peers, sock: Sock) -> bool {
    let (local_port, remote_port) = sock.ports();
    // SAFETY: the caller's promise.
    let (known_local_port, known_remote_port) =
        unsafe { ((*peers).local_port, (*peers).remote_port) };
    // The local one is not known before the connect has succeeded.
    !sock.is_closed()
        && remote_port == known_remote_port
        && (known_local_port == 0 || local_port == known_local_port)
}
