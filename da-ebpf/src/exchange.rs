//! Requests and what arrives in answer to them.
//!
//! Raw tracepoints, both since 6.3:
//! `sock_send_length(struct sock *sk, int ret, int flags)`, in the sender, after the send;
//! `sk_data_ready(const struct sock *sk)`, under the socket's lock, mostly in softirq.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use da_ebpf_common::{
    connection::{Connection, Phase, flags},
    event::Kind,
    exchange::{Arrival, Arrivals, End, Exchange, FirstArrivals, MAX_FIRST_ARRIVALS},
    meter::Program,
};

use crate::{
    connection::find,
    event,
    meter::{self, now_ns},
    sock::Sock,
    tls,
};

#[raw_tracepoint(tracepoint = "sock_send_length")]
fn sock_send(ctx: RawTracePointContext) -> i32 {
    let Some(run) = meter::begin(Program::SockSend) else { return 0 };
    let sock = Sock::from_argument(ctx.arg(0));
    let result: i32 = ctx.arg(1);
    if let Some(connection) = find(sock)
        && result > 0
    {
        send(&ctx, sock, connection, result as u64);
    }
    run.end();
    0
}

#[inline(always)]
fn send(ctx: &RawTracePointContext, sock: Sock, connection: *mut Connection, bytes: u64) {
    let now_ns = now_ns();
    // SAFETY: `find` returned a pointer into the map's value, valid for the duration of the program
    // (RCU); of the fields written below the send hook is the only writer, and threads that send on
    // one socket at once would tear the client's own protocol before they tear this record.
    unsafe {
        (*connection).sent_bytes += bytes;
        match (*connection).phase {
            phase if phase == Phase::Fresh as u32 => {
                tls::first(ctx, sock, connection, bytes, now_ns)
            }
            phase if phase == Phase::Handshake as u32 => {
                tls::handshake(ctx, sock, connection, bytes, now_ns);
            }
            _ => request(sock, connection, bytes, now_ns),
        }
    }
}

/// Bytes were sent that belong to a request: to the current one as long as nothing has arrived in
/// answer to it, to the next one otherwise.
///
/// # Safety
/// `connection` points to a live map value, and the caller runs in the send hook.
#[inline(always)]
pub unsafe fn request(sock: Sock, connection: *mut Connection, bytes: u64, now_ns: u64) {
    // SAFETY: the caller's promise; the send hook is the only writer of the request's fields.
    unsafe {
        let connection = &mut *connection;
        if bytes == settings_ack_bytes(connection.flags) {
            connection.flags |= flags::HTTP2_CONTROL;
        }
        let answered = arrivals(connection).first_ns != 0;
        if connection.request == 0 || answered {
            if bytes < smallest_request_bytes(connection.flags) {
                return; // a close alert, a key update, HTTP/2 control: no request is that short
            }
            finish(sock, connection, End::NextRequest, 0);
            connection.request_first_ns = now_ns;
            connection.request_bytes = 0;
            connection.request += 1;
        }
        connection.request_bytes += bytes;
        connection.request_last_ns = now_ns;
    }
}

/// A record's size above its plaintext: RFC 8446 §5.2 (header 5, content type 1, tag 16); RFC 5288
/// for TLS 1.2 with AES-GCM (header 5, nonce 8, tag 16).
#[inline(always)]
fn record_overhead_bytes(connection_flags: u32) -> u64 {
    if connection_flags & flags::TLS13 != 0 {
        22
    } else if connection_flags & flags::TLS != 0 {
        29
    } else {
        0
    }
}

/// An HTTP/2 SETTINGS acknowledgement is a bare frame header: RFC 9113 §4.1.
#[inline(always)]
fn settings_ack_bytes(connection_flags: u32) -> u64 {
    9 + record_overhead_bytes(connection_flags)
}

/// `GET / HTTP/1.0` and two line ends, in one record; 1 where the protocol is not known to be TLS.
#[inline(always)]
fn smallest_request_bytes(connection_flags: u32) -> u64 {
    match record_overhead_bytes(connection_flags) {
        0 => 1,
        overhead => 18 + overhead,
    }
}

/// What has arrived in answer to the current request, if anything.
#[inline(always)]
fn arrivals(connection: &Connection) -> Arrivals {
    let slot = connection.arrivals[(connection.request & 1) as usize];
    if slot.request == connection.request {
        slot
    } else {
        Arrivals { request: 0, first_ns: 0, last_ns: 0, bytes: 0 }
    }
}

/// Reports the current exchange, if there is one. A function of its own for the 512 bytes of stack.
#[inline(never)]
pub fn finish(sock: Sock, connection: &Connection, end: End, errno: u32) {
    if connection.request == 0 {
        return;
    }
    if connection.request == 1 && connection.flags & flags::TLS13 != 0 {
        event::emit(FirstArrivals {
            header: event::header::<FirstArrivals>(sock, connection, Kind::FirstArrivals),
            tickets_until_ns: connection.tickets_until_ns,
            count: connection.first_arrivals_count,
            arrivals: connection.first_arrivals,
        });
    }
    event::emit(Exchange {
        header: event::header::<Exchange>(sock, connection, Kind::Exchange),
        number: connection.request,
        request_first_ns: connection.request_first_ns,
        request_last_ns: connection.request_last_ns,
        request_bytes: connection.request_bytes,
        arrivals: arrivals(connection),
        sent_bytes: connection.sent_bytes,
        received_bytes: connection.received_bytes,
        flags: connection.flags,
        end: end as u32,
        errno,
        reserved: 0,
    });
}

#[raw_tracepoint(tracepoint = "sk_data_ready")]
fn sock_arrival(ctx: RawTracePointContext) -> i32 {
    let Some(run) = meter::begin(Program::SockArrival) else { return 0 };
    let sock = Sock::from_argument(ctx.arg(0));
    if let Some(connection) = find(sock) {
        arrival(sock, connection);
    }
    run.end();
    0
}

#[inline(always)]
fn arrival(sock: Sock, connection: *mut Connection) {
    let now_ns = now_ns();
    let received_bytes = sock.bytes_received();
    // SAFETY: `find` returned a pointer into the map's value, valid for the duration of the program
    // (RCU). The kernel calls this hook under the socket's lock, so it is the only writer of the
    // fields written here; what the send hook writes is read as single aligned words.
    unsafe {
        let connection = &mut *connection;
        let bytes = received_bytes - connection.received_bytes;
        if bytes == 0 {
            return; // a FIN, or a second wake-up for the same bytes
        }
        connection.received_bytes = received_bytes;
        connection.last_arrival_ns = now_ns;
        if connection.phase != Phase::Open as u32 {
            return;
        }
        // An answer can be faster than the send hook of its request. It acknowledges bytes that the
        // hook has not counted yet (beyond the one that the SYN took), and that gives it away.
        let ahead = sock.bytes_acked() > connection.sent_bytes + 1;
        let request = connection.request + u64::from(ahead);
        // Tickets may well arrive before the first request has begun.
        let early = request <= 1 && now_ns < connection.tickets_until_ns;
        let request = if early { 1 } else { request };
        if request == 0 {
            return;
        }
        let slot = &mut connection.arrivals[(request & 1) as usize];
        if slot.request != request {
            slot.request = request;
            slot.first_ns = 0;
            slot.bytes = 0;
        }
        slot.bytes += bytes;
        slot.last_ns = now_ns;
        if !early && slot.first_ns == 0 {
            slot.first_ns = now_ns;
        }
        if request == 1 && connection.flags & flags::TLS13 != 0 {
            let count = connection.first_arrivals_count;
            if count < MAX_FIRST_ARRIVALS as u64 {
                let at = count as usize & (MAX_FIRST_ARRIVALS - 1);
                connection.first_arrivals[at] = Arrival { at_ns: now_ns, bytes };
                connection.first_arrivals_count = count + 1;
            }
        }
    }
}
