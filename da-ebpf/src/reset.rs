//! Connections that are broken off.
//!
//! Raw tracepoints, since 4.15: `tcp_receive_reset(struct sock *sk)`, before the socket closes;
//! `tcp_send_reset(const struct sock *sk, const struct sk_buff *skb, …)`, where the socket may be
//! closed already, or be none.
//!
//! Both are called under the lock of the socket they are about, so for one connection never at the
//! same time. Resets sent without it are for time-wait sockets, for accepted ones, or for none: no
//! record is found then.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use da_ebpf_common::{connection::flags, program::Program};

use crate::{meter, sock::RawSock, table::find};

#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
fn reset_received(ctx: RawTracePointContext) -> i32 {
    note(&ctx, Program::ResetReceived, flags::RESET_RECEIVED)
}

#[raw_tracepoint(tracepoint = "tcp_send_reset")]
fn reset_sent(ctx: RawTracePointContext) -> i32 {
    note(&ctx, Program::ResetSent, flags::RESET_SENT)
}

#[inline(always)]
fn note(ctx: &RawTracePointContext, program: Program, reset: u32) -> i32 {
    let Some(run) = meter::begin(program) else { return 0 };
    if let Some(connection) = find(RawSock::from_argument(ctx.arg(0))) {
        // SAFETY: see `table::find`.
        unsafe { (*connection).resets |= reset };
    }
    run.end();
    0
}
