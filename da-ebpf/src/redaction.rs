//! Takes out of a first send in the clear what is nobody's business, before it leaves the kernel: see
//! [`da_ebpf_common::head`].

use core::ptr;

use da_ebpf_common::{MAX_FIRST_BYTES, MAX_HEAD_BYTES, head::Head};

use crate::send_buffer::{self, Scratch};

/// Bytes that one call of [`redact_some`] reads.
const SOME_BYTES: u32 = 16;

/// Leaves at the beginning of `scratch.payload` what da-server is told of its first `captured` bytes, and
/// says how much that is.
///
/// # Safety
/// `scratch` is this CPU's, from `send_buffer::scratch`.
#[inline(always)]
pub unsafe fn redact(scratch: *mut Scratch, captured: u32) -> u32 {
    // SAFETY: the caller's promise.
    unsafe { (&raw mut (*scratch).head).write(Head::START) };
    for number in 0..MAX_HEAD_BYTES as u32 / SOME_BYTES {
        if redact_some(number * SOME_BYTES, captured) != 0 {
            break;
        }
    }
    // SAFETY: as above. Read anew: any number to the verifier.
    unsafe { ptr::read_volatile(&raw const (*scratch).head).told_bytes() }
}

/// Reads the bytes from `from` on; not 0 where those behind them do not matter.
///
/// A function with a symbol of its own is verified once, whatever it is called with. Inside of its callers the
/// verifier would follow every way through a byte, for every byte, and give up.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn redact_some(from: u32, captured: u32) -> u32 {
    let Some(scratch) = send_buffer::scratch() else { return 1 };
    for ahead in 0..SOME_BYTES {
        let index = from + ahead;
        // SAFETY: `scratch` is this run's alone: its program has called this.
        if index >= captured || unsafe { step(scratch, index) } {
            return 1;
        }
    }
    0
}

/// Reads one byte; whether the rest does not matter.
///
/// # Safety
/// As for [`redact`].
#[inline(always)]
unsafe fn step(scratch: *mut Scratch, index: u32) -> bool {
    // SAFETY: the caller's promise; the masks keep what is read and written inside `payload`.
    unsafe {
        let payload = (&raw mut (*scratch).payload).cast::<u8>();
        let byte = payload.add(index as usize & (MAX_FIRST_BYTES - 1)).read_volatile();
        let head = &raw mut (*scratch).head;
        // Through memory from byte to byte: there it is any number to the verifier.
        let mut current = head.read_volatile();
        if let Some(at) = current.take(byte) {
            payload.add(at as usize & (MAX_FIRST_BYTES - 1)).write_volatile(byte);
        }
        head.write_volatile(current);
        current.is_over()
    }
}
