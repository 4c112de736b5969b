//! Where the peer's TLS records begin, as a process reads them.
//!
//! The hooks of reads run in the reader, where the ciphertext is in its own memory by then. Of that the
//! records' headers are looked at, five bytes each, and no more.

use aya_ebpf::helpers::bpf_probe_read_user;
use da_ebpf_common::{
    connection::{Connection, Phase, Progress, flags},
    tls::{MAX_RECORDS, RECORD_HEADER_BYTES, joined, record_bytes, walk},
};

use crate::{
    layout,
    registers::Registers,
    send_buffer::{Buffer, Message},
    sock::Sock,
};

/// Records of one read that are followed: a server's flight has seven, and tickets may come with it.
const MOST_OF_A_READ: u32 = 12;

/// The next records of the peer begin behind the first `read_bytes`: this side has sent its ClientHello.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the send hook.
#[inline(always)]
pub unsafe fn begin(connection: *mut Connection, read_bytes: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        (*connection).records.next_bytes = read_bytes;
        (*connection).records.walk = walk::ON;
    }
}

/// A read has taken `bytes` behind the first `from_bytes`, and put them at the beginning of its buffer.
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the receive hook.
#[inline(always)]
pub unsafe fn read(sock: impl Sock, connection: *mut Connection, from_bytes: u32, bytes: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        if (*connection).records.walk == walk::ON {
            let next_bytes = (*connection).records.next_bytes;
            // Most reads on the way end in the middle of a record.
            if next_bytes.wrapping_sub(from_bytes).cast_signed() < bytes.cast_signed() {
                follow(sock, connection, from_bytes, bytes);
            }
        }
    }
}

/// The same on kernels where the hook runs once for each segment that a system call copies. That it is the
/// first of its call, so that the bytes are at the buffer's beginning, is known where the call before had
/// filled its buffer, or where there is something else at the beginning than there was then.
///
/// # Safety
/// As for [`read`].
#[inline(always)]
pub unsafe fn read_in_parts(
    sock: impl Sock,
    connection: *mut Connection,
    from_bytes: u32,
    bytes: u32,
) {
    // SAFETY: the caller's promise; the helper checks the address that it reads from.
    unsafe {
        if (*connection).records.walk != walk::ON {
            return;
        }
        let Some(buffer) = buffer(sock) else { return };
        // Behind a record's header, where its ciphertext is, or what it was decrypted to in place. Where it
        // is the same twice by chance, the walk ends. No more of it is kept than tells it from another.
        let behind = buffer.base + u64::from(RECORD_HEADER_BYTES);
        let sample = bpf_probe_read_user(behind as *const u32).unwrap_or_default();
        let sample = (sample ^ sample >> 16) & 0xffff;
        let begins = (*connection).records.is_filled != 0 || sample != (*connection).records.sample;
        (*connection).records.sample = sample;
        (*connection).records.is_filled = u8::from(begins && buffer.length == bytes.into());
        if begins {
            read(sock, connection, from_bytes, bytes);
        } else {
            (*connection).records.walk = walk::OVER;
        }
    }
}

/// A function of its own for the stack, and so that the verifier follows it once.
///
/// # Safety
/// As for [`read`].
#[inline(never)]
unsafe fn follow(sock: impl Sock, connection: *mut Connection, from_bytes: u32, bytes: u32) -> u32 {
    // SAFETY: the caller's promise; the mask keeps the index inside `lengths`, and the helper checks the
    // address that it reads from.
    unsafe {
        let records = &raw mut (*connection).records;
        let open = (*connection).phase == Phase::Open as u32;
        let keeps = open && (*connection).flags & flags::TLS13 != 0;
        let request = Progress::from_word((*connection).progress).request;
        let Some(buffer) = buffer(sock).filter(|_| keeps || !open).filter(|_| request <= 2) else {
            (*records).walk = walk::OVER;
            return 0;
        };
        for _ in 0..MOST_OF_A_READ {
            let ahead = (*records).next_bytes.wrapping_sub(from_bytes).cast_signed();
            if ahead >= bytes.cast_signed() {
                return 0;
            }
            // Of this header the reads before have brought so much.
            let cut_bytes = if ahead < 0 { ahead.unsigned_abs() } else { 0 };
            let at = if ahead < 0 { 0 } else { ahead.unsigned_abs() };
            let read_bytes = cut_bytes + (bytes - at);
            // The header, or what there is of it, has to be in the first of several buffers.
            let end = if read_bytes < RECORD_HEADER_BYTES {
                u64::from(bytes)
            } else {
                u64::from(at + RECORD_HEADER_BYTES) - u64::from(cut_bytes)
            };
            if cut_bytes >= RECORD_HEADER_BYTES || end > buffer.length {
                break;
            }
            let Ok(rest) = bpf_probe_read_user((buffer.base + u64::from(at)) as *const [u8; 5])
            else {
                break;
            };
            let rest = u64::from_be_bytes([0, 0, 0, rest[0], rest[1], rest[2], rest[3], rest[4]]);
            let header = joined((*records).cut, cut_bytes, rest);
            if read_bytes < RECORD_HEADER_BYTES {
                if cut_bytes != 0 {
                    break; // cut twice
                }
                (*records).cut = (header >> (8 * (RECORD_HEADER_BYTES - read_bytes))) as u32;
                return 0;
            }
            (*records).cut = 0;
            let Some(record_bytes) = record_bytes(header) else { break };
            if keeps {
                let count = (*records).count;
                if count == 0 {
                    (*records).from_bytes = (*records).next_bytes;
                }
                (*records).lengths[usize::from(count) & (MAX_RECORDS - 1)] = record_bytes as u16;
                (*records).count = count + 1;
                if usize::from(count) + 1 == MAX_RECORDS {
                    (*records).next_bytes = (*records).next_bytes.wrapping_add(record_bytes);
                    break;
                }
            }
            (*records).next_bytes = (*records).next_bytes.wrapping_add(record_bytes);
        }
        (*records).walk = walk::OVER;
    }
    0 // the verifier minds a function that returns nothing
}

/// Where the current system call puts what it reads from the socket, as far as that is one piece.
#[inline(always)]
fn buffer(sock: impl Sock) -> Option<Buffer> {
    read_buffer(Registers::of_call_on(sock)?)
}

/// Where a system call puts what it reads, as far as that is one piece.
#[inline(always)]
pub fn read_buffer(registers: Registers) -> Option<Buffer> {
    let syscall = registers.syscall()?;
    let (argument_2, argument_3) = (registers.argument_2()?, registers.argument_3()?);
    if syscall == layout::NR_READ.load() || syscall == layout::NR_RECVFROM.load() {
        return Some(Buffer { base: argument_2, length: argument_3 });
    }
    let buffers = if syscall == layout::NR_READV.load() {
        argument_2
    } else if syscall == layout::NR_RECVMSG.load() {
        // SAFETY: the helper checks the address; `Message` is made of integers.
        unsafe { bpf_probe_read_user(argument_2 as *const Message) }.ok()?.buffers
    } else {
        return None;
    };
    // SAFETY: the helper checks the address; `Buffer` is made of integers.
    unsafe { bpf_probe_read_user(buffers as *const Buffer) }.ok()
}
