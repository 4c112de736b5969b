//! Sends, and what a connection's end shows of those that no hook has seen.
//!
//! BTF tracepoint `sock_send_length(struct sock *sk, int ret, int flags)`, since 6.3: in the sender,
//! after the send.

use aya_ebpf::{EbpfContext, macros::btf_tracepoint, programs::BtfTracePointContext};
use da_ebpf_common::{
    connection::{Connection, Phase, Progress, flags},
    program::Program,
};

use crate::{
    arrival, dns, latecomer,
    meter::{self, now_ns},
    request::{add_unseen, request},
    run_queue, silent,
    sizes::LARGEST_ALERT_BYTES,
    sock::{RawSock, Sock, TypedSock},
    syscall,
    table::{add_sent, find},
    tls,
};

#[btf_tracepoint(function = "sock_send_length")]
fn sock_send(ctx: BtfTracePointContext) -> i32 {
    let Some(run) = meter::begin(Program::SockSend) else { return 0 };
    let sock = RawSock::from_argument(ctx.arg(0));
    let result: i32 = ctx.arg(1);
    let mut connection = find(sock);
    if connection.is_none()
        && result > 0
        && silent::adopts()
        && let Some(sock) = TypedSock::of_tcp(ctx.arg(0))
    {
        connection = latecomer::adopt(sock, result as u64);
    }
    if let Some(connection) = connection {
        // SAFETY: see `table::find`.
        unsafe { syscall::uses(&ctx, sock, connection) };
        if result > 0
            && let Some(sock) = TypedSock::of_tcp(ctx.arg(0))
        {
            send(&ctx, sock, connection, result as u64);
        }
    } else if result > 0 {
        dns::sent(TypedSock::of_any(ctx.arg(0)), result as u64);
    }
    run.end();
    0
}

/// A send has handed `bytes` to the kernel; the caller runs in the sender, inside its system call.
#[inline(always)]
pub fn send(ctx: &impl EbpfContext, sock: impl Sock, connection: *mut Connection, bytes: u64) {
    let now_ns = now_ns();
    // SAFETY: see `table::find`.
    unsafe {
        run_queue::uses(connection);
        match (*connection).phase {
            phase if phase == Phase::Fresh as u32 => {
                tls::first(ctx, sock, connection, bytes, now_ns);
            }
            phase if phase == Phase::Handshake as u32 => {
                tls::handshake(ctx, sock, connection, bytes, now_ns);
            }
            _ => {
                if (*connection).request == 0 {
                    tls::read_first_record(sock, connection);
                }
                request(sock, connection, bytes, now_ns);
            }
        }
        // Last, and with the request's number in the same word: until here an answer to this send
        // is known by acknowledging more than was counted.
        add_sent(connection, bytes);
        if (*connection).request_last_ns == now_ns {
            (*connection).request_end = (*connection).sent_bytes as u32;
        }
        let progress = Progress {
            request: (*connection).request as u32,
            sent_bytes: (*connection).sent_bytes as u32,
        };
        (*connection).progress = progress.to_word();
    }
}

/// The connection closes: takes in what was sent on it and no hook has seen, if anything was.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the state hook, at CLOSE.
#[inline(never)]
pub unsafe fn settle_unseen(sock: impl Sock, connection: *mut Connection) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        let unseen_bytes = add_unseen(sock, connection, 0);
        if unseen_bytes > 0 {
            // A send can be answered by a reset before its hook runs; else, no hook has seen it.
            if sock.error() == 0 {
                close_unseen(connection);
            } else {
                break_off(sock, connection, unseen_bytes);
            }
        }
    }
    0
}

/// What no hook has seen may have an answer that was taken for one to a request that is still to come.
///
/// # Safety
/// As for [`settle_unseen`].
#[inline(always)]
unsafe fn close_unseen(connection: *mut Connection) {
    // SAFETY: the caller's promise.
    unsafe {
        (*connection).flags |= flags::UNSEEN_SEND;
        if arrival::response(connection, (*connection).request).first_ns == 0 {
            (*connection).flags |= flags::UNREADABLE;
        }
    }
}

/// The connection breaks, and it was handed bytes that no hook has seen: in the middle of a send, as where the
/// peer, on this host, answers by a reset, so that the hook comes too late; or past the hooks, as what kernel TLS
/// adds to each record. So this may be a request, of which nobody knows who sent it, and when.
///
/// # Safety
/// As for [`settle_unseen`].
#[inline(always)]
unsafe fn break_off(sock: impl Sock, connection: *mut Connection, bytes: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        // What an alert looks like can't be read here: the memory may be another process's.
        let may_be_alert = (*connection).flags & flags::TLS != 0 && bytes <= LARGEST_ALERT_BYTES;
        if (*connection).phase == Phase::Open as u32 && !may_be_alert {
            let number = (*connection).request;
            request(sock, connection, bytes, now_ns());
            (*connection).flags |= flags::UNSEEN_SEND;
            (*connection).request_end = (*connection).sent_bytes as u32;
            if (*connection).request != number {
                (*connection).request_thread = 0;
            }
        }
    }
}
