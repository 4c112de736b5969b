//! What kernels before 6.3 have in place of the hooks of `exchange`, `arrival` and `pickup`: another
//! door to the same state machine.
//!
//! Raw tracepoints: `sys_exit(struct pt_regs *regs, long ret)`, since 4.17, in the sender, as its
//! system call returns; `tcp_probe(struct sock *sk, struct sk_buff *skb)`, since 4.16, before an
//! established socket takes a segment in, and `tcp_rcv_space_adjust(struct sock *sk)`, since 4.15,
//! after a reader took bytes out, both under the socket's lock.

use aya_ebpf::{
    helpers::bpf_probe_read_user, macros::raw_tracepoint, programs::RawTracePointContext,
};
use da_ebpf_common::{
    connection::{Connection, Progress},
    program::Program,
};

use crate::{
    arrival, exchange, latecomer, layout, meter, pickup,
    registers::Registers,
    request,
    segment::Segment,
    silent,
    sock::{RawSock, Sock},
    syscall,
    table::find,
    task::Task,
};

/// Where in a `struct mmsghdr` the kernel says how much of the message it took:
/// include/linux/socket.h, on 64 bit.
const MESSAGE_SENT: u64 = 56;

#[raw_tracepoint(tracepoint = "sys_exit")]
fn syscall_send(ctx: RawTracePointContext) -> i32 {
    let Some(run) = meter::begin(Program::SyscallSend) else { return 0 };
    let result: i64 = ctx.arg(1);
    // In the order of their cost: this runs at the end of every system call of the host.
    if result > 0
        && let Some(sent) = sent(Registers::from_argument(ctx.arg(0)), result as u64)
        && let Some(sock) = Task::current().sock(sent.descriptor)
        && let Some(connection) = find_or_adopt(&ctx, sock, sent.bytes)
    {
        // SAFETY: see `table::find`.
        unsafe {
            syscall::uses(&ctx, sock, connection);
            if request::add_unseen(sock, connection, sent.bytes) > 0 {
                request::mark_mixed(connection);
            }
        }
        exchange::send(&ctx, sock, connection, sent.bytes);
    }
    run.end();
    0
}

#[inline(always)]
fn find_or_adopt(
    ctx: &RawTracePointContext,
    sock: impl Sock,
    sent_bytes: u64,
) -> Option<*mut Connection> {
    match find(sock) {
        None if silent::adopts() => latecomer::adopt(ctx, sock, sent_bytes),
        found => found,
    }
}

/// What a system call has sent.
struct Sent {
    /// On what.
    descriptor: u64,
    /// How much.
    bytes: u64,
}

/// What the system call that returned `result` has sent, if it is one that sends; of a sendmmsg the
/// first message. sendfile, splice and io_uring keep their descriptor elsewhere.
#[inline(always)]
fn sent(registers: Registers, result: u64) -> Option<Sent> {
    let number = registers.syscall()?;
    let several = number == layout::NR_SENDMMSG.load();
    if number != layout::NR_SENDTO.load()
        && number != layout::NR_WRITE.load()
        && number != layout::NR_SENDMSG.load()
        && number != layout::NR_WRITEV.load()
        && !several
        || registers.is_32_bit()
    {
        return None;
    }
    let bytes = if several { first_message_bytes(registers)? } else { result };
    let descriptor = u64::from(registers.argument_1()? as u32);
    Some(Sent { descriptor, bytes })
}

/// A function of its own: the verifier would follow everything behind it twice.
#[inline(never)]
fn first_message_bytes(registers: Registers) -> Option<u64> {
    let address = registers.argument_2()? + MESSAGE_SENT;
    // SAFETY: the helper checks the address; what is read is an integer.
    unsafe { bpf_probe_read_user(address as *const u32) }.ok().map(u64::from)
}

#[raw_tracepoint(tracepoint = "tcp_probe")]
fn tcp_segment(ctx: RawTracePointContext) -> i32 {
    let Some(run) = meter::begin(Program::TcpSegment) else { return 0 };
    let sock = RawSock::from_argument(ctx.arg(0));
    if let Some(connection) = find(sock)
        && let Some(segment) = Segment::next_of(sock, ctx.arg(1))
    {
        arrival::arrive(sock, connection, segment.received_bytes, segment.acked_bytes);
    }
    run.end();
    0
}

#[raw_tracepoint(tracepoint = "tcp_rcv_space_adjust")]
fn tcp_read(ctx: RawTracePointContext) -> i32 {
    let Some(run) = meter::begin(Program::TcpRead) else { return 0 };
    let sock = RawSock::from_argument(ctx.arg(0));
    if let Some(connection) = find(sock) {
        // SAFETY: see `table::find`.
        unsafe { syscall::uses(&ctx, sock, connection) };
        let received_bytes = sock.payload_bytes_received();
        // SAFETY: as above.
        if received_bytes != unsafe { (*connection).received_bytes } {
            arrive_late(sock, connection, received_bytes);
        }
        pickup::receive_up_to(sock, connection);
    }
    run.end();
    0
}

/// What the kernel took in without the hook above shows here at the latest: the rest of what had come out of
/// order, all that comes once this side has closed its half, and what a skipped run has not counted. Where it
/// begins a response, nobody knows when that was.
#[inline(never)]
fn arrive_late(sock: impl Sock, connection: *mut Connection, received_bytes: u64) -> u32 {
    // SAFETY: see `table::find`; this is the receive hook.
    unsafe {
        let number = Progress::from_word((*connection).progress).request;
        if arrival::response(connection, number.into()).first_ns == 0 {
            pickup::skip_arrival(connection);
        }
    }
    arrival::arrive(sock, connection, received_bytes, sock.bytes_acked());
    0 // the verifier minds a function that returns nothing
}
