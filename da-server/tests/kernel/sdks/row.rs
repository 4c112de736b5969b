//! What was sent, what the collector says of it, and whether the two agree.

use std::time::{Duration, Instant};

use da_server::calls::{Call, Phase, Reuse};
use serde::Deserialize;

use super::asker::{Begun, Speaks};
use super::{BETWEEN_CHUNKS_MS, CHUNKS, FIRST_BYTE_MS};
use crate::clients::seen::Seen;
use crate::clients::servers::Sent;

/// An edge of the histograms below what a provider takes, s.
const SOONER: &str = "0.06";
/// Longer than a call that has ended takes to be listed.
const LOOK: Duration = Duration::from_millis(1_000);
/// However busy that thread is.
const PATIENCE: Duration = Duration::from_secs(60);

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
    calls: Vec<Call>,
}

/// What `/api/calls` answers.
#[derive(Deserialize)]
struct Listed {
    calls: Vec<Call>,
}

impl Row {
    /// Waits for the asker's end, and for what the collector then says at `/metrics` and `/api/calls`.
    pub fn of(begun: Begun, get: impl Fn(&str) -> String) -> Self {
        let metrics = || get("/metrics");
        let (process, provider, speaks) = (begun.process.clone(), begun.provider, begun.speaks);
        let (sent, took) = begun.end();
        let labels = format!("process=\"{process}\",provider=\"{provider}\"");
        let seen = Seen::wait(metrics, &labels, sent.connections);
        let text = metrics();
        let value = |series: &str, more: &str| {
            let begins = format!("digital_actors_socket_{series}{{");
            let line = text.lines().find(|line| {
                line.starts_with(&begins) && line.contains(&labels) && line.contains(more)
            });
            line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok()).unwrap_or(0.0)
        };
        // What has ended is there after a next look of the thread that makes calls.
        let mut calls = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while calls.len() < seen.ok + seen.doubtful + seen.broken && Instant::now() < deadline {
            std::thread::sleep(LOOK);
            let listed = get(&format!("/api/calls?limit=500&provider={provider}"));
            Listed { calls } = serde_json::from_str(&listed).expect("calls");
            calls.retain(|call| call.process.as_ref().is_some_and(|it| it.name == process));
        }
        Self {
            calls,
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
            let doubtful = self.calls.iter().filter(|call| call.outcome.as_str() == "doubtful");
            assert_eq!(doubtful.count(), self.calls.len(), "{self:?}: no call can be told apart");
            return;
        }
        assert_eq!((told_apart, seen.ambiguous), (sent.exchanges, 0), "{self:?}: exchanges");
        // What a client has left unread makes its connection's last exchange a broken one.
        let in_doubt = seen.doubtful + seen.broken;
        // One whose every exchange is the first of its connection may be in doubt of all.
        let has_later = sent.exchanges > sent.connections;
        assert!(in_doubt <= sent.connections && (seen.ok > 0 || !has_later), "{self:?}: outcomes");
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
        self.check_calls();
    }

    /// Whether each exchange is a call of its own, with phases that sum to it.
    fn check_calls(&self) {
        let Self { sent, seen, calls, .. } = self;
        assert_eq!(calls.len(), sent.exchanges, "{self:?}: calls");
        let of =
            |outcome: &str| calls.iter().filter(|call| call.outcome.as_str() == outcome).count();
        assert_eq!((of("ok"), of("doubtful")), (seen.ok, seen.doubtful), "{self:?}: outcomes");
        let fresh = calls.iter().filter(|call| call.attempts[0].reuse == Reuse::Fresh);
        assert_eq!(fresh.clone().count(), sent.connections, "{self:?}: first calls");
        for call in fresh {
            let (connect_ns, tls_ns) =
                (call.phases().ns(Phase::Connect), call.phases().ns(Phase::Tls));
            assert!(connect_ns > 0 && tls_ns > 0, "{call:?}: pays for its connection");
        }
        for call in calls {
            assert_eq!(call.phases().sum_ns(), call.duration_ns, "{call:?}");
            let wait_ns = call.phases().ns(Phase::Wait);
            let waited =
                call.outcome.as_str() == "doubtful" || wait_ns >= FIRST_BYTE_MS * 1_000_000;
            assert!(waited, "{call:?}: answered before the provider did");
        }
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
