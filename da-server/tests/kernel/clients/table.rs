//! The table: what was sent, what was seen of it, and whether they agree.

use super::cell::Cell;
use super::seen::Seen;
use super::servers::Sent;

/// A cell and both sides of it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub cell: Cell,
    pub sent: Sent,
    pub seen: Seen,
}

impl Row {
    /// Exchanges that were counted one by one.
    fn counted(&self) -> usize {
        self.seen.ok + self.seen.doubtful + self.seen.broken
    }

    /// Exchanges that were sent on connections which were counted as ambiguous. Where they can't be told
    /// apart each connection is counted once, however many exchanges it had.
    fn ambiguous(&self) -> usize {
        let whole = !self.cell.is_told_apart() && self.seen.ambiguous == self.sent.connections;
        if whole { self.sent.exchanges } else { self.seen.ambiguous }
    }

    /// Exchanges that were sent and show nowhere.
    fn lost(&self) -> usize {
        self.sent.exchanges.saturating_sub(self.counted() + self.ambiguous())
    }

    /// Exchanges that were seen and never sent.
    fn invented(&self) -> usize {
        (self.counted() + self.ambiguous()).saturating_sub(self.sent.exchanges + self.before_told())
    }

    /// Where exchanges can't be told apart: first ones that were over before their connection showed it.
    /// They are in doubt, and none of their times is taken.
    fn before_told(&self) -> usize {
        if self.cell.is_told_apart() { 0 } else { self.seen.doubtful.min(self.sent.connections) }
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
        if !cell.is_told_apart() {
            assert_eq!(self.counted(), self.before_told(), "{self:?}: told apart");
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
        "{:<13} {:<4} {:<20} {:<11} {:<7} {:>5} {:>7} {:>5} {:>8} {:>9} {:>9} {:>5} {:>8}",
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
            "{:<13} {:<4} {:<20} {:<11} {:<7} {:>5} {:>7} {:>5} {:>8} {:>9} {:>9} {:>5} {:>8}",
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
