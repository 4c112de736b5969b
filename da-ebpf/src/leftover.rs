//! Records of connections that are over: the kernel has skipped the run that would have removed them.
//!
//! Iterator `bpf_map`: while da-server reads the iterator's file, now and then, the kernel runs it for
//! every map of the host, and once more behind the last. That run walks through `CONNECTIONS` by
//! `bpf_for_each_map_elem`, since 5.13. An iterator over the entries of one map would be the plainer way,
//! but there are hardened kernels that refuse those, whose programs could write to the entries.

use core::ffi::{c_long, c_void};

use aya_ebpf::{
    bindings::seq_file, helpers::generated::bpf_for_each_map_elem, macros::map, maps::Array,
};
use da_ebpf_common::{
    connection::Connection,
    event::{ConnectionId, MAX_LEFTOVERS},
    program::Program,
};

use crate::{
    iterator::{self, Meta},
    meter::{self, now_ns},
    sock::{RawSock, Sock},
    table,
};

/// `struct bpf_iter__bpf_map`, kernel/bpf/map_iter.c.
#[repr(C)]
struct EachMap {
    meta: *const Meta,
    map: *const c_void,
}

/// What a walk through the records carries along.
#[repr(C)]
struct Walk {
    file: *mut seq_file,
    now_ns: u64,
}

/// Entries that this walk may still write: what does not fit would be lost, with all before it. In a map,
/// as the verifier would follow each value of a number on the stack.
#[map]
static LEFTOVER_ROOM: Array<u64> = Array::with_max_entries(1, 0);

/// A younger record may be of a socket that has not yet left CLOSE: the kernel says so beforehand.
const LEAST_AGE_NS: u64 = 10_000_000_000;

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map")]
extern "C" fn leftover(ctx: *const EachMap) -> i32 {
    // SAFETY: the kernel hands over a context of this layout, and the verifier knows its fields.
    let (meta, map) = unsafe { ((*ctx).meta, (*ctx).map) };
    if !map.is_null() {
        return 0; // one of the host's maps: the walk is behind the last
    }
    let Some(run) = meter::begin(Program::Leftover) else { return 0 };
    // SAFETY: `meta` is the context's.
    let file = unsafe { (*meta).file() };
    let mut walk = Walk { file, now_ns: now_ns() };
    let Some(room) = LEFTOVER_ROOM.get_ptr_mut(0) else { return 0 };
    // SAFETY: the pointer is to the map's only value, and da-server reads the file from one thread. The
    // callback takes what this helper hands over for a hash, and `walk` outlives the call.
    unsafe {
        *room = MAX_LEFTOVERS as u64;
        bpf_for_each_map_elem(
            table::records(),
            each_record as *mut c_void,
            (&raw mut walk).cast::<c_void>(),
            0,
        );
    }
    run.end();
    0
}

/// Looks at one record; 1 ends the walk. The verifier takes only a function of its own as a
/// callback.
#[inline(never)]
extern "C" fn each_record(
    _map: *mut c_void,
    key: *const u64,
    record: *const Connection,
    walk: *mut Walk,
) -> c_long {
    // SAFETY: the helper hands over a key and a value of the sizes that the map was made with, there for
    // the call, and the address that it was given, which is the caller's `Walk`.
    unsafe {
        let (sock, born_ns) = (*key, (*record).born_ns);
        // 0: it is being born.
        let is_old = born_ns != 0 && (*walk).now_ns.saturating_sub(born_ns) > LEAST_AGE_NS;
        if !is_old || is_followed(record, RawSock::from_argument(sock)) {
            return 0;
        }
        let Some(room) = LEFTOVER_ROOM.get_ptr_mut(0) else { return 1 };
        if *room == 0 {
            return 1;
        }
        *room -= 1;
        iterator::write((*walk).file, &ConnectionId { sock, born_ns });
        0
    }
}

/// Whether the record is still of that socket, whose memory may be free by now, or another
/// connection's: the kernel keeps it for sockets, whose state is CLOSE when they are let go of.
///
/// # Safety
/// `record` is one of the map's.
#[inline(always)]
unsafe fn is_followed(record: *const Connection, sock: impl Sock) -> bool {
    // SAFETY: the caller's promise.
    !sock.is_closed() && unsafe { table::is_of(record, sock) }
}
