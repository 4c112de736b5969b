//! What `/metrics` says of connections.

use std::time::{Duration, Instant};

/// What `/metrics` says of the connections to an endpoint, or of those of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Exchanges told apart, with times.
    pub ok: usize,
    /// Exchanges told apart, whose response could not be told from session tickets.
    pub doubtful: usize,
    /// Exchanges that ended with a broken connection.
    pub broken: usize,
    /// Not told apart.
    pub ambiguous: usize,
    /// Connections, as many as had an end.
    pub connections: usize,
    /// Connections that have not closed.
    pub open: usize,
    /// Samples of the histograms.
    pub connects: usize,
    pub handshakes: usize,
    pub first_bytes: usize,
    pub responses: usize,
    /// Bytes sent and received.
    pub bytes: (u64, u64),
}

impl Seen {
    /// What is seen in the series with `labels` once all `connections` have come and gone, and nothing
    /// has been added for longer than the reader takes to look again; or after 15 s. `labels` are as the
    /// exposition writes them, the provider among them.
    pub fn wait(metrics: impl Fn() -> String, labels: &str, connections: usize) -> Self {
        let deadline = Instant::now() + Duration::from_secs(15);
        let mut last = Self::read(&metrics(), labels);
        loop {
            std::thread::sleep(Duration::from_millis(60));
            let seen = Self::read(&metrics(), labels);
            let gone = seen.connections >= connections && seen.open == 0;
            if gone && seen == last || Instant::now() > deadline {
                return seen;
            }
            last = seen;
        }
    }

    fn read(text: &str, labels: &str) -> Self {
        // Of all label sets of a family that also have `label`.
        let sum = |family: &str, label: &str| -> u64 {
            let lines = text.lines().filter_map(|line| {
                let rest = line.strip_prefix("digital_actors_")?.strip_prefix(family)?;
                let own = rest.strip_prefix('{')?;
                (own.contains(labels) && own.contains(label)).then_some(own)
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
