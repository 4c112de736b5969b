//! DNS queries over UDP, and their answers.
//!
//! By the hooks of `exchange` and `pickup`, since 6.3: a query is read where the process that sends it has it, an
//! answer where the process that reads it has put it. Neither carries more than names and addresses.

use aya_ebpf::{
    Global,
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_get_current_pid_tgid, bpf_probe_read_user, generated},
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};
use da_ebpf_common::{
    dns::{
        ANSWERS_BYTES, Answer, HEADER_BYTES, MAX_ANSWER_BYTES, MAX_QUERIES, MAX_QUESTION_BYTES,
        MessageHeader, PORT, Query, QueryId,
    },
    meter::Counter,
};

use crate::{
    layout,
    meter::{self, now_ns},
    records,
    registers::Registers,
    send_buffer::{Buffer, Message},
    sock::{RawSock, Sock, TypedSock},
    task::Task,
};

/// A query of one name with all that is usual behind it; longer ones to sockets that are not connected are no query.
const LONGEST_QUERY_BYTES: u64 = 512;

/// Messages of one sendmmsg that are looked at: the C library sends two, for the two kinds of address.
const MAX_MESSAGES: u32 = 4;

/// Bytes of a `struct mmsghdr`, include/linux/socket.h, on 64 bit.
const MESSAGE_OF_SEVERAL_BYTES: u64 = 64;

/// 1 where da-server wants to know of queries.
#[unsafe(no_mangle)]
static FOLLOWS_DNS: Global<u32> = Global::new(0);

/// Queries without an answer. Removed here with the answer, and by da-server when none has come for long.
#[map]
static DNS_QUERIES: HashMap<QueryId, Query> = HashMap::with_max_entries(MAX_QUERIES, 0);

/// Answers, of their own: no flood of them can cost an event of a connection.
#[map]
static DNS_ANSWERS: RingBuf = RingBuf::with_byte_size(ANSWERS_BYTES, 0);

/// Not 0 while there may be queries from sockets that are not connected. da-server takes it back.
#[map]
static DNS_UNCONNECTED: Array<u64> = Array::with_max_entries(1, 0);

/// What does not fit on a program's stack.
#[repr(C)]
struct Scratch {
    /// Address of the `struct sock`: what is read from memory is a number to the verifier.
    sock: u64,
    /// Bytes that were received.
    received_bytes: u64,
    answer: Answer,
    message: [u8; MAX_ANSWER_BYTES],
    query: Query,
}

#[map]
static DNS_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// This CPU's scratch space, the caller's alone until its program ends: both hooks run in a process, where neither can
/// interrupt the other.
#[inline(always)]
fn scratch() -> Option<*mut Scratch> {
    DNS_SCRATCH.get_ptr_mut(0)
}

/// A process has sent `bytes` on a socket that is not followed: if that is a query, it is noted.
#[inline(always)]
pub fn sent(sock: TypedSock, bytes: u64) {
    if FOLLOWS_DNS.load() == 0 || !sock.is_udp() {
        return;
    }
    let (local_port, remote_port) = sock.ports();
    let is_unconnected = remote_port == 0 && local_port != PORT && bytes <= LONGEST_QUERY_BYTES;
    if (remote_port == PORT || is_unconnected)
        && let Some(scratch) = scratch()
    {
        // SAFETY: see `scratch`.
        unsafe { (*scratch).sock = sock.key() };
        note_query();
    }
}

/// A process has read `bytes` from such a socket: if that is the answer to a query, it is reported.
#[inline(always)]
pub fn received(sock: TypedSock, bytes: u64) {
    if FOLLOWS_DNS.load() == 0 || bytes < HEADER_BYTES as u64 || !sock.is_udp() {
        return;
    }
    let (local_port, remote_port) = sock.ports();
    let is_unconnected = remote_port == 0 && local_port != PORT && asks_unconnected();
    if (remote_port == PORT || is_unconnected)
        && let Some(scratch) = scratch()
    {
        // SAFETY: see `scratch`.
        unsafe { ((*scratch).sock, (*scratch).received_bytes) = (sock.key(), bytes) };
        take_answer();
    }
}

#[inline(always)]
fn asks_unconnected() -> bool {
    let Some(word) = DNS_UNCONNECTED.get_ptr(0) else { return false };
    // SAFETY: the pointer is to the array's only value; the word is read whole.
    unsafe { word.read_volatile() != 0 }
}

/// A message that is sent: where it is, and where the address that it goes to is, if it says so.
struct Sent {
    payload: Buffer,
    name: u64,
}

/// The message of that number that the current system call sends.
#[inline(always)]
fn message(registers: Registers, number: u32) -> Option<Sent> {
    let syscall = registers.syscall()?;
    let (argument_2, argument_3) = (registers.argument_2()?, registers.argument_3()?);
    if syscall == layout::NR_WRITE.load() || syscall == layout::NR_SENDTO.load() {
        let name = if syscall == layout::NR_SENDTO.load() { registers.argument_5()? } else { 0 };
        return Some(Sent { payload: Buffer { base: argument_2, length: argument_3 }, name });
    }
    let (buffers, name) = if syscall == layout::NR_WRITEV.load() {
        (argument_2, 0)
    } else {
        if syscall != layout::NR_SENDMSG.load() && syscall != layout::NR_SENDMMSG.load() {
            return None;
        }
        let address = argument_2 + u64::from(number) * MESSAGE_OF_SEVERAL_BYTES;
        // SAFETY: the helper checks the address; `Message` is made of integers.
        let message = unsafe { bpf_probe_read_user(address as *const Message) }.ok()?;
        (message.buffers, message.name)
    };
    // SAFETY: the helper checks the address; `Buffer` is made of integers.
    let payload = unsafe { bpf_probe_read_user(buffers as *const Buffer) }.ok()?;
    Some(Sent { payload, name })
}

/// Notes the query that the current system call has sent on `scratch.sock`, if it is one. The hook runs for each
/// message of a sendmmsg, and does not say for which: it is the first that is not noted.
///
/// A function with a symbol of its own is verified once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn note_query() -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    // SAFETY: see `scratch`.
    let sock = RawSock::from_argument(unsafe { (*scratch).sock });
    let Some(registers) = Registers::of_call_on(sock) else { return 0 };
    let several = registers.syscall() == Some(layout::NR_SENDMMSG.load());
    for number in 0..MAX_MESSAGES {
        let Some(sent) = message(registers, number) else { return 0 };
        let base = sent.payload.base;
        // SAFETY: the helper checks the address.
        let Ok(header) = (unsafe { bpf_probe_read_user(base as *const [u8; HEADER_BYTES]) }) else {
            return 0;
        };
        let Some(header) = MessageHeader::read(&header).filter(|header| !header.answers) else {
            return 0;
        };
        let id = &QueryId { sock: sock.key(), number: header.number.into(), reserved: 0 };
        if DNS_QUERIES.get_ptr(id).is_none() {
            // SAFETY: see `scratch`.
            return unsafe { note(scratch, sock, id, &sent) };
        }
        // It was sent before: how long it takes counts from then.
        if !several {
            return 0;
        }
    }
    0
}

/// Keeps a query until it is answered; whether there was room.
#[inline(always)]
fn keep(id: &QueryId, query: &Query) -> bool {
    DNS_QUERIES.insert(id, query, 0).is_ok()
}

/// # Safety
/// `scratch` is from [`scratch`].
#[inline(always)]
unsafe fn note(scratch: *mut Scratch, sock: RawSock, id: &QueryId, sent: &Sent) -> u32 {
    // SAFETY: the caller's promise; the length is at most that of `message`, and the helper checks the source.
    unsafe {
        let query = &raw mut (*scratch).query;
        let peers = &raw mut (*query).peers;
        sock.read_peers(peers);
        if (*peers).remote_port == 0 && !read_remote(sent.name, scratch) {
            return 0;
        }
        let caller = bpf_get_current_pid_tgid();
        ((*peers).pid, (*peers).thread) = ((caller >> 32) as u32, caller as u32);
        (*peers).command = Task::current().process_name();
        (*query).sent_ns = now_ns();
        let most = MAX_QUESTION_BYTES as u64;
        let bytes = if sent.payload.length < most { sent.payload.length } else { most };
        (*query).bytes = bytes;
        let failed = generated::bpf_probe_read_user(
            (&raw mut (*query).message).cast(),
            bytes as u32,
            sent.payload.base as *const _,
        );
        if failed == 0 && !keep(id, &*query) {
            meter::count(Counter::DnsQueriesFull);
        }
    }
    0
}

/// Reads the address that a message on a socket that is not connected goes to; whether it is a DNS server's.
///
/// # Safety
/// `scratch` is from [`scratch`].
#[inline(always)]
unsafe fn read_remote(name: u64, scratch: *mut Scratch) -> bool {
    // SAFETY: the caller's promise; the helper checks the addresses.
    unsafe {
        let peers = &raw mut (*scratch).query.peers;
        // Family, port, and an IPv4 address or a flow label: `struct sockaddr_in` and `sockaddr_in6`.
        let Ok(begin) = bpf_probe_read_user(name as *const [u8; 8]) else { return false };
        let [_, _, port_high, port_low, a, b, c, d] = begin;
        if u16::from_be_bytes([port_high, port_low]) != PORT {
            return false;
        }
        (*peers).remote_port = PORT;
        let remote = &raw mut (*peers).remote_address;
        if u16::from_ne_bytes([begin[0], begin[1]]) == crate::sock::AF_INET6 {
            (*peers).family = crate::sock::AF_INET6;
            let Ok(address) = bpf_probe_read_user((name + 8) as *const [u8; 16]) else {
                return false;
            };
            remote.write(address);
        } else {
            remote.write([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        }
        if let Some(word) = DNS_UNCONNECTED.get_ptr_mut(0) {
            word.write_volatile(1);
        }
        true
    }
}

/// Reports the answer that the current system call has read from `scratch.sock`, if it is one, to a query that was
/// noted.
///
/// A function with a symbol of its own is verified once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn take_answer() -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    // SAFETY: see `scratch`.
    let sock = RawSock::from_argument(unsafe { (*scratch).sock });
    let Some(buffer) = records::buffer(sock) else { return 0 };
    // SAFETY: the helper checks the address.
    let Ok(header) = (unsafe { bpf_probe_read_user(buffer.base as *const [u8; HEADER_BYTES]) })
    else {
        return 0;
    };
    let Some(header) = MessageHeader::read(&header).filter(|header| header.answers) else {
        return 0;
    };
    let id = &QueryId { sock: sock.key(), number: header.number.into(), reserved: 0 };
    let Some(query) = DNS_QUERIES.get_ptr(id) else { return 0 };
    // SAFETY: see `scratch`; the query is a value of the map, there as long as the program runs. The length is at most
    // that of `message`, which follows `answer` without padding, and the helper checks the source.
    unsafe {
        let answer = &raw mut (*scratch).answer;
        ((*answer).peers, (*answer).sent_ns) = ((*query).peers, (*query).sent_ns);
        (*answer).read_ns = now_ns();
        let received_bytes = (*scratch).received_bytes;
        let there = if received_bytes < buffer.length { received_bytes } else { buffer.length };
        let most = MAX_ANSWER_BYTES as u64;
        let bytes = if there < most { there } else { most };
        (*answer).captured_bytes = bytes;
        let message = (&raw mut (*scratch).message).cast();
        if generated::bpf_probe_read_user(message, bytes as u32, buffer.base as *const _) == 0 {
            let length = size_of::<Answer>() + (bytes as usize & (2 * MAX_ANSWER_BYTES - 1));
            let entry = core::slice::from_raw_parts(answer.cast::<u8>(), length);
            if DNS_ANSWERS.output::<[u8]>(entry, BPF_RB_NO_WAKEUP.into()).is_err() {
                meter::count(Counter::DnsAnswersFull);
            }
        }
    }
    // Where there is none any more, the answer came twice.
    let _ = DNS_QUERIES.remove(id);
    0
}
