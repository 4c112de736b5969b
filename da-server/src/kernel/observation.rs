//! What the kernel view tells the rest of the program, connection by connection.

use std::net::SocketAddr;
use std::sync::Arc;

use da_ebpf_common::event::ConnectionId;

use super::connection::ConnectionOutcome;
use super::dns::resolutions::Resolved;
use super::endpoints::catalogue::EndpointKind;
use super::exchange::Measured;
use super::long_gap::SeenGaps;
use super::tls::HandshakeKind;

/// One thing that happened on one connection. Times are ns of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The connection.
    pub connection: ConnectionId,
    /// The endpoint it is attributed to.
    pub endpoint: String,
    /// That endpoint's kind.
    pub kind: EndpointKind,
    /// Process that connected.
    pub pid: u32,
    /// Its thread that did. Both as the initial PID namespace names them.
    pub thread: u32,
    /// That process's name, at most 15 bytes.
    pub process: String,
    /// The workload it belongs to, if that is known: a pod, a container or a systemd unit.
    pub workload: Option<Arc<str>>,
    /// Local address; port 0 where the connect failed.
    pub local: SocketAddr,
    /// Remote address.
    pub remote: SocketAddr,
    /// What happened.
    pub what: What,
}

/// See [`Observation`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Its process had the host looked up right before, and has waited for that.
    Resolved(Resolved),
    /// Connected, and now known whose connection it is.
    Connected {
        /// SYN_SENT.
        from_ns: u64,
        /// ESTABLISHED.
        to_ns: u64,
    },
    /// The TLS handshake is done.
    HandshakeDone {
        /// ClientHello sent.
        from_ns: u64,
        /// Done.
        to_ns: u64,
        /// How.
        kind: HandshakeKind,
    },
    /// What became of the connection is known.
    EndedUp(ConnectionOutcome),
    /// A request and its response are over.
    Exchange(Box<SeenExchange>),
    /// The connection is gone.
    Closed {
        /// CLOSE.
        at_ns: u64,
        /// ESTABLISHED; none if it never was.
        established_ns: Option<u64>,
        /// Payload bytes sent.
        sent_bytes: u64,
        /// Payload bytes received.
        received_bytes: u64,
    },
}

/// A request and its response, as the kernel saw them. Times are ns of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenExchange {
    /// Number on its connection, from 1, rising.
    pub number: u64,
    /// When the first send of the request returned.
    pub request_first_ns: u64,
    /// Thread of the first send; 0 where no hook saw it.
    pub request_thread: u32,
    /// When its last send returned.
    pub request_last_ns: u64,
    /// Bytes of the request, TLS records included.
    pub request_bytes: u64,
    /// Bytes of the response, TLS records included.
    pub response_bytes: u64,
    /// The response's first arrivals, up to eight; where it is doubtful which of them are its own,
    /// all that there were.
    pub arrivals_ns: Vec<u64>,
    /// The last arrival of all, if anything arrived.
    pub last_arrival_ns: Option<u64>,
    /// It is the first on its connection, which was followed from the start.
    pub is_first: bool,
    /// For how long nothing had come over the connection when the request was sent; none where no exchange came
    /// before, or nothing is known of it.
    pub idle_before_ns: Option<u64>,
    /// The kernel's smoothed round-trip time; none where it had none yet.
    pub rtt_ns: Option<u64>,
    /// The least round-trip time of the last minutes; none where it had none yet.
    pub least_rtt_ns: Option<u64>,
    /// Segments sent again since the exchange before, or the connect.
    pub retransmits: u64,
    /// The first time that something had waited to be read; none where nothing was read, or the
    /// reads could not be seen.
    pub first_pickup: Option<Pickup>,
    /// For how long of all such waits the reading thread was ready to run and waited for a CPU, ns; none where that is
    /// not known of any.
    pub run_delay_ns: Option<u64>,
    /// How long the other side could send nothing because nobody read, ns: the receive window was
    /// used up.
    pub window_closed_ns: u64,
    /// Long gaps between arrivals of the response, if there were any and it is known when that began.
    pub long_gaps: Option<Box<SeenGaps>>,
    /// It is known to be HTTP/1.
    pub is_http1: bool,
    /// The response came in bursts: something on the way holds the stream back.
    pub is_buffered: bool,
    /// Outcome and times.
    pub measured: Measured,
}

/// A read of something that had waited for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pickup {
    /// When the read returned.
    pub read_ns: u64,
    /// How long the oldest byte it took had been at the socket, ns.
    pub waited_ns: u64,
}
