//! What arrives in answer to requests.
//!
//! BTF tracepoint `sk_data_ready(const struct sock *sk)`, since 6.3: under the socket's lock, mostly
//! in softirq.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use da_ebpf_common::{
    arrival::{Arrival, FirstArrivals, MAX_FIRST_ARRIVALS, Response, left_out_bytes},
    connection::{Connection, Phase, Progress, flags},
    event::Kind,
    histogram::{Histogram, Samples},
    program::Program,
    tls::Records,
};

use crate::{
    event, histogram, long_gap,
    meter::{self, now_ns},
    pickup,
    sizes::is_close_alert,
    sock::{RawSock, Sock, TypedSock},
    table::find,
};

#[btf_tracepoint(function = "sk_data_ready")]
fn sock_arrival(ctx: BtfTracePointContext) -> i32 {
    let Some(run) = meter::begin(Program::SockArrival) else { return 0 };
    let sock = RawSock::from_argument(ctx.arg(0));
    if let Some(connection) = find(sock)
        && let Some(sock) = TypedSock::of_tcp(ctx.arg(0))
    {
        let received_bytes = sock.payload_bytes_received();
        // SAFETY: see `table::find`.
        if received_bytes == unsafe { (*connection).received_bytes } {
            // SAFETY: as above.
            unsafe { pickup::note_refusal(sock, connection) };
        } else {
            arrive(sock, connection, received_bytes, sock.bytes_acked());
        }
    }
    run.end();
    0
}

/// The connection's payload has come to `received_bytes`, the peer's acknowledgements to
/// `acked_bytes`, the SYN counted; the caller holds the socket's lock.
#[inline(always)]
pub fn arrive(sock: impl Sock, connection: *mut Connection, received_bytes: u64, acked_bytes: u64) {
    let now_ns = now_ns();
    // SAFETY: see `table::find`.
    unsafe {
        let before_bytes = (*connection).received_bytes;
        let bytes = received_bytes.saturating_sub(before_bytes);
        if bytes == 0 {
            return; // a FIN, or a second wake-up for the same bytes
        }
        (*connection).received_bytes = received_bytes;
        (*connection).last_arrival_ns = now_ns;
        (*connection).srtt_eighths_us = sock.srtt_eighths_us();
        (*connection).retransmits = sock.retransmits();
        (*connection).least_rtt_us = sock.least_rtt_us();
        pickup::note_window(sock, connection, received_bytes as u32, now_ns);
        // An answer can be faster than the send hook of its request, even of the connection's first.
        let progress = Progress::from_word((*connection).progress);
        let outrun = progress.is_outrun_by(acked_bytes);
        if (*connection).phase == Phase::Handshake as u32 && !outrun {
            return;
        }
        let request = u64::from(progress.request) + u64::from(outrun);
        // The SYN counts as one.
        let payload_acked = (acked_bytes as u32).wrapping_sub(1);
        // Session tickets: they may well arrive before the first request has begun.
        let early = request <= 1
            && (*connection).flags & flags::TLS13 != 0
            && (request == 0 || !acknowledges(payload_acked, progress.sent_bytes));
        let request = if early { 1 } else { request };
        if request == 0 {
            return;
        }
        let slot = &raw mut (*connection).arrivals[(request & 1) as usize];
        if (*slot).request != request as u32 || is_of_handshake(connection, &(*slot).response) {
            (*slot).request = request as u32;
            (*slot).from_bytes = before_bytes as u32;
            (*slot).response = NOTHING;
        }
        if is_close_alert((*connection).flags, bytes) {
            return; // the server takes leave: that is no part of a response, nor one by itself
        }
        pickup::arrived(sock, connection, before_bytes as u32, request, now_ns);
        let (count, mut bytes) = ((*slot).response.arrivals, bytes);
        if count < MAX_FIRST_ARRIVALS as u64 {
            let at = count as usize & (MAX_FIRST_ARRIVALS - 1);
            let counted_bytes = (*slot).response.bytes;
            bytes += u64::from(left_out_bytes((*slot).from_bytes, counted_bytes, before_bytes));
            (*slot).first[at] =
                Arrival { at_ns: now_ns, bytes: bytes as u32, acked_bytes: payload_acked };
        } else {
            if count == MAX_FIRST_ARRIVALS as u64 {
                (*slot).gaps = Histogram::EMPTY;
            }
            let gap_ns = now_ns.saturating_sub((*slot).response.last_ns);
            histogram::add(&raw mut (*slot).gaps, gap_ns);
        }
        let from_ns = (*slot).response.last_ns;
        // Pauses between session tickets and a response are none of that one.
        if (*slot).response.first_ns != 0 && long_gap::is_long(connection, from_ns, now_ns) {
            long_gap::report(sock, connection, request, before_bytes as u32, (from_ns, now_ns));
        }
        long_gap::arrived(sock, connection, now_ns);
        (*slot).response.arrivals = count + 1;
        (*slot).response.bytes += bytes;
        (*slot).response.last_ns = now_ns;
        if !early && (*slot).response.first_ns == 0 {
            (*slot).response.first_ns = now_ns;
        }
    }
}

/// Whether the peer has acknowledged so much, both modulo 2³².
#[inline(always)]
fn acknowledges(acked_bytes: u32, sent_bytes: u32) -> bool {
    acked_bytes.wrapping_sub(sent_bytes).cast_signed() >= 0
}

/// Whether that came before the hook of the ClientHello, of a proxy's CONNECT, or in TLS 1.2 of the client's
/// last flight had run: the answer to these, not to a request.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
unsafe fn is_of_handshake(connection: *const Connection, response: &Response) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let full12 = (*connection).flags & flags::TLS12_FULL != 0;
        let sent_ns = if full12 { (*connection).flight_ns } else { (*connection).hello_ns };
        response.first_ns != 0 && response.first_ns < sent_ns
    }
}

const NOTHING: Response = Response { first_ns: 0, last_ns: 0, bytes: 0, arrivals: 0 };

/// What has arrived in answer to a request, if anything.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
pub unsafe fn response(connection: *const Connection, number: u64) -> Response {
    // SAFETY: the caller's promise.
    unsafe {
        let slot = &raw const (*connection).arrivals[(number & 1) as usize];
        let current = (*slot).request == number as u32 && number != 0;
        let response = (*slot).response;
        if current && !is_of_handshake(connection, &response) { response } else { NOTHING }
    }
}

/// Reports the first arrivals of the current request one by one.
///
/// # Safety
/// `connection` is from `table::find`, and something has arrived in answer to its request.
#[inline(never)]
pub unsafe fn report(sock: impl Sock, connection: *const Connection, tickets: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        let number = (*connection).request;
        let slot = &raw const (*connection).arrivals[(number & 1) as usize];
        let count = response(connection, number).arrivals;
        event::emit(|| FirstArrivals {
            header: event::header::<FirstArrivals>(sock, connection, Kind::FirstArrivals),
            finished_ns: if tickets { (*connection).flight_ns } else { 0 },
            request_end: (*connection).request_end,
            from_bytes: (*slot).from_bytes,
            count: if count < MAX_FIRST_ARRIVALS as u64 {
                count
            } else {
                MAX_FIRST_ARRIVALS as u64
            },
            arrivals: (*slot).first,
            // The rest is of the process's memory, and may be no ciphertext.
            records: Records { cut: 0, sample: 0, ..(*connection).records },
            reserved: 0,
        });
    }
}

/// Reports the gaps between those that came later, if any did.
///
/// # Safety
/// As for [`report`].
#[inline(never)]
pub unsafe fn report_gaps(sock: impl Sock, connection: *const Connection) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        let number = (*connection).request;
        if response(connection, number).arrivals > MAX_FIRST_ARRIVALS as u64 {
            let slot = &raw const (*connection).arrivals[(number & 1) as usize];
            event::emit(|| Samples {
                header: event::header::<Samples>(sock, connection, Kind::Gaps),
                histogram: (*slot).gaps,
            });
        }
    }
    0
}
