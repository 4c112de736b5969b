//! Connections that are older than the programs.
//!
//! Iterator `task_file`, with `bpf_sock_from_file` since 5.11: runs for every open file of every
//! process while da-server reads the iterator's file, once.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{file, seq_file},
    helpers::generated::bpf_sock_from_file,
    macros::map,
    maps::Array,
};
use da_ebpf_common::{
    connection::{Connection, Progress, flags},
    event::Kind,
    existing::Existing,
    program::Program,
};

use crate::{
    event,
    iterator::{self, Meta},
    meter::{self, now_ns},
    sock::{RawSock, Sock},
    table,
    task::Task,
};

/// `struct bpf_iter__task_file`, kernel/bpf/task_iter.c.
#[repr(C)]
struct TaskFile {
    meta: *const Meta,
    task: *const c_void,
    fd: u32,
    file: *mut file,
}

/// The record under construction: it would not fit on a program's stack.
#[map]
static DRAFT: Array<Connection> = Array::with_max_entries(1, 0);

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
extern "C" fn existing(ctx: *const TaskFile) -> i32 {
    let Some(run) = meter::begin(Program::Existing) else { return 0 };
    // SAFETY: the kernel hands over a context of this layout, and the verifier knows its fields.
    let (seq, task, file) = unsafe { ((*(*ctx).meta).file(), (*ctx).task, (*ctx).file) };
    // Both are null once, behind the last file.
    if !task.is_null() && !file.is_null() {
        // SAFETY: `file` is the context's, and not null.
        let socket = unsafe { bpf_sock_from_file(file) };
        if !socket.is_null() {
            let sock = RawSock::of_socket(socket as u64);
            if sock.is_connecting_side() {
                found(seq, Task::from_pointer(task as u64), sock);
            }
        }
    }
    run.end();
    0
}

/// Follows the connection from here on and tells da-server of it; not if it is followed already:
/// then it began in view, or another descriptor of it came before.
#[inline(never)]
fn found(seq: *mut seq_file, task: Task, sock: impl Sock) {
    let Some(draft) = DRAFT.get_ptr_mut(0) else { return };
    let (sent_bytes, received_bytes) = (sock.payload_bytes_sent(), sock.payload_bytes_received());
    let progress = Progress { request: 0, sent_bytes: sent_bytes as u32 };
    // SAFETY: the pointer is to the map's only value, and da-server reads the iterator's file from
    // one thread. What is not set here is zero, as in every record that begins.
    let report = unsafe {
        (*draft).born_ns = now_ns();
        (*draft).sock = sock.key();
        (*draft).flags = flags::PRE_EXISTING;
        (*draft).peers.pid = task.process_id();
        (*draft).peers.command = task.process_name();
        sock.read_peers(&raw mut (*draft).peers);
        (*draft).sent_bytes = sent_bytes;
        (*draft).progress = progress.to_word();
        (*draft).received_bytes = received_bytes;
        (*draft).first_sequence = sock.first_sequence();
        (*draft).read_bytes = sock.copied_sequence().wrapping_sub((*draft).first_sequence);
        Existing {
            header: event::header::<Existing>(sock, draft, Kind::Existing),
            peers: (*draft).peers,
            sent_bytes,
            received_bytes,
            retransmits: sock.retransmits().into(),
        }
    };
    // SAFETY: as above; the map copies the draft.
    if !table::adopt(sock, unsafe { &*draft }) {
        return;
    }
    if sock.is_closed() {
        // It closed in this moment, before the record was there to be removed.
        table::release(sock);
        return;
    }
    // SAFETY: `seq` is the context's, and zerocopy proves that an event has no padding.
    if !unsafe { iterator::write(seq, &report) } {
        // The kernel comes back to this file.
        table::release(sock);
    }
}
