//! The transitions of a record from one request to the next, and the report of each exchange once it is over.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use da_ebpf_common::{
    connection::{Connection, flags},
    event::Kind,
    exchange::{End, Exchange},
    meter::Counter,
};

use crate::{
    arrival, event, meter, pickup,
    sizes::{is_alert, is_close_alert, is_settings_ack, smallest_request_bytes},
    sock::{RawSock, Sock},
    table::add_sent,
};

/// Bytes were sent that belong to a request: to the current one as long as nothing has arrived in
/// answer to it, to the next one otherwise.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the send hook, or in the state hook
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
            if bytes < smallest_request_bytes(connection_flags) || is_alert(sock, connection, bytes)
            {
                return; // a close alert, a key update, HTTP/2 control: no request is that short
            }
            if !finish(sock, connection, End::NextRequest as u32, 0) {
                return;
            }
            (*connection).request_first_ns = now_ns;
            (*connection).request_thread = bpf_get_current_pid_tgid() as u32;
            (*connection).request_bytes = 0;
            (*connection).request = number + 1;
        } else if is_close_alert(connection_flags, bytes) {
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
/// `connection` is from `table::find`.
#[inline(always)]
unsafe fn is_answered(sock: impl Sock, connection: *const Connection) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let number = (*connection).request;
        let response = arrival::response(connection, number);
        let may_be_tickets = number == 1 && (*connection).flags & flags::TLS13 != 0;
        if response.first_ns == 0 {
            // Tickets, too, may be read between two writes of one request.
            return !may_be_tickets && pickup::has_skipped_arrival(connection, number);
        }
        // Whoever has read the peer's FIN as well has read one more than arrived.
        let unread_bytes = i64::from(pickup::unread_bytes(sock, connection).cast_signed());
        !(may_be_tickets && unread_bytes > 0 && unread_bytes as u64 >= response.bytes)
    }
}

/// Adds what the socket was handed beyond what the hooks have counted and the `bytes` that they are
/// about to: sends by ways without a hook, or whose run the kernel has skipped. Says how much that was.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(never)]
pub unsafe fn add_unseen(sock: impl Sock, connection: *mut Connection, bytes: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let seen_bytes = (*connection).sent_bytes + bytes;
        let unseen_bytes = sock.payload_bytes_sent().saturating_sub(seen_bytes);
        add_sent(connection, unseen_bytes);
        unseen_bytes
    }
}

/// From here on nobody knows which request an answer belongs to.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the send hook.
#[inline(always)]
pub unsafe fn mark_mixed(connection: *mut Connection) {
    // SAFETY: the caller's promise.
    unsafe { (*connection).flags |= flags::UNREADABLE | flags::UNSEEN_SEND };
}

/// Reports the current exchange, if there is one; whether the record is still this socket's.
///
/// # Safety
/// `connection` is from `table::find` of this socket.
#[inline(always)]
pub unsafe fn finish(sock: impl Sock, connection: *mut Connection, end: u32, errno: u32) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if (*connection).sock != sock.key() {
            // It has been removed and begun anew since it was found.
            meter::count(Counter::RecordReplaced);
            return false;
        }
        if (*connection).request != 0 {
            report_exchange(connection, end, errno, sock.srtt_eighths_us(), sock.retransmits());
        }
        true
    }
}

/// Reports the current exchange of a record.
///
/// A function with a symbol of its own is verified once, for any record. It is called in too many states of its
/// callers for the verifier to go through it in each. All functions that are inside each other share 512 bytes of
/// stack. So this one holds nothing, and each of those it calls is a function of its own: an event under
/// construction takes 150.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_exchange(
    connection: *mut Connection,
    end: u32,
    errno: u32,
    srtt_eighths_us: u32,
    retransmits: u32,
) -> u32 {
    if connection.is_null() {
        return 0; // never so; the verifier, which forgets what the callers know, needs to see it
    }
    // SAFETY: `connection` is from `table::find`, which the verifier knows of every caller.
    unsafe {
        let number = (*connection).request;
        let sock = RawSock::from_argument((*connection).sock);
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
        report(sock, connection, Ended { end, errno, srtt_eighths_us, retransmits })
    }
}

/// How an exchange ended, and what the socket said of the network by then.
struct Ended {
    end: u32,
    errno: u32,
    srtt_eighths_us: u32,
    retransmits: u32,
}

/// # Safety
/// `connection` is from `table::find`.
#[inline(never)]
unsafe fn report(sock: impl Sock, connection: *const Connection, ended: Ended) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        let number = (*connection).request;
        let (mut pickups, mut first_read_ns, mut first_pickup_ns) = (0, 0, 0);
        let (mut followed_pickup_ns, mut run_delay_ns) = (0, 0);
        let (mut window_closed_ns, mut skipped) = (pickup::closed_for_ns(connection), 0);
        if let Some(picked_up) = pickup::of(connection, number) {
            skipped = u32::from((*picked_up).skipped_arrivals != 0) * flags::SKIPPED_ARRIVAL;
            pickups = (*picked_up).count;
            (first_read_ns, first_pickup_ns) = ((*picked_up).first_read_ns, (*picked_up).first_ns);
            followed_pickup_ns = (*picked_up).followed_ns;
            run_delay_ns = (*picked_up).run_delay_ns;
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
            followed_pickup_ns,
            run_delay_ns,
            window_closed_ns,
            sent_bytes: (*connection).sent_bytes,
            received_bytes: (*connection).received_bytes,
            flags: (*connection).flags | skipped,
            end: ended.end,
            errno: ended.errno,
            srtt_eighths_us: ended.srtt_eighths_us,
            retransmits: ended.retransmits,
            least_rtt_us: (*connection).least_rtt_us,
            reserved: 0,
            request_thread: (*connection).request_thread,
        });
    }
    0
}
