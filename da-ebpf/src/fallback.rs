//! What kernels before 6.3 have in place of the hooks of `exchange`, `arrival` and `pickup`: another
//! door to the same state machine.
//!
//! Raw tracepoints: `sys_exit(struct pt_regs *regs, long ret)`, since 4.17, in the sender, as its
//! system call returns; `tcp_probe(struct sock *sk, struct sk_buff *skb)`, since 4.16, before an
//! established socket takes a segment in, and `tcp_rcv_space_adjust(struct sock *sk)`, since 4.15,
//! after a reader took bytes out, both under the socket's lock.

use core::num::NonZero;

use aya_ebpf::{
    helpers::bpf_probe_read_user, macros::raw_tracepoint, programs::RawTracePointContext,
};
use da_ebpf_common::{
    connection::{Connection, Progress},
    program::Program,
};

use crate::{
    arrival, exchange, latecomer, layout, meter, pickup,
    registers::{self, Registers},
    request, run_queue,
    segment::Segment,
    silent,
    sock::{RawSock, Sock},
    syscall,
    table::find,
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
        && let Some(bytes) = NonZero::new(bytes_sent_by_call(result as u64))
        && let Some(sock) = registers::current_sock()
        && let Some(connection) = find_or_adopt(sock, bytes.get())
    {
        // SAFETY: see `table::find`.
        unsafe {
            syscall::uses(&ctx, sock, connection);
            if request::add_unseen(sock, connection, bytes.get()) > 0 {
                request::mark_mixed(connection);
            }
        }
        exchange::send(&ctx, sock, connection, bytes.get());
    }
    run.end();
    0
}

#[inline(always)]
fn find_or_adopt(sock: impl Sock, sent_bytes: u64) -> Option<*mut Connection> {
    match find(sock) {
        None if silent::adopts() => latecomer::adopt(sock, sent_bytes),
        found => found,
    }
}

/// How much the current system call, which returned `result`, has sent, if it is one that sends; of a sendmmsg the
/// first message. sendfile, splice and io_uring keep their descriptor elsewhere.
///
/// A function with a symbol of its own is verified once: the verifier would follow everything behind it once for each
/// system call.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bytes_sent_by_call(result: u64) -> u64 {
    let registers = Registers::current();
    let Some(number) = registers.syscall() else { return 0 };
    let several = number == layout::NR_SENDMMSG.load();
    if number != layout::NR_SENDTO.load()
        && number != layout::NR_WRITE.load()
        && number != layout::NR_SENDMSG.load()
        && number != layout::NR_WRITEV.load()
        && !several
        || registers.is_32_bit()
    {
        return 0;
    }
    if !several {
        return result;
    }
    let Some(messages) = registers.argument_2() else { return 0 };
    // SAFETY: the helper checks the address; what is read is an integer.
    let bytes = unsafe { bpf_probe_read_user((messages + MESSAGE_SENT) as *const u32) };
    bytes.map_or(0, u64::from)
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
        unsafe {
            syscall::uses(&ctx, sock, connection);
            run_queue::uses(connection);
        }
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
