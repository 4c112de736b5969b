//! Connects, and how connections ended up: `socket_connect_seconds`, `socket_connections_total`,
//! `socket_{sent,received}_bytes_total`.

use std::net::{IpAddr, SocketAddr};

use da_ebpf_common::connection::{Closed, Peers, Phase, flags};
use prometheus::Registry;

use super::endpoints::{EndpointId, EndpointLabels};
use super::family::{EndpointCounter, EndpointHistogram, OutcomeCounter};

/// What became of a connection: label value of `socket_connections_total{outcome}`. Each connection
/// counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
    /// Not connected: the client gave up while connecting.
    Cancelled,
    /// Not connected: any other errno.
    Failed,
}

impl ConnectionOutcome {
    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::TlsFailed => "tls_failed",
            Self::Unused => "unused",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Outcome of a connection that closed before it was ready for requests; `None` if it was.
    pub fn of(closed: &Closed) -> Option<Self> {
        if closed.established_ns == 0 {
            return Some(match i32::try_from(closed.errno).unwrap_or(i32::MAX) {
                0 => Self::Cancelled,
                libc::ECONNREFUSED => Self::Refused,
                libc::ETIMEDOUT => Self::TimedOut,
                libc::EHOSTUNREACH | libc::ENETUNREACH => Self::Unreachable,
                _ => Self::Failed,
            });
        }
        match closed.phase {
            phase if phase == Phase::Open as u32 => None,
            _ if closed.flags & flags::TLS != 0 => Some(Self::TlsFailed),
            _ => Some(Self::Unused),
        }
    }
}

/// Local and remote address of a connection; v4-mapped addresses come out as IPv4.
pub fn addresses(peers: &Peers) -> (SocketAddr, SocketAddr) {
    let address = |bytes: [u8; 16]| -> IpAddr {
        if i32::from(peers.family) == libc::AF_INET6 {
            IpAddr::from(bytes).to_canonical()
        } else {
            IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]])
        }
    };
    (
        SocketAddr::new(address(peers.local_address), peers.local_port),
        SocketAddr::new(address(peers.remote_address), peers.remote_port),
    )
}

/// Name of the connecting process; what is not UTF-8 in it is replaced.
pub fn process_name(peers: &Peers) -> String {
    let name = peers.command.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// The families of this room.
#[derive(Debug)]
pub struct ConnectionMetrics {
    connect_seconds: EndpointHistogram,
    connections_total: OutcomeCounter,
    sent_bytes_total: EndpointCounter,
    received_bytes_total: EndpointCounter,
}

impl ConnectionMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            connect_seconds: EndpointHistogram::register(
                registry,
                "socket_connect_seconds",
                "TCP connect: SYN_SENT to ESTABLISHED. Established connections only.",
            )?,
            connections_total: OutcomeCounter::register(
                registry,
                "socket_connections_total",
                "Outbound connections by what became of them; each counts once.",
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
        })
    }

    /// A connect took this long, ns.
    pub fn connected(&mut self, id: EndpointId, labels: &EndpointLabels, connect_ns: u64) {
        self.connect_seconds.observe_ns(id, labels, connect_ns);
    }

    /// What became of a connection is known.
    pub fn ended_up(
        &mut self,
        id: EndpointId,
        labels: &EndpointLabels,
        outcome: ConnectionOutcome,
    ) {
        self.connections_total.count(id, labels, outcome.as_str());
    }

    /// Bytes since the last event of the connection.
    pub fn transferred(
        &mut self,
        id: EndpointId,
        labels: &EndpointLabels,
        sent_bytes: u64,
        received_bytes: u64,
    ) {
        self.sent_bytes_total.add(id, labels, sent_bytes);
        self.received_bytes_total.add(id, labels, received_bytes);
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn v4_mapped_addresses_are_v4() {
        let mut peers = Peers::new_zeroed();
        peers.family = libc::AF_INET6 as u16;
        peers.remote_address = std::net::Ipv4Addr::new(127, 0, 0, 2).to_ipv6_mapped().octets();
        peers.remote_port = 443;
        assert_eq!(addresses(&peers).1, "127.0.0.2:443".parse().expect("address"));
        peers.family = libc::AF_INET as u16;
        peers.remote_address[..4].copy_from_slice(&[10, 0, 0, 1]);
        assert_eq!(addresses(&peers).1, "10.0.0.1:443".parse().expect("address"));
    }

    #[test]
    fn a_process_name_ends_at_its_first_zero() {
        let mut peers = Peers::new_zeroed();
        assert_eq!(process_name(&peers), "");
        peers.command = *b"python3\0left\0\0\0\0";
        assert_eq!(process_name(&peers), "python3");
        peers.command = *b"\xffifteen-and-one\0";
        assert_eq!(process_name(&peers), "\u{fffd}ifteen-and-one");
    }

    #[test]
    fn outcomes_of_what_closed_early() {
        let mut closed = Closed::new_zeroed();
        closed.errno = libc::ECONNREFUSED as u32;
        assert_eq!(ConnectionOutcome::of(&closed), Some(ConnectionOutcome::Refused));
        closed.errno = 0;
        assert_eq!(ConnectionOutcome::of(&closed), Some(ConnectionOutcome::Cancelled));
        closed.established_ns = 1;
        assert_eq!(ConnectionOutcome::of(&closed), Some(ConnectionOutcome::Unused));
        closed.phase = Phase::Handshake as u32;
        closed.flags = flags::TLS;
        assert_eq!(ConnectionOutcome::of(&closed), Some(ConnectionOutcome::TlsFailed));
        closed.phase = Phase::Open as u32;
        assert_eq!(ConnectionOutcome::of(&closed), None);
    }
}
