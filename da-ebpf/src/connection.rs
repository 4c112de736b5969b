//! Birth and death of a connection.
//!
//! Raw tracepoint `inet_sock_set_state`, since 4.16:
//! `(const struct sock *sk, const int oldstate, const int newstate)`.

use aya_ebpf::{
    EbpfContext, macros::map, macros::raw_tracepoint, maps::HashMap, programs::RawTracePointContext,
};
use aya_log_ebpf::{debug, warn};
use da_ebpf_common::{
    connection::{Closed, Connection, Peers, Phase},
    event::Kind,
    exchange::{Arrivals, End},
    meter::{Counter, Program},
};

use crate::{
    event, exchange,
    meter::{self, metered, now_ns},
    sock::Sock,
};

/// `enum tcp_state`, include/net/tcp_states.h.
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_CLOSE: i32 = 7;
/// `IPPROTO_TCP`; the tracepoint also speaks of SCTP and DCCP.
const IPPROTO_TCP: u16 = 6;

/// Connections followed at the moment. A plain hash, preallocated: it refuses what does not fit,
/// which is counted, where an LRU would forget in silence. da-server sets the size.
#[map]
static CONNECTIONS: HashMap<u64, Connection> = HashMap::with_max_entries(65_536, 0);

/// The record of a tracked socket.
#[inline(always)]
pub fn find(sock: Sock) -> Option<*mut Connection> {
    CONNECTIONS.get_ptr_mut(sock.key())
}

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
fn sock_state(ctx: RawTracePointContext) -> i32 {
    metered(Program::SockState, || {
        let sock = Sock::from_argument(ctx.arg(0));
        let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
        match new {
            TCP_SYN_SENT => begin(&ctx, sock),
            TCP_ESTABLISHED if old == TCP_SYN_SENT => establish(sock),
            TCP_CLOSE => end(&ctx, sock),
            _ => {}
        }
    });
    0
}

/// The connecting process is `current` here, and only here.
#[inline(never)]
fn begin(ctx: &RawTracePointContext, sock: Sock) {
    if sock.protocol() != IPPROTO_TCP {
        return;
    }
    let mut peers = Peers {
        local_address: [0; 16],
        remote_address: [0; 16],
        local_port: 0,
        remote_port: 0,
        family: 0,
        reserved: 0,
        pid: ctx.tgid(),
        reserved_2: 0,
        command: ctx.command().unwrap_or_default(),
    };
    sock.read_peers(&mut peers);
    let nothing =
        Arrivals { request: 0, first_ns: 0, last_ns: 0, early_ns: 0, early_bytes: 0, bytes: 0 };
    let connection = Connection {
        born_ns: now_ns(),
        established_ns: 0,
        peers,
        phase: Phase::Fresh as u32,
        flags: 0,
        hello_ns: 0,
        flight_ns: 0,
        tickets_until_ns: 0,
        request: 0,
        request_first_ns: 0,
        request_last_ns: 0,
        request_bytes: 0,
        sent_bytes: 0,
        received_bytes: 0,
        last_arrival_ns: 0,
        arrivals: [nothing; 2],
    };
    // Overwrites what a socket at the same address may have left: the kernel reuses addresses.
    if CONNECTIONS.insert(sock.key(), connection, 0).is_ok() {
        meter::count(Counter::Tracked);
        debug!(ctx, "tracking a connection of pid {} to port {}", peers.pid, peers.remote_port);
    } else {
        meter::count(Counter::ConnectionsFull);
        warn!(ctx, "no room to track a connection of pid {}", peers.pid);
    }
}

/// Any process may be `current`. The source port is known by now.
#[inline(always)]
fn establish(sock: Sock) {
    let Some(connection) = find(sock) else { return };
    // SAFETY: `find` returned a pointer into the map's value, which stays valid for the duration of
    // the program (RCU); before the socket is established no other hook writes the record.
    unsafe {
        (*connection).established_ns = now_ns();
        sock.read_peers(&mut (*connection).peers);
    }
}

#[inline(never)]
fn end(ctx: &RawTracePointContext, sock: Sock) {
    let Some(found) = find(sock) else { return };
    let errno = sock.error();
    // SAFETY: as in `establish`; the socket is closed, so nothing is sent or arrives any more.
    let connection = unsafe { &*found };
    exchange::finish(sock, connection, End::Closed, errno);
    event::emit(Closed {
        header: event::header::<Closed>(sock, connection, Kind::Closed),
        peers: connection.peers,
        established_ns: connection.established_ns,
        closed_ns: now_ns(),
        sent_bytes: connection.sent_bytes,
        received_bytes: connection.received_bytes,
        phase: connection.phase,
        flags: connection.flags,
        errno,
        reserved: 0,
    });
    debug!(ctx, "closed a connection of pid {}, errno {}", connection.peers.pid, errno);
    if CONNECTIONS.remove(sock.key()).is_ok() {
        meter::count(Counter::Released);
    }
}
