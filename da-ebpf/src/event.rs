//! The ring buffer to user space.

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP, BPF_RB_RING_SIZE},
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use da_ebpf_common::{
    connection::Connection,
    event::{ConnectionId, Header, Kind},
    meter::Counter,
};

use crate::{meter, sock::Sock};

/// da-server sets the size when it loads the object.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(4 << 20, 0);

/// Small events that a CPU delivers between two looks at how full the ring is. They are some
/// hundreds of bytes, the ring 64 KiB at least.
const LOOK_INTERVAL: u64 = 8;

/// Small events delivered on this CPU.
#[map]
static DELIVERED: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The header of an event of type `T`.
///
/// # Safety
/// `connection` is from `table::find`.
#[inline(always)]
pub unsafe fn header<T>(sock: impl Sock, connection: *const Connection, kind: Kind) -> Header {
    // SAFETY: the caller's promise.
    let born_ns = unsafe { (*connection).born_ns };
    Header {
        connection: ConnectionId { sock: sock.key(), born_ns },
        kind: kind as u32,
        length: size_of::<T>() as u32,
    }
}

/// Delivers an event, or counts it as lost. It is made where it goes: on the way there it would take
/// more of the stack than there is.
#[inline(always)]
pub fn emit<T: 'static>(event: impl FnOnce() -> T) {
    match EVENTS.reserve::<T>(0) {
        Some(mut entry) => {
            entry.write(event());
            entry.submit(now_and_then());
        }
        None => meter::count(Counter::RingFull),
    }
}

/// Delivers an event of variable length, or counts it as lost; whether it got through.
#[inline(always)]
pub fn emit_bytes(event: &[u8]) -> bool {
    let delivered = EVENTS.output::<[u8]>(event, wakeup()).is_ok();
    if !delivered {
        meter::count(Counter::RingFull);
    }
    delivered
}

/// Asking how full the ring is takes two calls of a helper, a third of what it takes to deliver an
/// event: of the small ones, one in [`LOOK_INTERVAL`] does.
#[inline(always)]
fn now_and_then() -> u64 {
    let Some(delivered) = DELIVERED.get_ptr_mut(0) else { return wakeup() };
    // SAFETY: the pointer is to this CPU's own value. A program that interrupts another one in the
    // middle of this addition can cost a count, and no more.
    let delivered = unsafe {
        *delivered += 1;
        *delivered
    };
    if delivered.is_multiple_of(LOOK_INTERVAL) { wakeup() } else { BPF_RB_NO_WAKEUP.into() }
}

/// Waking the reader costs an interrupt, many times what the rest of a program does. It comes by
/// itself often enough, unless the ring fills up meanwhile.
#[inline(always)]
fn wakeup() -> u64 {
    let filling =
        EVENTS.query(BPF_RB_AVAIL_DATA.into()) > EVENTS.query(BPF_RB_RING_SIZE.into()) / 8;
    u64::from(if filling { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP })
}
