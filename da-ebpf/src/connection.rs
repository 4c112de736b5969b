//! Birth and death of a connection.
//!
//! BTF tracepoint `inet_sock_set_state`, since 4.16:
//! `(const struct sock *sk, const int oldstate, const int newstate)`.

use aya_ebpf::{
    EbpfContext,
    macros::{btf_tracepoint, map},
    maps::Array,
    programs::BtfTracePointContext,
};
use aya_log_ebpf::debug;
use da_ebpf_common::{
    connection::{Closed, Connection, Ending, flags},
    event::Kind,
    exchange::End,
    meter::Counter,
    program::Program,
};

use crate::{
    arrival, event, exchange,
    meter::{self, now_ns},
    pickup, request, silent,
    sizes::is_close_alert,
    sock::{Sock, TypedSock},
    syscall,
    table::{establish_unseen, find, insert, is_of, release},
    task::Task,
};

/// `enum tcp_state`, include/net/tcp_states.h.
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_FIN_WAIT1: i32 = 4;
const TCP_CLOSE: i32 = 7;
const TCP_CLOSE_WAIT: i32 = 8;
const TCP_LAST_ACK: i32 = 9;
/// A record of zeroes, to begin with: it would not fit on a program's stack.
#[map]
static BLANK: Array<Connection> = Array::with_max_entries(1, 0);

#[btf_tracepoint(function = "inet_sock_set_state")]
fn sock_state(ctx: BtfTracePointContext) -> i32 {
    let Some(run) = meter::begin(Program::SockState) else { return 0 };
    if let Some(sock) = TypedSock::of_tcp(ctx.arg(0)) {
        let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
        match new {
            TCP_SYN_SENT => begin(&ctx, sock),
            TCP_ESTABLISHED if old == TCP_SYN_SENT => establish(sock),
            TCP_ESTABLISHED => accept(sock),
            TCP_CLOSE => end(&ctx, sock, old),
            TCP_FIN_WAIT1 if old == TCP_ESTABLISHED => half_close(sock, false),
            TCP_CLOSE_WAIT if old == TCP_ESTABLISHED => half_close(sock, true),
            _ => {}
        }
    }
    run.end();
    0
}

/// The connecting process is `current` here, and only here.
#[inline(never)]
fn begin(ctx: &BtfTracePointContext, sock: impl Sock) {
    let Some(blank) = BLANK.get(0) else { return };
    // What a socket at the same address may have left: the kernel reuses addresses.
    let leftover = find(sock);
    // SAFETY: see `find`.
    let leftover_silent = leftover.is_some_and(|record| unsafe { (*record).sent_bytes } == 0);
    if leftover.is_none() && silent::is_full() {
        silent::adopt_from_now_on();
        meter::count(Counter::SilentFull);
        return;
    }
    if !insert(sock, blank) {
        // No more than that: whoever can connect could fill the log.
        silent::adopt_from_now_on();
        meter::count(Counter::ConnectionsFull);
        debug!(ctx, "no room to track a connection of pid {}", ctx.tgid());
        return;
    }
    meter::count(if leftover.is_some() { Counter::UnseenClose } else { Counter::Tracked });
    if !leftover_silent {
        silent::begins();
    }
    let Some(connection) = find(sock) else { return };
    // SAFETY: see `find`.
    unsafe {
        (*connection).born_ns = now_ns();
        (*connection).sock = sock.key();
        (*connection).peers.pid = ctx.tgid();
        (*connection).peers.thread = ctx.pid();
        (*connection).peers.command = Task::current().process_name();
        sock.read_peers(&raw mut (*connection).peers);
        syscall::connecting(ctx, sock, connection);
        debug!(
            ctx,
            "tracking a connection of pid {} to port {}",
            ctx.tgid(),
            (*connection).peers.remote_port
        );
    }
}

/// Any process may be `current`. The source port is known by now.
#[inline(always)]
fn establish(sock: impl Sock) {
    let Some(connection) = find(sock) else { return };
    // SAFETY: see `find`.
    unsafe {
        if (*connection).flags & flags::PRE_EXISTING == 0 {
            (*connection).established_ns = now_ns();
        }
        (*connection).first_sequence = sock.copied_sequence();
        sock.read_peers(&raw mut (*connection).peers);
    }
}

/// One side has closed its half, and the other one has not.
#[inline(always)]
fn half_close(sock: impl Sock, by_peer: bool) {
    let Some(connection) = find(sock) else { return };
    // SAFETY: see `find`.
    unsafe {
        (*connection).half_closed_by_peer = by_peer.into();
        (*connection).half_closed_ns = now_ns();
    }
}

/// A connection that another side has begun: it is not followed, but its socket may have been that of
/// one whose CLOSE was skipped. Where both sides have begun it, the record is its own.
#[inline(always)]
fn accept(sock: impl Sock) {
    let Some(connection) = find(sock) else { return };
    // SAFETY: see `find`.
    if !unsafe { is_of(connection, sock) } {
        release(sock);
        meter::count(Counter::UnseenClose);
    }
}

/// What one step finds out goes to the next through memory: there the verifier forgets how it came about,
/// where values in registers would have it follow every combination of them to the end.
#[inline(never)]
fn end(ctx: &BtfTracePointContext, sock: impl Sock, from: i32) {
    let Some(connection) = find(sock) else { return };
    // SAFETY: see `find`.
    unsafe {
        // The socket's state is still the one before.
        establish_unseen(sock, connection);
        // A segment that brings the last bytes and the FIN can close the socket before it is said to
        // have arrived.
        arrive_at_last(sock, connection);
        note_ending(sock, connection, from);
        exchange::settle_unseen(sock, connection);
        let ending = (&raw const (*connection).ending).read_volatile();
        request::finish(sock, connection, ending.how, ending.errno);
        report(sock, connection);
        debug!(
            ctx,
            "closed a connection of pid {}, errno {}",
            (*connection).peers.pid,
            ending.errno
        );
    }
    release(sock);
}

/// A function of its own for the verifier: see [`end`].
///
/// # Safety
/// `connection` is from [`find`], and the caller runs in the state hook, at CLOSE.
#[inline(never)]
unsafe fn arrive_at_last(sock: impl Sock, connection: *mut Connection) -> u32 {
    arrival::arrive(sock, connection, sock.payload_bytes_received(), sock.bytes_acked());
    0
}

/// Notes how the connection ends, which was in the state `from`.
///
/// # Safety
/// As for [`arrive_at_last`].
#[inline(never)]
unsafe fn note_ending(sock: impl Sock, connection: *mut Connection, from: i32) -> u32 {
    let error = sock.error();
    // Once one side has said that it is done, what goes wrong no longer breaks an exchange: a reset
    // is then the answer to a close alert that found nobody.
    let broke_off = from == TCP_ESTABLISHED || from == TCP_SYN_SENT;
    let errno = if broke_off { error } else { 0 };
    // Whoever closes with data unread sends a reset, but only once the state says CLOSE.
    let open = from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT;
    let reset = if open && error == 0 { flags::RESET_SENT } else { 0 };
    // Not closed by the client, nor refused by the network: the SYN was never sent. (Whether there is a
    // port does not tell: one that the kernel had chosen is given back before it says CLOSE.)
    let unsent = from == TCP_SYN_SENT && error == 0 && !sock.is_shut_down();
    let no_port = if unsent && sock.segments_sent() == 0 { flags::NO_LOCAL_PORT } else { 0 };
    // SAFETY: the caller's promise.
    unsafe {
        // Not aborted: all that was left unread is that the server takes leave as well.
        let unread_bytes = pickup::unread_bytes(sock, connection);
        let in_order = is_close_alert((*connection).flags, unread_bytes.into());
        let aborted = broke_off && errno == 0 && !in_order;
        let how = match from {
            _ if aborted => End::Aborted,
            TCP_CLOSE_WAIT | TCP_LAST_ACK => End::ClosedByPeer,
            _ => End::Closed,
        };
        let by_peer = if how == End::ClosedByPeer { flags::CLOSED_BY_PEER } else { 0 };
        (*connection).ending =
            Ending { how: how as u32, errno, flags: reset | no_port | by_peer, reserved: 0 };
    }
    0
}

/// A function of its own for the stack: see `request::finish`.
///
/// # Safety
/// `connection` is from [`find`].
#[inline(never)]
unsafe fn report(sock: impl Sock, connection: *const Connection) -> u32 {
    // SAFETY: the caller's promise.
    unsafe {
        event::emit(|| Closed {
            header: event::header::<Closed>(sock, connection, Kind::Closed),
            peers: (*connection).peers,
            established_ns: (*connection).established_ns,
            half_closed_ns: (*connection).half_closed_ns,
            closed_ns: now_ns(),
            sent_bytes: (*connection).sent_bytes,
            received_bytes: (*connection).received_bytes,
            phase: (*connection).phase,
            flags: (*connection).flags | (*connection).resets | (*connection).ending.flags,
            errno: (*connection).ending.errno,
            retransmits: sock.retransmits(),
        });
    }
    0
}
