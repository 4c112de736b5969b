//! What the kernel saw of the connection an attempt ran on.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::kernel::{GapCause, HandshakeKind, SeenExchange, SeenGap};

/// The socket of one attempt. Times are ns from the attempt's beginning; what came before it (on a
/// reused connection) is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Local address; port 0 where the connect failed.
    pub local: SocketAddr,
    /// Remote address.
    pub remote: SocketAddr,
    /// Who answered when its host was looked up right before it was opened; none where that was not seen, or the host
    /// was known.
    #[serde(default)]
    pub resolver: Option<SocketAddr>,
    /// How the TLS handshake went, also that of a reused connection; none without TLS, or where its
    /// end was not seen.
    pub tls: Option<HandshakeKind>,
    /// The attempt's number on its connection, from 1; none if no request was sent.
    pub exchange: Option<u64>,
    /// For how long nothing had come over its connection when its request was sent; none where it was the first
    /// request, or that is not known.
    pub idle_before_ns: Option<u64>,
    /// Bytes of the request, TLS records included.
    pub request_bytes: u64,
    /// Bytes of the response, TLS records included.
    pub response_bytes: u64,
    /// The response's first arrivals at the socket, up to eight.
    pub arrivals_ns: Vec<u64>,
    /// Its last one.
    pub last_arrival_ns: Option<u64>,
    /// The first time that something had waited to be read.
    pub first_wait: Option<Wait>,
    /// The kernel's smoothed round-trip time at the end; none where it had none.
    pub rtt_ns: Option<u64>,
    /// The least round-trip time of the last minutes before that; none where it had none.
    #[serde(default)]
    pub least_rtt_ns: Option<u64>,
    /// For how long the thread that read was ready to run, waited for a CPU, and something waited to be read; none
    /// where that is not known.
    #[serde(default)]
    pub run_delay_ns: Option<u64>,
    /// Segments sent again during the attempt.
    pub retransmits: u64,
    /// How long the provider could send nothing because the application did not read: the receive
    /// window was used up.
    pub window_closed_ns: u64,
    /// The response came in bursts: something on the way, or the provider, holds the stream back.
    #[serde(default)]
    pub is_buffered: bool,
    /// Long gaps between arrivals of the response: the first few and the longest, in order.
    #[serde(default)]
    pub long_gaps: Vec<Gap>,
    /// All long gaps of each cause together, ns; a cause of none is left out.
    #[serde(default)]
    pub long_gaps_ns: BTreeMap<GapCause, u64>,
}

/// A long gap between two arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The arrival before it, ns from the attempt's beginning.
    pub from_ns: u64,
    /// The arrival after it.
    pub to_ns: u64,
    /// What caused it.
    pub cause: GapCause,
}

/// A read of something that had waited for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// When the read returned, ns from the attempt's beginning.
    pub read_ns: u64,
    /// How long the oldest byte it took had been at the socket, ns.
    pub waited_ns: u64,
}

impl Socket {
    /// That of an attempt which began at `began_ns`, between a local and a remote address; without an exchange if no
    /// request was sent.
    pub(super) fn of(
        (local, remote): (SocketAddr, SocketAddr),
        tls: Option<HandshakeKind>,
        exchange: Option<&SeenExchange>,
        began_ns: u64,
    ) -> Self {
        let since = |at_ns: u64| at_ns.checked_sub(began_ns);
        let gaps = exchange.and_then(|exchange| exchange.long_gaps.as_deref());
        let arrivals_ns = exchange.map_or(&[][..], |exchange| &exchange.arrivals_ns);
        Self {
            local,
            remote,
            resolver: None,
            tls,
            exchange: exchange.map(|exchange| exchange.number),
            idle_before_ns: exchange.and_then(|exchange| exchange.idle_before_ns),
            request_bytes: exchange.map_or(0, |exchange| exchange.request_bytes),
            response_bytes: exchange.map_or(0, |exchange| exchange.response_bytes),
            arrivals_ns: arrivals_ns.iter().copied().filter_map(since).collect(),
            last_arrival_ns: exchange.and_then(|exchange| since(exchange.last_arrival_ns?)),
            first_wait: exchange.and_then(|exchange| exchange.first_pickup).and_then(|pickup| {
                Some(Wait { read_ns: since(pickup.read_ns)?, waited_ns: pickup.waited_ns })
            }),
            rtt_ns: exchange.and_then(|exchange| exchange.rtt_ns),
            least_rtt_ns: exchange.and_then(|exchange| exchange.least_rtt_ns),
            run_delay_ns: exchange.and_then(|exchange| exchange.run_delay_ns),
            retransmits: exchange.map_or(0, |exchange| exchange.retransmits),
            window_closed_ns: exchange.map_or(0, |exchange| exchange.window_closed_ns),
            is_buffered: exchange.is_some_and(|exchange| exchange.is_buffered),
            long_gaps: gaps.map_or_else(Vec::new, |gaps| {
                let gap = |gap: &SeenGap| {
                    let (from_ns, to_ns) = (since(gap.from_ns)?, since(gap.to_ns)?);
                    Some(Gap { from_ns, to_ns, cause: gap.cause })
                };
                gaps.kept.iter().filter_map(gap).collect()
            }),
            long_gaps_ns: gaps.map_or_else(BTreeMap::new, |gaps| {
                let all = GapCause::ALL.into_iter().zip(gaps.sums_ns);
                all.filter(|(_, ns)| *ns > 0).collect()
            }),
        }
    }
}
