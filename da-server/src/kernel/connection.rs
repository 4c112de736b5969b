//! Connections, from connect to close: `socket_connect_seconds`, `socket_connections_total`,
//! `socket_open_connections`, `socket_lifetime_seconds`, `socket_exchanges_per_connection`,
//! `socket_{sent,received}_bytes_total`, `socket_rtt_seconds`, `socket_retransmits_total`.

use std::time::Duration;

use da_ebpf_common::connection::{Closed, Phase, flags};
use da_ebpf_common::peers::Peers;
use serde::Deserialize;

use super::endpoints::learned::Place;
use super::peers::addresses;
use super::series::family::{
    DetailCounter, EndpointCounter, EndpointDistribution, EndpointGauge, EndpointHistogram,
};
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// What became of a connection: label value of `socket_connections_total{outcome}`. Each connection
/// counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionOutcome {
    /// Ready for requests: connected, and the TLS handshake, if there is one, done.
    Ok,
    /// Connected, but closed before the TLS handshake was done.
    TlsFailed,
    /// Connected and closed again before anything was sent.
    Unused,
    /// Not connected: ECONNREFUSED.
    Refused,
    /// Not connected: ETIMEDOUT.
    TimedOut,
    /// Not connected: the network said EHOSTUNREACH or ENETUNREACH. Where the host itself has no
    /// route no connection is begun, and none counted.
    Unreachable,
    /// Not connected: EADDRNOTAVAIL, all local ports to that address were taken.
    NoLocalPort,
    /// Not connected: the client gave up while connecting.
    Cancelled,
    /// Not connected: any other errno.
    Failed,
}

impl ConnectionOutcome {
    /// Every value.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::TlsFailed,
        Self::Unused,
        Self::Refused,
        Self::TimedOut,
        Self::Unreachable,
        Self::NoLocalPort,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TlsFailed => "tls_failed",
            Self::Unused => "unused",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::NoLocalPort => "no_local_port",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Outcome of a connection that closed before it was ready for requests; `None` if it was.
    pub fn of(closed: &Closed) -> Option<Self> {
        if closed.established_ns == 0 {
            return Some(match i32::try_from(closed.errno).unwrap_or(i32::MAX) {
                0 if closed.flags & flags::NO_LOCAL_PORT != 0 => Self::NoLocalPort,
                0 => Self::Cancelled,
                libc::ECONNREFUSED => Self::Refused,
                libc::ETIMEDOUT => Self::TimedOut,
                libc::EHOSTUNREACH | libc::ENETUNREACH => Self::Unreachable,
                _ => Self::Failed,
            });
        }
        match closed.phase {
            phase if phase == Phase::Open as u32 => None,
            // Requests may have been sent in it, but where it ended its handshake was not seen.
            _ if closed.flags & flags::TLS_UNDER_WAY != 0 => None,
            _ if closed.flags & flags::TLS != 0 => Some(Self::TlsFailed),
            _ if has_talked_unheard(closed) => None,
            _ => Some(Self::Unused),
        }
    }
}

/// Whether what a connection has sent is known by the number of its bytes alone.
pub fn has_talked_unheard(closed: &Closed) -> bool {
    const UNHEARD: u32 = flags::UNSEEN_SEND | flags::FIRST_BYTES_LOST;
    closed.phase == Phase::Fresh as u32 && closed.sent_bytes > 0 && closed.flags & UNHEARD != 0
}

/// When a connection was established; none if it never was, or nobody saw it.
pub fn established_ns(connection_flags: u32, established_ns: u64) -> Option<u64> {
    let seen = established_ns != 0 && connection_flags & flags::UNSEEN_CONNECT == 0;
    seen.then_some(established_ns)
}

/// Where a connection leads.
pub fn place(peers: &Peers) -> Place {
    Place { network: peers.network, address: addresses(peers).1 }
}

/// What the kernel counts since the connect.
#[derive(Debug, Clone, Copy, Default)]
pub struct Totals {
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Segments sent again.
    pub retransmits: u64,
}

impl Totals {
    /// Takes new totals over, and returns what they add to the old ones.
    pub fn advance(&mut self, to: Self) -> Self {
        let advance = |from: &mut u64, to: u64| {
            let added = to.saturating_sub(*from);
            *from += added;
            added
        };
        Self {
            sent_bytes: advance(&mut self.sent_bytes, to.sent_bytes),
            received_bytes: advance(&mut self.received_bytes, to.received_bytes),
            retransmits: advance(&mut self.retransmits, to.retransmits),
        }
    }
}

/// Edges of `socket_lifetime_seconds`: connections are kept for a call, or for hours.
const LIFETIME_SECONDS: &[f64] =
    &[0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 21_600.0];

/// Edges of `socket_exchanges_per_connection`: 0 is wasted, 1 is not reused.
const EXCHANGES: &[f64] = &[0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1_000.0];

/// The families of this module.
#[derive(Debug)]
pub struct ConnectionMetrics {
    connect_seconds: EndpointHistogram,
    connections_total: DetailCounter,
    open_connections: EndpointGauge,
    lifetime_seconds: EndpointDistribution,
    exchanges_per_connection: EndpointDistribution,
    sent_bytes_total: EndpointCounter,
    received_bytes_total: EndpointCounter,
    rtt_seconds: EndpointHistogram,
    retransmits_total: EndpointCounter,
}

impl ConnectionMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: SocketRegistry<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            connect_seconds: EndpointHistogram::register(
                registry,
                "socket_connect_seconds",
                "TCP connect: SYN_SENT to ESTABLISHED. Established connections only.",
            )?,
            connections_total: DetailCounter::register(
                registry,
                "socket_connections_total",
                "Outbound connections by what became of them; each counts once.",
                "outcome",
            )?,
            open_connections: EndpointGauge::register(
                registry,
                "socket_open_connections",
                "Connections on which something has been sent and which are not closed.",
            )?,
            lifetime_seconds: EndpointDistribution::register(
                registry,
                "socket_lifetime_seconds",
                "ESTABLISHED to CLOSE, of connections that have closed.",
                LIFETIME_SECONDS,
            )?,
            exchanges_per_connection: EndpointDistribution::register(
                registry,
                "socket_exchanges_per_connection",
                "Requests that an established connection had carried when it closed.",
                EXCHANGES,
            )?,
            sent_bytes_total: EndpointCounter::register(
                registry,
                "socket_sent_bytes_total",
                "Payload bytes handed to the kernel, TLS records included.",
            )?,
            received_bytes_total: EndpointCounter::register(
                registry,
                "socket_received_bytes_total",
                "Payload bytes that arrived, TLS records included.",
            )?,
            rtt_seconds: EndpointHistogram::register(
                registry,
                "socket_rtt_seconds",
                "Round-trip time as the kernel smooths it (srtt), taken when an exchange is reported.",
            )?,
            retransmits_total: EndpointCounter::register(
                registry,
                "socket_retransmits_total",
                "TCP segments sent again, SYNs included.",
            )?,
        })
    }

    /// A connect took this long, ns.
    pub fn connected(&mut self, id: SeriesId, labels: &SeriesLabels, connect_ns: u64) {
        self.connect_seconds.observe_ns(id, labels, connect_ns);
    }

    /// There is a first connection: its series are there before one fails, so that a rate sees that.
    pub fn began(&mut self, id: SeriesId, labels: &SeriesLabels) {
        for outcome in ConnectionOutcome::ALL {
            self.connections_total.add(id, labels, outcome.as_str(), 0);
        }
    }

    /// What became of a connection is known.
    pub fn ended_up(&mut self, id: SeriesId, labels: &SeriesLabels, outcome: ConnectionOutcome) {
        self.connections_total.count(id, labels, outcome.as_str());
    }

    /// The endpoint has that many open connections more, or less.
    pub fn opened(&mut self, id: SeriesId, labels: &SeriesLabels, change: i64) {
        self.open_connections.add(id, labels, change);
    }

    /// A connection is gone that carried that many exchanges; none where it doesn't show.
    pub fn closed(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        closed: &Closed,
        exchanges: Option<u64>,
    ) {
        if let Some(established_ns) = established_ns(closed.flags, closed.established_ns) {
            let lifetime_ns = closed.closed_ns.saturating_sub(established_ns);
            let lifetime_seconds = Duration::from_nanos(lifetime_ns).as_secs_f64();
            self.lifetime_seconds.observe(id, labels, lifetime_seconds);
        }
        if closed.established_ns != 0
            && let Some(exchanges) = exchanges
        {
            self.exchanges_per_connection.observe(id, labels, exchanges as f64);
        }
    }

    /// What was transferred since the last event of the connection.
    pub fn advanced(&mut self, id: SeriesId, labels: &SeriesLabels, added: Totals) {
        self.sent_bytes_total.add(id, labels, added.sent_bytes);
        self.received_bytes_total.add(id, labels, added.received_bytes);
        self.retransmits_total.add(id, labels, added.retransmits);
    }

    /// `tcp_sock.srtt_us`, in eighths of a µs; 0 where the kernel has none.
    pub fn round_trip(&mut self, id: SeriesId, labels: &SeriesLabels, srtt_eighths_us: u32) {
        if srtt_eighths_us != 0 {
            self.rtt_seconds.observe_ns(id, labels, u64::from(srtt_eighths_us) * 125);
        }
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.connect_seconds.forget(id);
        self.connections_total.forget(id, labels);
        self.open_connections.forget(id, labels);
        self.lifetime_seconds.forget(id, labels);
        self.exchanges_per_connection.forget(id, labels);
        self.sent_bytes_total.forget(id, labels);
        self.received_bytes_total.forget(id, labels);
        self.rtt_seconds.forget(id);
        self.retransmits_total.forget(id, labels);
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn outcomes_of_what_closed_early() {
        let mut closed = Closed::new_zeroed();
        closed.errno = libc::ECONNREFUSED as u32;
        assert_eq!(ConnectionOutcome::of(&closed), Some(ConnectionOutcome::Refused));
        closed.errno = 0;
        assert_eq!(ConnectionOutcome::of(&closed), Some(ConnectionOutcome::Cancelled));
        closed.flags = flags::NO_LOCAL_PORT;
        assert_eq!(ConnectionOutcome::of(&closed), Some(ConnectionOutcome::NoLocalPort));
        (closed.flags, closed.established_ns) = (0, 1);
        assert_eq!(ConnectionOutcome::of(&closed), Some(ConnectionOutcome::Unused));
        (closed.flags, closed.sent_bytes) = (flags::UNSEEN_SEND, 100);
        assert_eq!(ConnectionOutcome::of(&closed), None, "it was used, where nobody could see it");
        closed.flags = 0;
        assert_eq!(ConnectionOutcome::of(&closed), Some(ConnectionOutcome::Unused), "a CONNECT");
        closed.phase = Phase::Handshake as u32;
        closed.flags = flags::TLS;
        assert_eq!(ConnectionOutcome::of(&closed), Some(ConnectionOutcome::TlsFailed));
        closed.phase = Phase::Open as u32;
        assert_eq!(ConnectionOutcome::of(&closed), None);
    }

    #[test]
    fn totals_only_rise() {
        let mut totals = Totals::default();
        let seen = Totals { sent_bytes: 10, received_bytes: 20, retransmits: 1 };
        assert_eq!(totals.advance(seen).sent_bytes, 10);
        let added = totals.advance(Totals { sent_bytes: 15, received_bytes: 5, retransmits: 0 });
        assert_eq!((added.sent_bytes, added.received_bytes, added.retransmits), (5, 0, 0));
        assert_eq!((totals.sent_bytes, totals.received_bytes, totals.retransmits), (15, 20, 1));
    }
}
