//! How long what has arrived waits to be read.
//!
//! BTF tracepoint `sock_recv_length(struct sock *sk, int ret, int flags)`, since 6.3: in the reader,
//! after the read.

use aya_ebpf::{
    helpers::bpf_get_current_pid_tgid, macros::btf_tracepoint, programs::BtfTracePointContext,
};
use da_ebpf_common::{
    connection::{Connection, Progress},
    event::Kind,
    histogram::{Histogram, Samples},
    pickup::{Pickups, Unread},
    program::Program,
};

use crate::{
    dns, event, histogram,
    meter::{self, now_ns},
    records, run_queue,
    sock::{RawSock, Sock, TypedSock},
    syscall,
    table::find,
};

/// `MSG_PEEK`, include/linux/socket.h: what is only looked at stays unread.
const MSG_PEEK: i32 = 2;

/// A peer with a full segment of Ethernet to send waits until there is room for it: RFC 9293
/// §3.8.6.2.1.
const SEGMENT_BYTES: i32 = 1_460;

#[btf_tracepoint(function = "sock_recv_length")]
fn sock_recv(ctx: BtfTracePointContext) -> i32 {
    let Some(run) = meter::begin(Program::SockRecv) else { return 0 };
    let sock = RawSock::from_argument(ctx.arg(0));
    let (result, flags): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    if let Some(connection) = find(sock) {
        // SAFETY: see `table::find`.
        unsafe {
            syscall::uses(&ctx, sock, connection);
            run_queue::uses(connection);
        }
        if result > 0
            && flags & MSG_PEEK == 0
            && let Some(sock) = TypedSock::of_tcp(ctx.arg(0))
        {
            // SAFETY: see `table::find`.
            let to_bytes = unsafe { payload_read_bytes(sock, connection) };
            // Where this read began. A splice comes by without the hook, and by kernel TLS `result` is the
            // plaintext's length, less than was taken from the socket: no sample then.
            let from_bytes = to_bytes.wrapping_sub(result as u32);
            let taken_ns = receive(connection, from_bytes);
            // SAFETY: as above.
            unsafe {
                note_skipped_arrival(sock, connection, to_bytes);
                note_emptied(connection, to_bytes, taken_ns);
                (*connection).read_bytes = to_bytes;
                records::read(sock, connection, from_bytes, result as u32);
            }
            make_room(sock, connection);
        }
    } else if result > 0 && flags & MSG_PEEK == 0 {
        dns::received(TypedSock::of_any(ctx.arg(0)), result as u64);
    }
    run.end();
    0
}

/// Something arrived behind the first `before_bytes`. If all these had been read, it is the oldest
/// that has not.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the arrival hook.
#[inline(always)]
pub unsafe fn arrived(
    sock: impl Sock,
    connection: *mut Connection,
    before_bytes: u32,
    request: u64,
    now_ns: u64,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if read_bytes(sock, connection) != before_bytes {
            return;
        }
        // What a read under way began with stays until it has returned: one that waits for more
        // (MSG_WAITALL) empties the buffer over and over.
        let first = &raw const (*connection).unread[0];
        let begun = (*first).since_ns != 0 && (*first).at_bytes == (*connection).read_bytes;
        let run_queue::Waiter { thread, run_delay_ns } = run_queue::waiter(connection);
        (*connection).unread[usize::from(begun)] = Unread {
            since_ns: now_ns,
            run_delay_ns,
            thread,
            at_bytes: before_bytes,
            request: request as u32,
            reserved: 0,
        };
    }
}

/// Notes whether what has arrived, the first `received_bytes` with it, leaves the peer room to send more.
///
/// # Safety
/// As for [`arrived`].
#[inline(always)]
pub unsafe fn note_window(
    sock: impl Sock,
    connection: *mut Connection,
    received_bytes: u32,
    now_ns: u64,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if !has_room(sock, connection, received_bytes) && closed_since_ns(connection).is_none() {
            (*connection).window_full_ns = now_ns;
        }
    }
}

/// Whether the peer may send a segment behind the first `received_bytes`.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
unsafe fn has_room(sock: impl Sock, connection: *const Connection, received_bytes: u32) -> bool {
    // SAFETY: the caller's promise.
    let next = unsafe { (*connection).first_sequence }.wrapping_add(received_bytes);
    sock.window_end().wrapping_sub(next).cast_signed() >= SEGMENT_BYTES
}

/// The socket is told of something that does not count as arrived: the peer's end, or what the kernel has
/// no room for, and drops.
///
/// # Safety
/// As for [`arrived`].
#[inline(never)]
pub unsafe fn note_refusal(sock: impl Sock, connection: *mut Connection) {
    // SAFETY: the caller's promise.
    unsafe {
        if !sock.peer_is_done()
            && unread_bytes(sock, connection) > 0
            && closed_since_ns(connection).is_none()
        {
            (*connection).window_full_ns = now_ns();
        }
    }
}

/// How long the receive window has been used up in all by `at_ns`, ns.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
pub unsafe fn window_closed_by_ns(connection: *const Connection, at_ns: u64) -> u64 {
    // SAFETY: the caller's promise. A read that opens the window meanwhile may count one time too many.
    unsafe {
        let until_now_ns =
            closed_since_ns(connection).map_or(0, |since_ns| at_ns.saturating_sub(since_ns));
        (*connection).window_closed_ns + until_now_ns
    }
}

/// Whether all of the first `bytes` had been read, as far as is known, when what follows them arrived. Where that
/// shows by a read alone (see `fallback::arrive_late`), the kernel is further already than what the receive hook has
/// noted.
///
/// # Safety
/// As for [`window_closed_by_ns`].
#[inline(always)]
pub unsafe fn had_read(sock: impl Sock, connection: *const Connection, bytes: u32) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let read = read_bytes(sock, connection);
        read == bytes
            || read.wrapping_sub(bytes).cast_signed() > 0 && (*connection).read_bytes == bytes
    }
}

/// Since when the receive window is used up and nobody has read, if so.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
unsafe fn closed_since_ns(connection: *const Connection) -> Option<u64> {
    // SAFETY: the caller's promise.
    let (full_ns, read_ns) =
        unsafe { ((*connection).window_full_ns, (*connection).window_read_ns) };
    (full_ns != read_ns).then_some(full_ns)
}

/// For how long it has been, ns; 0 where it is not.
///
/// # Safety
/// As for [`closed_since_ns`].
#[inline(always)]
pub unsafe fn closed_for_ns(connection: *const Connection) -> u64 {
    // SAFETY: the caller's promise.
    match unsafe { closed_since_ns(connection) } {
        Some(since_ns) => now_ns().saturating_sub(since_ns),
        None => 0,
    }
}

/// Somebody has read. That opens a closed window only once there is room for a segment: then the
/// kernel has told the peer before the hook of the read runs.
#[inline(always)]
fn make_room(sock: impl Sock, connection: *mut Connection) {
    // SAFETY: see `table::find`.
    unsafe {
        let Some(since_ns) = closed_since_ns(connection) else { return };
        if !has_room(sock, connection, (*connection).received_bytes as u32)
            && unread_bytes(sock, connection) > 0
        {
            return;
        }
        let closed_ns = now_ns().saturating_sub(since_ns);
        (*connection).window_closed_ns += closed_ns;
        (*connection).window_read_ns = since_ns;
        let current = Progress::from_word((*connection).progress).request;
        let slot = slot(connection, current);
        (*slot).window_closed_ns += closed_ns;
    }
}

/// A read has come up to `to_bytes`, at `taken_ns` where that is known already. Notes whether it has left nothing
/// unread.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the receive hook.
#[inline(always)]
unsafe fn note_emptied(connection: *mut Connection, to_bytes: u32, taken_ns: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*connection).received_bytes as u32 == to_bytes {
            (*connection).emptied_ns = if taken_ns != 0 { taken_ns } else { now_ns() };
        }
    }
}

/// What is noted of reads during a request, to be written.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the receive hook.
#[inline(always)]
unsafe fn slot(connection: *mut Connection, request: u32) -> *mut Pickups {
    // SAFETY: the caller's promise.
    unsafe {
        let slot = &raw mut (*connection).pickups[(request & 1) as usize];
        if (*slot).request != request {
            ((*slot).request, (*slot).skipped_arrivals) = (request, 0);
            ((*slot).count, (*slot).window_closed_ns) = (0, 0);
            ((*slot).followed_ns, (*slot).run_delay_ns) = (0, 0);
        }
        slot
    }
}

/// Notes a read that has come further, up to `to_bytes`, than what is known to have arrived. The kernel runs no
/// program that is running on that CPU already, also where that one is about another socket, so the run that
/// would have counted the arrival was skipped, and nobody knows when the response began. Not noticed where
/// something else arrived before the read: the bytes count with that.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the receive hook.
#[inline(always)]
unsafe fn note_skipped_arrival(sock: impl Sock, connection: *mut Connection, to_bytes: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        // Read after `to_bytes`: bytes are counted before anybody can read them.
        let received_bytes = (&raw const (*connection).received_bytes).read_volatile() as u32;
        let ahead = to_bytes.wrapping_sub(received_bytes).cast_signed();
        // Whoever has read the peer's FIN as well has read one more than arrived.
        if ahead > 0 && ahead > i32::from(sock.peer_is_done()) {
            skip_arrival(connection);
        }
    }
}

/// When that arrived which was read during the current request is not known.
///
/// # Safety
/// As for [`note_skipped_arrival`].
#[inline(always)]
pub unsafe fn skip_arrival(connection: *mut Connection) {
    // SAFETY: the caller's promise.
    unsafe {
        let slot = slot(connection, Progress::from_word((*connection).progress).request);
        (*slot).skipped_arrivals += 1;
    }
}

/// Whether that is so of a request.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
pub unsafe fn has_skipped_arrival(connection: *const Connection, number: u64) -> bool {
    // SAFETY: the caller's promise.
    unsafe { of(connection, number).is_some_and(|slot| (*slot).skipped_arrivals != 0) }
}

/// Payload bytes read since the connect, modulo 2³².
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
pub unsafe fn read_bytes(sock: impl Sock, connection: *const Connection) -> u32 {
    // SAFETY: as for `arrived`.
    sock.copied_sequence().wrapping_sub(unsafe { (*connection).first_sequence })
}

/// The same without the peer's FIN, which the kernel counts as read with the last of what came before it.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
unsafe fn payload_read_bytes(sock: impl Sock, connection: *const Connection) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        let bytes = read_bytes(sock, connection);
        let with_fin = ((*connection).received_bytes as u32).wrapping_add(1);
        if bytes == with_fin && sock.peer_is_done() { bytes.wrapping_sub(1) } else { bytes }
    }
}

/// Bytes that have arrived and were not read, modulo 2³².
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
pub unsafe fn unread_bytes(sock: impl Sock, connection: *const Connection) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { ((*connection).received_bytes as u32).wrapping_sub(read_bytes(sock, connection)) }
}

/// A read has come as far as the socket says; it began where the one before had ended.
#[inline(always)]
pub fn receive_up_to(sock: impl Sock, connection: *mut Connection) {
    // SAFETY: see `table::find`.
    unsafe {
        let from_bytes = (*connection).read_bytes;
        let to_bytes = read_bytes(sock, connection);
        if to_bytes != from_bytes {
            (*connection).read_bytes = to_bytes;
            records::read_in_parts(sock, connection, from_bytes, to_bytes.wrapping_sub(from_bytes));
            let taken_ns = receive(connection, from_bytes);
            note_emptied(connection, to_bytes, taken_ns);
            make_room(sock, connection);
        }
    }
}

/// A read has taken the bytes behind the first `from_bytes`. When, ns, if they were the oldest unread ones; else 0.
#[inline(always)]
fn receive(connection: *mut Connection, from_bytes: u32) -> u64 {
    // SAFETY: see `table::find`.
    unsafe {
        let unread = &raw const (*connection).unread;
        let oldest = if (*unread)[0].at_bytes == from_bytes {
            (*unread)[0]
        } else if (*unread)[1].at_bytes == from_bytes {
            (*unread)[1]
        } else {
            return 0; // a read in the middle: the one before it took the sample
        };
        if oldest.since_ns == 0 {
            return 0;
        }
        let now_ns = now_ns();
        let waited_ns = now_ns.saturating_sub(oldest.since_ns);
        // What was sent meanwhile has reported the exchange it came in: it goes with the current one.
        let current = Progress::from_word((*connection).progress).request;
        let reported = current.wrapping_sub(oldest.request).cast_signed() > 0;
        let request = if reported { current } else { oldest.request };
        let slot = slot(connection, request);
        let reader = bpf_get_current_pid_tgid() as u32;
        if let Some(run_delay_ns) = run_queue::waited_ns(&oldest, reader, waited_ns) {
            (*slot).followed_ns += waited_ns;
            (*slot).run_delay_ns += run_delay_ns;
        }
        let count = (*slot).count;
        if count == 0 {
            ((*slot).first_read_ns, (*slot).first_ns) = (now_ns, waited_ns);
        } else {
            if count == 1 {
                (*slot).rest = Histogram::EMPTY;
            }
            histogram::add(&raw mut (*slot).rest, waited_ns);
        }
        (*slot).count = count + 1;
        now_ns
    }
}

/// What is noted of reads during a request, if anything is.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
pub unsafe fn of(connection: *const Connection, number: u64) -> Option<*const Pickups> {
    // SAFETY: the caller's promise.
    unsafe {
        let slot = &raw const (*connection).pickups[(number & 1) as usize];
        ((*slot).request == number as u32).then_some(slot)
    }
}

/// Reports all but the first. A function of its own for the 512 bytes of stack.
///
/// # Safety
/// `connection` is from `table::find`, `pickups` inside it.
#[inline(never)]
pub unsafe fn report(sock: impl Sock, connection: *const Connection, pickups: *const Pickups) {
    // SAFETY: the caller's promise.
    unsafe {
        event::emit(|| Samples {
            header: event::header::<Samples>(sock, connection, Kind::Pickups),
            histogram: (*pickups).rest,
        });
    }
}
