//! Connections that are followed only from their first send on: before it there were too many that said
//! nothing.

use aya_ebpf::EbpfContext;
use da_ebpf_common::connection::{Connection, flags};

use crate::{
    meter::now_ns,
    send_buffer::{self, Scratch},
    sock::Sock,
    table,
    task::Task,
};

/// Follows a connection from its first send on, which has just handed `bytes` to the kernel; its record,
/// or nothing where this is not the first one: then its name went by.
#[inline(always)]
pub fn adopt(ctx: &impl EbpfContext, sock: impl Sock, bytes: u64) -> Option<*mut Connection> {
    if !sock.is_connecting_side() || sock.payload_bytes_sent() != bytes {
        return None;
    }
    let scratch = send_buffer::scratch()?;
    if !draft(ctx, sock, scratch) {
        return None;
    }
    table::find(sock)
}

/// As `existing::found` does it, but that nothing is known to have been sent.
#[inline(never)]
fn draft(ctx: &impl EbpfContext, sock: impl Sock, scratch: *mut Scratch) -> bool {
    let received_bytes = sock.payload_bytes_received();
    // SAFETY: `scratch` is this run's alone, see `send_buffer::scratch`. What is not set here is zero, as
    // in every record that begins.
    unsafe {
        let draft = &raw mut (*scratch).draft;
        let now_ns = now_ns();
        let unseen_arrival = if received_bytes == 0 { 0 } else { flags::UNSEEN_ARRIVAL };
        (*draft).born_ns = now_ns;
        (*draft).established_ns = now_ns;
        (*draft).flags = flags::UNSEEN_CONNECT | unseen_arrival;
        (*draft).peers.pid = ctx.tgid();
        (*draft).peers.thread = ctx.pid();
        (*draft).peers.command = Task::current().process_name();
        sock.read_peers(&raw mut (*draft).peers);
        (*draft).received_bytes = received_bytes;
        // What came was not early data's answer: see `tls::handshake`.
        (*draft).last_arrival_ns = if received_bytes == 0 { 0 } else { now_ns };
        (*draft).first_sequence = sock.first_sequence();
        (*draft).read_bytes = sock.copied_sequence().wrapping_sub((*draft).first_sequence);
        if !table::adopt(sock, &*draft) {
            return false;
        }
    }
    if sock.is_closed() {
        // Another thread closed it in this moment, before the record was there to be removed.
        table::release(sock);
        return false;
    }
    // What came in between was in no record's sight.
    if sock.payload_bytes_received() != received_bytes
        && let Some(connection) = table::find(sock)
    {
        // SAFETY: see `table::find`; this is the send hook.
        unsafe { (*connection).flags |= flags::UNSEEN_ARRIVAL };
    }
    true
}
