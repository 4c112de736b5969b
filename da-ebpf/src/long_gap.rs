//! Gaps within a response that are long enough to be told one by one.

use aya_ebpf::Global;
use da_ebpf_common::{
    connection::{Connection, flags},
    event::Kind,
    long_gap::{LongGap, unread_ns},
};

use crate::{event, pickup, sock::Sock};

/// The shortest that is; da-server sets it.
#[unsafe(no_mangle)]
static LONG_GAP_NS: Global<u64> = Global::new(u64::MAX);

/// Whether a gap in a response is that long. Of what is not told from other exchanges none is reported.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
pub unsafe fn is_long(connection: *const Connection, from_ns: u64, to_ns: u64) -> bool {
    // SAFETY: the caller's promise.
    let flags = unsafe { (*connection).flags };
    flags & (flags::UNREADABLE | flags::EARLY_DATA) == 0
        && to_ns.saturating_sub(from_ns) >= LONG_GAP_NS.load()
}

/// Reports the gap between the arrival at `from_ns`, of the last of the first `before_bytes`, and the one at `to_ns`,
/// which answers the same request.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the arrival hook, before it calls [`arrived`].
#[inline(always)]
pub unsafe fn report(
    sock: impl Sock,
    connection: *const Connection,
    number: u64,
    before_bytes: u32,
    (from_ns, to_ns): (u64, u64),
) {
    // SAFETY: the caller's promise.
    unsafe {
        let had_read = pickup::had_read(sock, connection, before_bytes);
        let emptied_ns = had_read.then_some((*connection).emptied_ns);
        let closed_ns = pickup::window_closed_by_ns(connection, to_ns);
        event::emit(|| LongGap {
            header: event::header::<LongGap>(sock, connection, Kind::LongGap),
            number,
            from_ns,
            to_ns,
            unread_ns: unread_ns(emptied_ns, from_ns, to_ns),
            window_closed_ns: closed_ns.saturating_sub((*connection).closed_by_arrival_ns),
            out_of_order: sock.out_of_order().wrapping_sub((*connection).out_of_order),
            srtt_eighths_us: (*connection).srtt_eighths_us,
        });
    }
}

/// Notes how an arrival at `at_ns` that counts in a response has found the connection.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the arrival hook.
#[inline(always)]
pub unsafe fn arrived(sock: impl Sock, connection: *mut Connection, at_ns: u64) {
    // SAFETY: the caller's promise.
    unsafe {
        (*connection).closed_by_arrival_ns = pickup::window_closed_by_ns(connection, at_ns);
        (*connection).out_of_order = sock.out_of_order();
    }
}
