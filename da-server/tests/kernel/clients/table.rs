//! The table: what was sent, what was seen of it, and whether they agree.

use std::time::{Duration, Instant};

use super::cell::{Cell, Server};
use super::servers::Sent;
use crate::lab::Lab;

/// What `/metrics` says of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Exchanges told apart, with times.
    ok: usize,
    /// Exchanges told apart, whose response could not be told from session tickets.
    doubtful: usize,
    /// Exchanges that ended with a broken connection.
    broken: usize,
    /// Not told apart.
    ambiguous: usize,
    /// Connections, as many as had an end.
    connections: usize,
    /// Connections that have not closed.
    open: usize,
    /// Samples of the histograms.
    connects: usize,
    handshakes: usize,
    first_bytes: usize,
    responses: usize,
    /// Bytes sent and received.
    bytes: (u64, u64),
}

/// A cell and both sides of it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub cell: Cell,
    pub sent: Sent,
    pub seen: Seen,
}

impl Seen {
    /// What is seen of `endpoint` once all `connections` have come and gone, and nothing has been
    /// added for longer than the reader takes to look again; or after 3 s.
    pub fn wait(lab: &Lab, endpoint: &str, connections: usize) -> Self {
        let deadline = Instant::now() + Duration::from_secs(3);
        let mut last = Self::now(lab, endpoint);
        loop {
            std::thread::sleep(Duration::from_millis(60));
            let seen = Self::now(lab, endpoint);
            let gone = seen.connections >= connections && seen.open == 0;
            if gone && seen == last || Instant::now() > deadline {
                return seen;
            }
            last = seen;
        }
    }

    fn now(lab: &Lab, endpoint: &str) -> Self {
        let text = lab.metrics();
        let prefix = format!("{{endpoint=\"{endpoint}\",");
        // Of all label sets of a family that also have `label`.
        let sum = |family: &str, label: &str| -> u64 {
            let lines = text.lines().filter_map(|line| {
                let rest = line.strip_prefix("digital_actors_")?.strip_prefix(family)?;
                rest.strip_prefix(&prefix).filter(|rest| rest.contains(label))
            });
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
        };
        let count = |family: &str| sum(&format!("{family}_count"), "") as usize;
        let exchanges = |label: &str| sum("socket_exchanges_total", label) as usize;
        let outcome = |name: &str| exchanges(&format!("outcome=\"{name}\""));
        let (ok, doubtful, ambiguous) = (outcome("ok"), outcome("doubtful"), outcome("ambiguous"));
        Self {
            ok,
            doubtful,
            broken: exchanges("") - ok - doubtful - ambiguous,
            ambiguous,
            connections: sum("socket_connections_total", "") as usize,
            open: sum("socket_open_connections", "") as usize,
            connects: count("socket_connect_seconds"),
            handshakes: count("socket_tls_handshake_seconds"),
            first_bytes: count("socket_first_byte_seconds"),
            responses: count("socket_response_seconds"),
            bytes: (sum("socket_sent_bytes_total", ""), sum("socket_received_bytes_total", "")),
        }
    }
}

impl Row {
    /// Exchanges that were counted one by one.
    fn counted(&self) -> usize {
        self.seen.ok + self.seen.doubtful + self.seen.broken
    }

    /// Exchanges that were sent on connections which were counted as ambiguous. Over HTTP/2 each is
    /// counted once, however many exchanges it had.
    fn ambiguous(&self) -> usize {
        let whole =
            self.cell.server == Server::NginxHttp2 && self.seen.ambiguous == self.sent.connections;
        if whole { self.sent.exchanges } else { self.seen.ambiguous }
    }

    /// Exchanges that were sent and show nowhere.
    fn lost(&self) -> usize {
        self.sent.exchanges.saturating_sub(self.counted() + self.ambiguous())
    }

    /// Exchanges that were seen and never sent.
    fn invented(&self) -> usize {
        (self.counted() + self.ambiguous()).saturating_sub(self.sent.exchanges)
    }

    /// Whether a request may have been counted as two: sent in two writes, between which the session
    /// tickets came late, on a connection whose server's tickets were not known yet.
    pub fn is_halved(&self) -> bool {
        (1..=self.seen.doubtful).contains(&self.invented())
    }

    /// Whether all came out.
    pub fn check(&self) {
        let Self { cell, sent, seen } = self;
        assert_eq!((self.lost(), self.invented()), (0, 0), "{self:?}: lost, invented");
        assert_eq!((seen.connections, seen.open), (sent.connections, 0), "{self:?}: connections");
        assert_eq!(seen.connects, sent.connections, "{self:?}: connects");
        let handshakes = if cell.tls.is_some() { sent.connections } else { 0 };
        assert_eq!(seen.handshakes, handshakes, "{self:?}: handshakes");
        if let Some((from_client, to_client)) = sent.bytes {
            assert_eq!(seen.bytes.0, from_client, "{self:?}: bytes sent");
            // A server may take leave (GOAWAY, close alert) of a client that has gone.
            let leave = to_client.checked_sub(seen.bytes.1);
            let most = 100 * sent.connections as u64;
            assert!(leave.is_some_and(|leave| leave <= most), "{self:?}: bytes received");
        }
        if cell.server == Server::NginxHttp2 {
            assert_eq!(self.counted(), 0, "{self:?}: told apart");
            assert_eq!((seen.first_bytes, seen.responses), (0, 0), "{self:?}: timed");
        } else {
            // Only what was sent as early data is ambiguous, and what follows it.
            let early = sent.early * sent.exchanges / sent.connections;
            assert_eq!(seen.ambiguous, early, "{self:?}: ambiguous");
            let doubtful = if cell.tls == Some("1.3") { sent.connections } else { 0 };
            assert!(seen.doubtful <= doubtful, "{self:?}: doubtful");
            let with_first_byte = seen.ok..=seen.ok + seen.broken;
            assert!(with_first_byte.contains(&seen.first_bytes), "{self:?}: first bytes");
            assert_eq!(seen.responses, seen.ok, "{self:?}: responses");
        }
    }
}

/// Prints the table.
pub fn print(rows: &[Row]) {
    println!(
        "{:<12} {:<4} {:<20} {:<11} {:<7} {:>5} {:>7} {:>5} {:>8} {:>9} {:>9} {:>5} {:>8}",
        "client",
        "TLS",
        "protocol",
        "server",
        "address",
        "conns",
        "resumed",
        "sent",
        "counted",
        "(doubtful",
        "ambiguous",
        "lost",
        "invented"
    );
    for row in rows {
        let Row { cell, sent, seen } = row;
        println!(
            "{:<12} {:<4} {:<20} {:<11} {:<7} {:>5} {:>7} {:>5} {:>8} {:>9} {:>9} {:>5} {:>8}",
            cell.client,
            cell.tls.unwrap_or("-"),
            cell.protocol(),
            format!("{:?}", cell.server),
            format!("{:?}", cell.address),
            sent.connections,
            sent.resumed,
            sent.exchanges,
            row.counted(),
            format!("({})", seen.doubtful + seen.broken),
            row.ambiguous(),
            row.lost(),
            row.invented()
        );
    }
}
