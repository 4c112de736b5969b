//! What the current system call is sending: copied from the process's own memory.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    Global,
    helpers::{
        bpf_get_current_task_btf, bpf_probe_read_kernel, bpf_probe_read_user, bpf_task_pt_regs,
        generated,
    },
    macros::map,
    maps::PerCpuArray,
};
use da_ebpf_common::{MAX_FIRST_BYTES, tls::FirstBytes};

use crate::layout;

/// Buffers of one writev or sendmsg that are looked at.
const MAX_BUFFERS: u32 = 8;
/// Records of one flight that are looked at.
pub const MAX_RECORDS: usize = 4;

/// Room for one event and its payload and, behind them, for what a copy at the payload's very end
/// could run over: the verifier bounds an offset and a length, not their sum.
#[repr(C)]
pub struct Scratch {
    /// The event under construction.
    pub event: FirstBytes,
    /// What [`copy`] fills.
    pub payload: [u8; MAX_FIRST_BYTES],
    overrun: [u8; MAX_FIRST_BYTES],
    /// Bytes of `payload` that are filled.
    captured_bytes: u32,
    /// What `tls` makes of it.
    pub flight: Flight,
}

/// The TLS record headers at the beginning of a send.
#[repr(C)]
pub struct Flight {
    /// Content types; 0 where there is no further record.
    pub types: [u8; MAX_RECORDS],
    /// First byte of each record's content.
    pub firsts: [u8; MAX_RECORDS],
    /// Offset behind each record.
    pub ends: [u32; MAX_RECORDS],
}

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// `struct iovec`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Buffer {
    base: u64,
    length: u64,
}

/// `struct user_msghdr`, include/linux/socket.h, as far as it is needed.
#[derive(Clone, Copy)]
#[repr(C)]
struct Message {
    name: u64,
    name_length: u64,
    buffers: u64,
    count: u64,
}

/// This CPU's scratch space.
#[inline(always)]
pub fn scratch() -> Option<*mut Scratch> {
    SCRATCH.get_ptr_mut(0)
}

/// Copies the beginning of what the current system call sends into `scratch.payload`.
///
/// Returns the bytes copied, at most [`MAX_FIRST_BYTES`]; 0 where the buffers are out of reach: no
/// system call that is known to send, or memory that is not there.
///
/// # Safety
/// `scratch` is this CPU's, from [`scratch`].
#[inline(always)]
pub unsafe fn copy(scratch: *mut Scratch, sent_bytes: u64) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        (*scratch).captured_bytes = 0;
        gather(scratch, sent_bytes);
        (*scratch).captured_bytes
    }
}

/// Counts in `scratch.captured_bytes` instead of returning it: what is read from memory is any
/// number to the verifier, and it need not follow what comes behind once for each way through here.
///
/// # Safety
/// As for [`copy`].
#[inline(never)]
unsafe fn gather(scratch: *mut Scratch, sent_bytes: u64) -> u32 {
    let Some((syscall, argument_2, argument_3)) = arguments() else { return 0 };
    // A send may take less than it was offered; what it left is not part of this flight.
    let limit =
        if sent_bytes < MAX_FIRST_BYTES as u64 { sent_bytes } else { MAX_FIRST_BYTES as u64 };
    let (buffers, count) =
        if syscall == layout::NR_WRITE.load() || syscall == layout::NR_SENDTO.load() {
            // SAFETY: the caller's promise.
            unsafe { append(scratch, Buffer { base: argument_2, length: argument_3 }, limit) };
            return 0;
        } else if syscall == layout::NR_WRITEV.load() {
            (argument_2, argument_3)
        } else if syscall == layout::NR_SENDMSG.load() || syscall == layout::NR_SENDMMSG.load() {
            // SAFETY: the helper checks the address; `Message` is made of integers.
            match unsafe { bpf_probe_read_user(argument_2 as *const Message) } {
                Ok(message) => (message.buffers, message.count),
                Err(_) => return 0,
            }
        } else {
            return 0;
        };
    for index in 0..MAX_BUFFERS {
        if u64::from(index) >= count {
            break;
        }
        let address = buffers + u64::from(index) * size_of::<Buffer>() as u64;
        // SAFETY: the helper checks the address; `Buffer` is made of integers.
        let Ok(buffer) = (unsafe { bpf_probe_read_user(address as *const Buffer) }) else { break };
        // SAFETY: the caller's promise.
        unsafe { append(scratch, buffer, limit) };
    }
    0 // the verifier minds a function that returns nothing
}

/// Copies `buffer` behind what is captured, up to `limit` bytes of it all.
///
/// # Safety
/// `scratch` is this CPU's, from [`scratch`].
#[inline(always)]
unsafe fn append(scratch: *mut Scratch, buffer: Buffer, limit: u64) {
    // SAFETY: the caller's promise.
    let filled = unsafe { (*scratch).captured_bytes };
    let room = limit.saturating_sub(u64::from(filled));
    let length = if buffer.length < room { buffer.length } else { room };
    if length == 0 || length > MAX_FIRST_BYTES as u64 {
        return;
    }
    // SAFETY: the masked offset is below MAX_FIRST_BYTES and `length` is at most that, so the copy
    // ends inside `payload` or `overrun`, which follows it; the helper checks the source.
    unsafe {
        let target = ptr::addr_of_mut!((*scratch).payload).cast::<u8>();
        let failed = generated::bpf_probe_read_user(
            target.add(filled as usize & (MAX_FIRST_BYTES - 1)).cast::<c_void>(),
            length as u32,
            buffer.base as *const c_void,
        );
        if failed == 0 {
            (*scratch).captured_bytes = filled + length as u32;
        }
    }
}

/// Number, second and third argument of the system call the current thread is in.
#[inline(always)]
fn arguments() -> Option<(u32, u64, u64)> {
    // SAFETY: both helpers take the task the kernel hands out and nothing else; the registers they
    // return are those saved on the task's own kernel stack.
    let registers = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const u8;
    Some((
        register(registers, &layout::REGS_SYSCALL)? as u32,
        register(registers, &layout::REGS_ARGUMENT_2)?,
        register(registers, &layout::REGS_ARGUMENT_3)?,
    ))
}

#[inline(always)]
fn register(registers: *const u8, offset: &Global<u32>) -> Option<u64> {
    let address = (registers as u64 + u64::from(offset.load())) as *const u64;
    // SAFETY: the helper checks the address; the offset is one of `struct pt_regs`.
    unsafe { bpf_probe_read_kernel(address) }.ok()
}
