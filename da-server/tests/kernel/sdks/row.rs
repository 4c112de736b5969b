//! What was sent, what the collector says of it, and whether the two agree.

use std::time::Duration;

use super::asker::{Begun, Speaks};
use super::{BETWEEN_CHUNKS_MS, CHUNKS, FIRST_BYTE_MS};
use crate::clients::seen::Seen;
use crate::clients::servers::Sent;

/// An edge of the histograms below what a provider takes, s.
const SOONER: &str = "0.06";

/// One asker, both sides.
#[derive(Debug)]
pub struct Row {
    process: String,
    provider: &'static str,
    speaks: Speaks,
    sent: Sent,
    took: Duration,
    seen: Seen,
    /// First bytes that came sooner than any provider answers.
    too_soon: f64,
    first_byte_seconds: f64,
    response_seconds: f64,
}

impl Row {
    /// Waits for the asker's end, and for what `metrics` then says.
    pub fn of(begun: Begun, metrics: impl Fn() -> String) -> Self {
        let (process, provider, speaks) = (begun.process.clone(), begun.provider, begun.speaks);
        let (sent, took) = begun.end();
        let labels = format!("process=\"{process}\",provider=\"{provider}\"");
        let seen = Seen::wait(&metrics, &labels, sent.connections);
        let text = metrics();
        let value = |series: &str, more: &str| {
            let begins = format!("digital_actors_socket_{series}{{");
            let line = text.lines().find(|line| {
                line.starts_with(&begins) && line.contains(&labels) && line.contains(more)
            });
            line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0.0)
        };
        Self {
            speaks,
            sent,
            took,
            seen,
            too_soon: value("first_byte_seconds_bucket", &format!("le=\"{SOONER}\"")),
            first_byte_seconds: value("first_byte_seconds_sum", ""),
            response_seconds: value("response_seconds_sum", ""),
            process,
            provider,
        }
    }

    /// Whether all came out.
    pub fn check(&self) {
        let Self { sent, seen, .. } = self;
        assert_eq!((seen.connections, seen.open), (sent.connections, 0), "{self:?}: connections");
        assert_eq!(seen.connects, sent.connections, "{self:?}: connects");
        let handshakes = if self.speaks == Speaks::Upgrade { 0 } else { sent.connections };
        assert_eq!(seen.handshakes, handshakes, "{self:?}: handshakes");
        let told_apart = seen.ok + seen.doubtful + seen.broken;
        if self.speaks != Speaks::Http1 {
            // A first response may be over before it shows what is spoken: in doubt, it is not timed either.
            assert!(seen.doubtful <= sent.connections, "{self:?}: in doubt");
            assert_eq!(
                (seen.ok + seen.broken, seen.ambiguous),
                (0, sent.connections),
                "{self:?}: not timed"
            );
            assert_eq!((seen.first_bytes, seen.responses), (0, 0), "{self:?}: timed");
            return;
        }
        assert_eq!((told_apart, seen.ambiguous), (sent.exchanges, 0), "{self:?}: exchanges");
        // What a client has left unread makes its connection's last exchange a broken one.
        let in_doubt = seen.doubtful + seen.broken;
        assert!(in_doubt <= sent.connections && seen.ok > 0, "{self:?}: outcomes");
        assert!((seen.ok..=seen.ok + seen.broken).contains(&seen.first_bytes), "{self:?}");
        assert_eq!(seen.responses, seen.ok, "{self:?}: responses");
        assert_eq!(self.too_soon, 0.0, "{self:?}: before the provider answered");
        let least = seen.first_bytes as f64 * FIRST_BYTE_MS as f64 / 1e3;
        assert!(self.first_byte_seconds >= least, "{self:?}: first bytes take {least} s or more");
        let of_stream = (CHUNKS - 1) * BETWEEN_CHUNKS_MS;
        // All but a refusal and an answer that comes at once are streams.
        let streams = seen.ok.saturating_sub(2) as f64;
        let least = streams * of_stream as f64 / 1e3;
        assert!(self.response_seconds >= least, "{self:?}: streams take {least} s or more");
        let told = self.first_byte_seconds + self.response_seconds;
        assert!(told <= self.took.as_secs_f64(), "{self:?}: longer than it was there");
    }
}

/// Prints the table.
pub fn print(rows: &[Row]) {
    println!(
        "{:<16} {:<12} {:<7} {:>5} {:>5} {:>8} {:>9} {:>7} {:>9} {:>13} {:>11}",
        "process",
        "provider",
        "speaks",
        "conns",
        "sent",
        "counted",
        "(doubtful",
        "broken)",
        "ambiguous",
        "first byte, s",
        "response, s"
    );
    for row in rows {
        let seen = &row.seen;
        println!(
            "{:<16} {:<12} {:<7} {:>5} {:>5} {:>8} {:>9} {:>7} {:>9} {:>13.3} {:>11.3}",
            row.process,
            row.provider,
            format!("{:?}", row.speaks),
            row.sent.connections,
            row.sent.exchanges,
            seen.ok + seen.doubtful + seen.broken,
            seen.doubtful,
            seen.broken,
            seen.ambiguous,
            row.first_byte_seconds,
            row.response_seconds
        );
    }
}
