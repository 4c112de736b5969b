//! What the current system call is sending: copied from the process's own memory.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    helpers::{bpf_probe_read_user, generated},
    macros::map,
    maps::PerCpuArray,
};
use da_ebpf_common::{MAX_FIRST_BYTES, connection::Connection, head::Head, tls::FirstBytes};

use crate::{layout, registers::Registers, sock::Sock};

/// Buffers of one writev or sendmsg that are looked at.
const MAX_BUFFERS: u32 = 8;
/// Records of one flight that are looked at; a power of two.
pub const MAX_FLIGHT_RECORDS: usize = 8;

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
    /// Bytes that it may be filled to.
    limit_bytes: u32,
    /// What `flight` makes of it.
    pub flight: Flight,
    /// What `redaction` makes of it.
    pub head: Head,
    /// A record under construction: see `latecomer`.
    pub draft: Connection,
}

/// The TLS record headers at the beginning of a send.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Flight {
    /// Content types; 0 where there is no further record.
    pub types: [u8; MAX_FLIGHT_RECORDS],
    /// First byte of each record's content.
    pub firsts: [u8; MAX_FLIGHT_RECORDS],
    /// Offset behind each record.
    pub ends: [u32; MAX_FLIGHT_RECORDS],
    /// How many there are.
    pub count: u32,
    /// Offset behind the last of them.
    pub end: u32,
    /// Whether one of them is of application data.
    pub has_application_data: u32,
    /// Whether one is as long as an alert of TLS 1.3.
    pub has_alert: u32,
    /// Offset behind the first of application data that is as long as a client's Finished; 0 where there is none.
    pub finished_end: u32,
    /// Offset behind the one that follows that; 0 where there is none.
    pub request_record_end: u32,
}

impl Flight {
    /// Nothing is read.
    pub const NONE: Self = Self {
        types: [0; MAX_FLIGHT_RECORDS],
        firsts: [0; MAX_FLIGHT_RECORDS],
        ends: [0; MAX_FLIGHT_RECORDS],
        count: 0,
        end: 0,
        has_application_data: 0,
        has_alert: 0,
        finished_end: 0,
        request_record_end: 0,
    };
}

#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// `struct iovec`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Buffer {
    /// Where it is.
    pub base: u64,
    /// Its bytes.
    pub length: u64,
}

/// `struct user_msghdr`, include/linux/socket.h, as far as it is needed.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Message {
    /// Where the address that it goes to is told; 0 where it is not.
    pub name: u64,
    name_length: u64,
    /// Where its buffers are told.
    pub buffers: u64,
    count: u64,
}

/// This CPU's scratch space.
///
/// It is the caller's alone until its program ends. Only the send hook comes here, which is one
/// program: `sock_send`, or where the kernel lacks its tracepoint `syscall_send`; da-server never
/// attaches both. And on a CPU where a program on a raw tracepoint is running, the kernel runs it
/// neither to the side, for a run is not preempted, nor from an interrupt: that one it skips.
#[inline(always)]
pub fn scratch() -> Option<*mut Scratch> {
    SCRATCH.get_ptr_mut(0)
}

/// Copies the beginning of what the current system call sends on the socket into `scratch.payload`.
///
/// Returns the bytes copied, at most [`MAX_FIRST_BYTES`]; 0 where the buffers are out of reach: no
/// system call that is known to send, one that is about something else, or memory that is not there.
///
/// # Safety
/// `scratch` is this CPU's, from [`scratch`].
#[inline(always)]
pub unsafe fn copy(sock: impl Sock, scratch: *mut Scratch, sent_bytes: u64) -> u32 {
    // A send may take less than it was offered; what it left is not part of this flight.
    let most = MAX_FIRST_BYTES as u64;
    let limit_bytes = if sent_bytes < most { sent_bytes } else { most } as u32;
    // SAFETY: the caller's promise.
    unsafe {
        (*scratch).captured_bytes = 0;
        (*scratch).limit_bytes = limit_bytes;
        if Registers::are_of_call_on(sock) {
            gather();
        }
        (*scratch).captured_bytes
    }
}

/// Fills `scratch.payload` from the buffers of the current system call, and counts in `scratch.captured_bytes`
/// instead of returning it.
///
/// A function with a symbol of its own is verified once, and what is read from memory is any number to the verifier:
/// it need not follow what comes behind once for each way through here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn gather() -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    let registers = Registers::current();
    let (Some(syscall), Some(argument_2), Some(argument_3)) =
        (registers.syscall(), registers.argument_2(), registers.argument_3())
    else {
        return 0;
    };
    let (buffers, count) =
        if syscall == layout::NR_WRITE.load() || syscall == layout::NR_SENDTO.load() {
            // SAFETY: `scratch` is this run's alone: its program has called this.
            unsafe { append(scratch, Buffer { base: argument_2, length: argument_3 }) };
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
        // SAFETY: as above.
        unsafe { append(scratch, buffer) };
    }
    0
}

/// Copies `buffer` behind what is captured, as far as the limit.
///
/// # Safety
/// `scratch` is this CPU's, from [`scratch`].
#[inline(always)]
unsafe fn append(scratch: *mut Scratch, buffer: Buffer) {
    // SAFETY: the caller's promise.
    let (filled, limit) = unsafe {
        ((*scratch).captured_bytes, ptr::addr_of!((*scratch).limit_bytes).read_volatile())
    };
    let room = u64::from(limit.saturating_sub(filled));
    let length = if buffer.length < room { buffer.length } else { room };
    // Never so, which the compiler must not know: the verifier, which does not, needs to see it.
    if length > MAX_FIRST_BYTES as u64 {
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
