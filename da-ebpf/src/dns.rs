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
        MessageHeader, PORT, Query, QueryId, UNANSWERED_NS,
    },
    meter::Counter,
};

use crate::{
    layout,
    meter::{self, now_ns},
    records,
    registers::Registers,
    send_buffer::{Buffer, Message},
    sock::{AF_INET6, RawSock, Sock, TypedSock},
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

/// When a query was last sent on a socket that is not connected, ns.
#[map]
static DNS_UNCONNECTED: Array<u64> = Array::with_max_entries(1, 0);

/// What does not fit on a program's stack.
#[repr(C)]
struct Scratch {
    /// Address of the `struct sock`: what is read from memory is a number to the verifier.
    sock: u64,
    /// Not 0 where that is not connected.
    is_unconnected: u64,
    /// The address that a message on such a one goes to, in network order.
    remote_address: [u8; 16],
    /// Its family.
    remote_family: u16,
    reserved: [u16; 3],
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
        unsafe {
            ((*scratch).sock, (*scratch).is_unconnected) = (sock.key(), is_unconnected.into());
        }
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
        unsafe {
            ((*scratch).sock, (*scratch).received_bytes) = (sock.key(), bytes);
            (*scratch).is_unconnected = is_unconnected.into();
        }
        take_answer();
    }
}

/// Whether a query may wait for its answer on a socket that is not connected.
#[inline(always)]
fn asks_unconnected() -> bool {
    let Some(word) = DNS_UNCONNECTED.get_ptr(0) else { return false };
    // SAFETY: the pointer is to the array's only value; the word is read whole.
    let sent_ns = unsafe { word.read_volatile() };
    sent_ns != 0 && now_ns().saturating_sub(sent_ns) < UNANSWERED_NS
}

/// A message that is sent: where it is, and where the address that it goes to is, if it says so.
struct Sent {
    payload: Buffer,
    name: u64,
}

/// The message of that number that the current system call sends.
#[inline(always)]
fn sent_message(registers: Registers, number: u32) -> Option<Sent> {
    let syscall = registers.syscall()?;
    let (argument_2, argument_3) = (registers.argument_2()?, registers.argument_3()?);
    if syscall == layout::NR_WRITE.load() || syscall == layout::NR_SENDTO.load() {
        let name = if syscall == layout::NR_SENDTO.load() { registers.argument_5()? } else { 0 };
        return Some(Sent { payload: Buffer { base: argument_2, length: argument_3 }, name });
    }
    let (buffers, name) = if syscall == layout::NR_WRITEV.load() {
        (argument_2, 0)
    } else if syscall == layout::NR_SENDMSG.load()
        || syscall == layout::NR_SENDMMSG.load() && u64::from(number) < argument_3
    {
        let message = message_at(argument_2, number)?;
        (message.buffers, message.name)
    } else {
        return None;
    };
    // SAFETY: the helper checks the address; `Buffer` is made of integers.
    let payload = unsafe { bpf_probe_read_user(buffers as *const Buffer) }.ok()?;
    Some(Sent { payload, name })
}

/// One of several messages, or the only one.
#[inline(always)]
fn message_at(messages: u64, number: u32) -> Option<Message> {
    let address = messages + u64::from(number) * MESSAGE_OF_SEVERAL_BYTES;
    // SAFETY: the helper checks the address; `Message` is made of integers.
    unsafe { bpf_probe_read_user(address as *const Message) }.ok()
}

/// The header of a message at an address of the current process.
#[inline(always)]
fn header_at(base: u64) -> Option<MessageHeader> {
    // SAFETY: the helper checks the address.
    let header = unsafe { bpf_probe_read_user(base as *const [u8; HEADER_BYTES]) }.ok()?;
    MessageHeader::read(&header)
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
    let (sock, is_unconnected) =
        unsafe { (RawSock::from_argument((*scratch).sock), (*scratch).is_unconnected != 0) };
    let registers = Registers::current();
    if is_unconnected {
        // Where most small datagrams of others end: they go to another port.
        let Some(sent) = sent_message(registers, 0) else { return 0 };
        // SAFETY: see `scratch`.
        if !unsafe { read_remote(sent.name, scratch) } {
            return 0;
        }
    }
    if !Registers::are_of_call_on(sock) {
        return 0;
    }
    let several = registers.syscall() == Some(layout::NR_SENDMMSG.load());
    for number in 0..MAX_MESSAGES {
        let Some(sent) = sent_message(registers, number) else { return 0 };
        if let Some(header) = header_at(sent.payload.base).filter(|header| !header.answers) {
            let id = &QueryId { sock: sock.key(), number: header.number.into(), reserved: 0 };
            // SAFETY: see `scratch`.
            if unsafe { note(scratch, sock, id, &sent) } != 0 {
                return 0;
            }
        }
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

/// Notes a query; 0 where that has been done before.
///
/// # Safety
/// `scratch` is from [`scratch`].
#[inline(always)]
unsafe fn note(scratch: *mut Scratch, sock: RawSock, id: &QueryId, sent: &Sent) -> u32 {
    // SAFETY: the caller's promise; what is found is a value of the map, there as long as the program runs. The length
    // is at most that of `message`, and the helper checks the source.
    unsafe {
        let is_unconnected = (*scratch).is_unconnected != 0;
        let query = &raw mut (*scratch).query;
        let peers = &raw mut (*query).peers;
        if let Some(known) = DNS_QUERIES.get_ptr_mut(id) {
            // It was sent before: how long it takes counts from then. If it was to another server, nobody knows which
            // of them answers.
            if is_unconnected && (*known).peers.remote_address != (*scratch).remote_address {
                (*known).peers.remote_port = 0;
            }
            return 0;
        }
        sock.read_peers(peers);
        if is_unconnected {
            (*peers).family = (*scratch).remote_family;
            (*peers).remote_address = (*scratch).remote_address;
            (*peers).remote_port = PORT;
        }
        let caller = bpf_get_current_pid_tgid();
        ((*peers).pid, (*peers).thread) = ((caller >> 32) as u32, caller as u32);
        (*peers).command = Task::current().process_name();
        let sent_ns = now_ns();
        (*query).sent_ns = sent_ns;
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
        if is_unconnected && let Some(word) = DNS_UNCONNECTED.get_ptr_mut(0) {
            word.write_volatile(sent_ns);
        }
    }
    1
}

/// Reads the address that a message on a socket that is not connected goes to; whether it is a DNS server's.
///
/// # Safety
/// `scratch` is from [`scratch`].
#[inline(always)]
unsafe fn read_remote(name: u64, scratch: *mut Scratch) -> bool {
    // SAFETY: the caller's promise; the helper checks the addresses.
    unsafe {
        // Family, port, and an IPv4 address or a flow label: `struct sockaddr_in` and `sockaddr_in6`.
        let Ok(begin) = bpf_probe_read_user(name as *const [u8; 8]) else { return false };
        let [_, _, port_high, port_low, a, b, c, d] = begin;
        if u16::from_be_bytes([port_high, port_low]) != PORT {
            return false;
        }
        let family = u16::from_ne_bytes([begin[0], begin[1]]);
        (*scratch).remote_family = family;
        (*scratch).remote_address = if family == AF_INET6 {
            let Ok(address) = bpf_probe_read_user((name + 8) as *const [u8; 16]) else {
                return false;
            };
            address
        } else {
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        };
        true
    }
}

/// Where the message of that number begins that the current system call has read.
#[inline(always)]
fn received_message(registers: Registers, number: u32) -> Option<Buffer> {
    if registers.syscall() != Some(layout::NR_RECVMMSG.load()) {
        return if number == 0 { records::read_buffer(registers) } else { None };
    }
    if u64::from(number) >= registers.argument_3()? {
        return None;
    }
    let buffers = message_at(registers.argument_2()?, number)?.buffers;
    // SAFETY: the helper checks the address; `Buffer` is made of integers.
    unsafe { bpf_probe_read_user(buffers as *const Buffer) }.ok()
}

/// Reports the answer that the current system call has read from `scratch.sock`, if it is one, to a query that was
/// noted. Of a recvmmsg it is the first whose query is.
///
/// A function with a symbol of its own is verified once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn take_answer() -> u32 {
    let Some(scratch) = scratch() else { return 0 };
    // SAFETY: see `scratch`.
    let sock = RawSock::from_argument(unsafe { (*scratch).sock });
    if !Registers::are_of_call_on(sock) {
        return 0;
    }
    let registers = Registers::current();
    for number in 0..MAX_MESSAGES {
        let Some(buffer) = received_message(registers, number) else { return 0 };
        let Some(header) = header_at(buffer.base).filter(|header| header.answers) else { continue };
        let id = &QueryId { sock: sock.key(), number: header.number.into(), reserved: 0 };
        let Some(query) = DNS_QUERIES.get_ptr(id) else { continue };
        // SAFETY: see `scratch`; the query is a value of the map, there as long as the program runs.
        if unsafe { report(scratch, query, header, &buffer) } {
            // Where there is none any more, the answer came twice.
            let _ = DNS_QUERIES.remove(id);
            return 0;
        }
    }
    0
}

/// Reports the answer to a query, unless it is none: anybody may send to a socket that is not connected, and a C library
/// that has asked several servers over one goes on to wait where one does not want to say.
///
/// # Safety
/// `scratch` is from [`scratch`], and `query` points to a value of the map.
#[inline(always)]
unsafe fn report(
    scratch: *mut Scratch,
    query: *const Query,
    header: MessageHeader,
    buffer: &Buffer,
) -> bool {
    // SAFETY: the caller's promise. The length is at most that of `message`, which follows `answer` without padding, and
    // the helper checks the source.
    unsafe {
        if (*scratch).is_unconnected != 0 && !header.is_final {
            return false;
        }
        let answer = &raw mut (*scratch).answer;
        ((*answer).peers, (*answer).sent_ns) = ((*query).peers, (*query).sent_ns);
        (*answer).read_ns = now_ns();
        let received_bytes = (*scratch).received_bytes;
        let there = if received_bytes < buffer.length { received_bytes } else { buffer.length };
        let most = MAX_ANSWER_BYTES as u64;
        let bytes = if there < most { there } else { most };
        (*answer).captured_bytes = bytes;
        let message = &raw mut (*scratch).message;
        let failed =
            generated::bpf_probe_read_user(message.cast(), bytes as u32, buffer.base as *const _);
        if failed != 0 || !asks_the_same(query, message) {
            return false;
        }
        let length = size_of::<Answer>() + (bytes as usize & (2 * MAX_ANSWER_BYTES - 1));
        let entry = core::slice::from_raw_parts(answer.cast::<u8>(), length);
        if DNS_ANSWERS.output::<[u8]>(entry, BPF_RB_NO_WAKEUP.into()).is_err() {
            meter::count(Counter::DnsAnswersFull);
        }
        true
    }
}

/// Whether the questions begin alike: an answer repeats the query's. Of the shortest, `a.` and its type, there are
/// seven bytes.
///
/// # Safety
/// `query` points to a value of the map, `message` to one of the scratch space.
#[inline(always)]
unsafe fn asks_the_same(query: *const Query, message: *const [u8; MAX_ANSWER_BYTES]) -> bool {
    // SAFETY: the caller's promise; both are longer than that.
    unsafe {
        let of_query = (&raw const (*query).message).cast::<[u8; HEADER_BYTES + 7]>().read();
        let of_answer = message.cast::<[u8; HEADER_BYTES + 7]>().read();
        let mut differ = 0;
        for at in HEADER_BYTES..HEADER_BYTES + 7 {
            // Some servers change the case of letters.
            differ |= (of_query[at] ^ of_answer[at]) & !0x20;
        }
        differ == 0
    }
}
