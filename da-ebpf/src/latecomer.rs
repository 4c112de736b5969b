//! Connections that are followed only from their first send on: before it there were too many that said
//! nothing.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use da_ebpf_common::connection::{Connection, flags};

use crate::{
    meter::now_ns,
    send_buffer,
    sock::{RawSock, Sock},
    table,
    task::Task,
};

/// Follows a connection from its first send on, which has just handed `bytes` to the kernel; its record,
/// or nothing where this is not the first one: then its name went by.
#[inline(always)]
pub fn adopt(sock: impl Sock, bytes: u64) -> Option<*mut Connection> {
    if !sock.is_connecting_side() || sock.payload_bytes_sent() != bytes {
        return None;
    }
    let scratch = send_buffer::scratch()?;
    // SAFETY: `scratch` is this run's alone, see `send_buffer::scratch`.
    unsafe { (*scratch).draft.sock = sock.key() };
    if follow_drafted() == 0 {
        return None;
    }
    table::find(sock)
}

/// Follows the connection of the socket whose address is noted in the draft, as `existing::found` does it, but
/// that nothing is known to have been sent. 0 where it does not.
///
/// A function with a symbol of its own is verified once. It takes the socket from memory: the verifier lets no
/// pointer that it knows pass for a number.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn follow_drafted() -> u32 {
    let Some(scratch) = send_buffer::scratch() else { return 0 };
    // SAFETY: as above.
    let sock = unsafe { RawSock::from_argument((*scratch).draft.sock) };
    let received_bytes = sock.payload_bytes_received();
    // SAFETY: `scratch` is this run's alone, see `send_buffer::scratch`. What is not set here is zero, as
    // in every record that begins.
    unsafe {
        let draft = &raw mut (*scratch).draft;
        let now_ns = now_ns();
        let id = bpf_get_current_pid_tgid();
        let unseen_arrival = if received_bytes == 0 { 0 } else { flags::UNSEEN_ARRIVAL };
        (*draft).born_ns = now_ns;
        (*draft).established_ns = now_ns;
        (*draft).flags = flags::UNSEEN_CONNECT | unseen_arrival;
        ((*draft).peers.pid, (*draft).peers.thread) = ((id >> 32) as u32, id as u32);
        (*draft).peers.command = Task::current().process_name();
        sock.read_peers(&raw mut (*draft).peers);
        (*draft).received_bytes = received_bytes;
        // What came was not early data's answer: see `tls::handshake`.
        (*draft).last_arrival_ns = if received_bytes == 0 { 0 } else { now_ns };
        (*draft).first_sequence = sock.first_sequence();
        (*draft).read_bytes = sock.copied_sequence().wrapping_sub((*draft).first_sequence);
        if !table::adopt(sock, &*draft) {
            return 0;
        }
    }
    if sock.is_closed() {
        // Another thread closed it in this moment, before the record was there to be removed.
        table::release(sock);
        return 0;
    }
    // What came in between was in no record's sight.
    if sock.payload_bytes_received() != received_bytes
        && let Some(connection) = table::find(sock)
    {
        // SAFETY: see `table::find`; this is the send hook.
        unsafe { (*connection).flags |= flags::UNSEEN_ARRIVAL };
    }
    1
}
