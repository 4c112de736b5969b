//! Requests, and the report of each exchange once it is over.
//!
//! BTF tracepoint `sock_send_length(struct sock *sk, int ret, int flags)`, since 6.3: in the sender,
//! after the send.

use aya_ebpf::{
    EbpfContext, helpers::bpf_get_current_pid_tgid, macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use da_ebpf_common::{
    connection::{Connection, Phase, Progress, flags},
    event::Kind,
    exchange::{End, Exchange},
    program::Program,
};

use crate::{
    arrival,
    connection::{self, find},
    event, latecomer,
    meter::{self, now_ns},
    pickup, silent,
    sock::{RawSock, Sock, TcpSock},
    syscall, tls,
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
        && let Some(sock) = TcpSock::from_argument(ctx.arg(0))
    {
        connection = latecomer::adopt(&ctx, sock, result as u64);
    }
    if let Some(connection) = connection {
        // SAFETY: see `connection::find`.
        unsafe { syscall::uses(&ctx, sock, connection) };
        if result > 0
            && let Some(sock) = TcpSock::from_argument(ctx.arg(0))
        {
            send(&ctx, sock, connection, result as u64);
        }
    }
    run.end();
    0
}

/// A send has handed `bytes` to the kernel; the caller runs in the sender, inside its system call.
#[inline(always)]
pub fn send(ctx: &impl EbpfContext, sock: impl Sock, connection: *mut Connection, bytes: u64) {
    let now_ns = now_ns();
    // SAFETY: see `connection::find`.
    unsafe {
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
        connection::add_sent(connection, bytes);
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

/// Adds what the socket was handed beyond what the hooks have counted and the `bytes` that they are
/// about to: sends by ways without a hook, or whose run the kernel has skipped. Says how much that was.
///
/// # Safety
/// `connection` is from `connection::find`.
#[inline(never)]
pub unsafe fn add_unseen(sock: impl Sock, connection: *mut Connection, bytes: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let seen_bytes = (*connection).sent_bytes + bytes;
        let unseen_bytes = sock.payload_bytes_sent().saturating_sub(seen_bytes);
        connection::add_sent(connection, unseen_bytes);
        unseen_bytes
    }
}

/// From here on nobody knows which request an answer belongs to.
///
/// # Safety
/// `connection` is from `connection::find`, and the caller runs in the send hook.
#[inline(always)]
pub unsafe fn mark_mixed(connection: *mut Connection) {
    // SAFETY: the caller's promise.
    unsafe { (*connection).flags |= flags::UNREADABLE | flags::UNSEEN_SEND };
}

/// The connection closes: takes in what was sent on it and no hook has seen, if anything was.
///
/// # Safety
/// `connection` is from `connection::find`, and the caller runs in the state hook, at CLOSE.
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
        let may_be_alert =
            (*connection).flags & flags::TLS != 0 && bytes <= tls::LARGEST_ALERT_BYTES;
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

/// Bytes were sent that belong to a request: to the current one as long as nothing has arrived in
/// answer to it, to the next one otherwise.
///
/// # Safety
/// `connection` is from `connection::find`, and the caller runs in the send hook, or in the state hook
/// at CLOSE.
#[inline(never)]
pub unsafe fn request(sock: impl Sock, connection: *mut Connection, bytes: u64, now_ns: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        let connection_flags = (*connection).flags;
        if is_settings_ack(connection_flags, bytes) {
            (*connection).flags = connection_flags | flags::HTTP2_CONTROL;
        }
        let number = (*connection).request;
        let answered = is_answered(sock, connection);
        let outrun = arrival::response(connection, number + 1).first_ns != 0;
        if number == 0 || answered {
            if bytes < smallest_request_bytes(connection_flags)
                || tls::is_alert(sock, connection, bytes)
            {
                return; // a close alert, a key update, HTTP/2 control: no request is that short
            }
            finish(sock, connection, End::NextRequest as u32, 0);
            (*connection).request_first_ns = now_ns;
            (*connection).request_thread = bpf_get_current_pid_tgid() as u32;
            (*connection).request_bytes = 0;
            (*connection).request = number + 1;
        } else if arrival::is_close_alert(connection_flags, bytes) {
            return; // whoever gives up takes leave: that is no part of what was asked
        } else if outrun {
            // The answer to this very send came before its hook and was taken for the next
            // request's; but nothing had answered the current one, so it is this one's.
            (*connection).request = number + 1;
        }
        // Or it answers one before, which no hook has seen. Not behind a handshake that was: the client's
        // Finished may be in the same send.
        let outrun = outrun && (number != 0 || connection_flags & flags::TLS == 0);
        if outrun && add_unseen(sock, connection, bytes) > 0 {
            mark_mixed(connection);
        }
        (*connection).request_bytes += bytes;
        (*connection).request_last_ns = now_ns;
    }
}

/// Whether something has arrived in answer to the current request. What comes after a TLS 1.3 handshake
/// may be session tickets, and be so between two writes of one request: while the client has read nothing
/// of it, it is not going on to the next request. An answer whose arrival nobody saw is one as well, once it
/// is read.
///
/// # Safety
/// `connection` is from `connection::find`.
#[inline(always)]
unsafe fn is_answered(sock: impl Sock, connection: *const Connection) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let number = (*connection).request;
        let response = arrival::response(connection, number);
        if response.first_ns == 0 {
            return pickup::has_skipped_arrival(connection, number);
        }
        let may_be_tickets = number == 1 && (*connection).flags & flags::TLS13 != 0;
        // Whoever has read the peer's FIN as well has read one more than arrived.
        let unread_bytes = i64::from(pickup::unread_bytes(sock, connection).cast_signed());
        !(may_be_tickets && unread_bytes > 0 && unread_bytes as u64 >= response.bytes)
    }
}

/// Least a TLS record is longer than its plaintext: RFC 8446 §5.2 (header 5, content type 1, tag
/// 16); RFC 7905 for TLS 1.2 with ChaCha20 (header 5, tag 16), whose other suites take more.
#[inline(always)]
pub fn record_overhead_bytes(connection_flags: u32) -> u64 {
    if connection_flags & flags::TLS13 != 0 {
        22
    } else if connection_flags & flags::TLS != 0 {
        21
    } else {
        0
    }
}

/// Java's own TLS pads each record of TLS 1.3 with so many zeros (`sun.security.ssl.OutputRecord`), as
/// RFC 8446 §5.4 allows.
const JAVA_PADDING_BYTES: u64 = 16;
/// AES-GCM in TLS 1.2 takes so much more than the least overhead: RFC 5288 §3.
const NONCE_BYTES: u64 = 8;

/// An HTTP/2 SETTINGS acknowledgement is a bare frame header of 9 bytes: RFC 9113 §4.1.
#[inline(always)]
fn is_settings_ack(connection_flags: u32, bytes: u64) -> bool {
    let least = 9 + record_overhead_bytes(connection_flags);
    let may_be_more = match connection_flags & flags::TLS13 {
        0 => NONCE_BYTES,
        _ => JAVA_PADDING_BYTES,
    };
    bytes == least || bytes == least + may_be_more
}

/// `GET / HTTP/1.1`, `host: a` and three line ends, in one record. A key update (5 bytes, the longest
/// that is none) is shorter with Java's padding as well. 1 where the protocol is not known to be TLS.
#[inline(always)]
fn smallest_request_bytes(connection_flags: u32) -> u64 {
    match record_overhead_bytes(connection_flags) {
        0 => 1,
        overhead => 27 + overhead,
    }
}

/// Reports the current exchange, if there is one.
///
/// All functions that are inside each other share 512 bytes of stack. So this one holds nothing, and
/// each of those it calls is a function of its own: an event under construction takes 150.
///
/// # Safety
/// `connection` is from `connection::find`.
#[inline(never)]
pub unsafe fn finish(sock: impl Sock, connection: *const Connection, end: u32, errno: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        let number = (*connection).request;
        if number == 0 {
            return;
        }
        // The second one as well: what was reported as the first may have been its beginning.
        let tickets = number <= 2 && (*connection).flags & flags::TLS13 != 0;
        if tickets || arrival::response(connection, number).arrivals > 1 {
            arrival::report(sock, connection, tickets);
            arrival::report_gaps(sock, connection);
        }
        if let Some(picked_up) = pickup::of(connection, number)
            && (*picked_up).count > 1
        {
            pickup::report(sock, connection, picked_up);
        }
        report(sock, connection, end, errno);
    }
}

/// # Safety
/// As for [`finish`].
#[inline(never)]
unsafe fn report(sock: impl Sock, connection: *const Connection, end: u32, errno: u32) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        let number = (*connection).request;
        let (mut pickups, mut first_read_ns, mut first_pickup_ns) = (0, 0, 0);
        let (mut window_closed_ns, mut skipped) = (pickup::closed_for_ns(connection), 0);
        if let Some(picked_up) = pickup::of(connection, number) {
            skipped = u32::from((*picked_up).skipped_arrivals != 0) * flags::SKIPPED_ARRIVAL;
            pickups = (*picked_up).count;
            (first_read_ns, first_pickup_ns) = ((*picked_up).first_read_ns, (*picked_up).first_ns);
            window_closed_ns += (*picked_up).window_closed_ns;
        }
        event::emit(|| Exchange {
            header: event::header::<Exchange>(sock, connection, Kind::Exchange),
            number,
            request_first_ns: (*connection).request_first_ns,
            request_last_ns: (*connection).request_last_ns,
            request_bytes: (*connection).request_bytes,
            response: arrival::response(connection, number),
            pickups,
            first_read_ns,
            first_pickup_ns,
            window_closed_ns,
            sent_bytes: (*connection).sent_bytes,
            received_bytes: (*connection).received_bytes,
            flags: (*connection).flags | skipped,
            end,
            errno,
            srtt_eighths_us: sock.srtt_eighths_us(),
            retransmits: sock.retransmits(),
            request_thread: (*connection).request_thread,
        });
    }
    0
}
