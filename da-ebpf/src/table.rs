//! The records of the connections that are followed, by socket.

use core::ffi::c_void;

use aya_ebpf::{bindings::BPF_NOEXIST, macros::map, maps::HashMap};
use da_ebpf_common::{
    connection::{Connection, flags},
    meter::Counter,
};

use crate::{
    meter::{self, now_ns},
    silent,
    sock::Sock,
};

/// As map helpers return it: include/uapi/asm-generic/errno-base.h.
const EEXIST: i32 = -17;

/// Connections followed at the moment. A plain hash, preallocated: it refuses what does not fit,
/// which is counted, where an LRU would forget in silence. da-server sets the size.
#[map]
static CONNECTIONS: HashMap<u64, Connection> = HashMap::with_max_entries(65_536, 0);

/// The record of a tracked socket.
///
/// What every use of the pointer rests on: it is to a value of the map, whose memory is there for as
/// long as the program runs, and the verifier checks every access against its size. Hooks on other
/// CPUs use the record at the same time, so it is never borrowed, only read and written field by
/// field; each field has one writer (see [`Connection`]), and aligned words are read and written
/// whole. A record that is removed meanwhile (the socket is closed by another thread, or user space
/// forgets it) may already be a new connection's: what is then written into it is wrong in one
/// field of one connection, and touches no other memory.
#[inline(always)]
pub fn find(sock: impl Sock) -> Option<*mut Connection> {
    CONNECTIONS.get_ptr_mut(sock.key())
}

/// The map of the records, as helpers take it.
pub fn records() -> *mut c_void {
    (&raw const CONNECTIONS).cast_mut().cast()
}

/// Whether a record is of the connection that a socket has now, which is not closed.
///
/// # Safety
/// `record` is one of the map's.
#[inline(always)]
pub unsafe fn is_of(record: *const Connection, sock: impl Sock) -> bool {
    let (local_port, remote_port) = sock.ports();
    // SAFETY: the caller's promise.
    let (known_local_port, known_remote_port) =
        unsafe { ((*record).peers.local_port, (*record).peers.remote_port) };
    // The local one is not known before the connect has succeeded.
    remote_port == known_remote_port && (known_local_port == 0 || local_port == known_local_port)
}

/// Takes in the record of a new connection, in the place of what a socket at the same address may have left;
/// whether there was room.
#[inline(always)]
pub fn insert(sock: impl Sock, record: &Connection) -> bool {
    CONNECTIONS.insert(sock.key(), record, 0).is_ok()
}

/// Takes in the record of a connection that is not followed yet; whether it did.
#[inline(always)]
pub fn adopt(sock: impl Sock, record: &Connection) -> bool {
    match CONNECTIONS.insert(sock.key(), record, BPF_NOEXIST.into()) {
        Ok(()) => {
            meter::count(Counter::Tracked);
            if record.sent_bytes == 0 {
                silent::begins();
            }
            true
        }
        Err(EEXIST) => false,
        Err(_) => {
            // One that is adopted late was counted at its connect.
            if record.flags & flags::UNSEEN_CONNECT == 0 {
                meter::count(Counter::ConnectionsFull);
            }
            false
        }
    }
}

/// Bytes were sent on a connection.
///
/// # Safety
/// `connection` is from [`find`].
#[inline(always)]
pub unsafe fn add_sent(connection: *mut Connection, bytes: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*connection).sent_bytes == 0 && bytes > 0 {
            silent::ends();
        }
        (*connection).sent_bytes += bytes;
    }
}

/// Ends the tracking of a connection.
#[inline(always)]
pub fn release(sock: impl Sock) {
    // SAFETY: see `find`.
    let was_silent = find(sock).is_some_and(|record| unsafe { (*record).sent_bytes } == 0);
    if CONNECTIONS.remove(sock.key()).is_ok() {
        meter::count(Counter::Released);
        if was_silent {
            silent::ends();
        }
    }
}

/// Makes up for the run that says that a connection is established, if the kernel has skipped it because this
/// program was running on the same CPU already, about another connection.
///
/// A function of its own: the verifier would follow everything behind it twice.
///
/// # Safety
/// `connection` is from [`find`], and the caller runs in the send hook, of the first send, or in the state hook
/// at CLOSE.
#[inline(never)]
pub unsafe fn establish_unseen(sock: impl Sock, connection: *mut Connection) -> u32 {
    // SAFETY: the caller's promise. The window's field is the receive hook's, which has had no exchange to
    // count it in: where the window ends was told from a sequence number that was not there.
    unsafe {
        let is_older = (*connection).flags & flags::PRE_EXISTING != 0;
        // By TCP Fast Open a first send goes ahead of the connection.
        if (*connection).established_ns != 0 || is_older || !sock.is_established() {
            return 0;
        }
        (*connection).established_ns = now_ns();
        (*connection).flags |= flags::UNSEEN_CONNECT;
        (*connection).first_sequence = sock.first_sequence();
        (*connection).window_read_ns = (*connection).window_full_ns;
        sock.read_peers(&raw mut (*connection).peers);
    }
    0 // the verifier minds a function that returns nothing
}
