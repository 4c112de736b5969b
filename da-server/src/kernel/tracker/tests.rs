//! Callers that come and go.

use prometheus::TextEncoder;
use zerocopy::FromZeros;

use super::*;
use da_ebpf_common::connection::Closed;
use da_ebpf_common::exchange::Exchange;
use da_ebpf_common::tls::FirstBytes;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n";

fn id(sock: u64) -> ConnectionId {
    ConnectionId { sock, born_ns: 1 }
}

fn peers(process: &str) -> Peers {
    let mut peers = Peers::new_zeroed();
    peers.command[..process.len()].copy_from_slice(process.as_bytes());
    peers
}

/// A process says its first bytes on a connection, be it again because they were lost.
fn begins(tracker: &mut Tracker, sock: u64, process: &str) {
    let mut first = FirstBytes::new_zeroed();
    (first.header.connection, first.peers) = (id(sock), peers(process));
    tracker.take(&Event::FirstBytes(first, REQUEST));
}

fn ends(tracker: &mut Tracker, sock: u64, process: &str) {
    let mut closed = Closed::new_zeroed();
    (closed.header.connection, closed.peers) = (id(sock), peers(process));
    (closed.established_ns, closed.half_closed_ns, closed.closed_ns) = (1, 40, 50);
    tracker.take(&Event::Closed(closed));
}

fn is_answered(tracker: &mut Tracker, sock: u64) {
    let mut exchange = Exchange::new_zeroed();
    (exchange.header.connection, exchange.number) = (id(sock), 1);
    (exchange.request_thread, exchange.request_last_ns) = (7, 10);
    (exchange.response.first_ns, exchange.response.last_ns) = (20, 30);
    (exchange.response.arrivals, exchange.srtt_eighths_us) = (1, 8);
    tracker.take(&Event::Exchange(exchange));
}

#[test]
fn a_caller_that_has_a_connection_stays_and_one_without_leaves_nothing_behind() {
    let registry = Registry::new();
    let series = AllSeries::new(1).without_patience();
    let mut tracker = Tracker::for_callers(&[], series, &registry);
    let text = || TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
    let has = |process: &str| text().contains(&format!("process=\"{process}\""));
    begins(&mut tracker, 1, "python3");
    // The report was taken for lost, and comes once more.
    begins(&mut tracker, 1, "python3");
    begins(&mut tracker, 2, "node");
    assert!(has("python3") && !has("node") && has("other"), "{}", text());
    is_answered(&mut tracker, 1);
    let counted = "exchanges_total{kind=\"llm\",outcome=\"ok\",process=\"python3\"";
    assert!(text().contains(counted), "{}", text());
    assert!(tracker.take_gone_series().is_empty());

    ends(&mut tracker, 1, "python3");
    assert!(has("python3"), "nobody needs its place yet");
    let idle = "idle_seconds_count{ended_by=\"client_close\",kind=\"llm\",process=\"python3\"";
    assert!(text().contains(idle), "{}", text());
    begins(&mut tracker, 3, "node");
    assert!(!has("python3") && has("node"), "{}", text());
    let gone: Vec<_> = tracker.take_gone_series();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].values(), ["llm", "python3", "a", "python3"]);
    // Of one that was beyond the bound it ends where it began.
    is_answered(&mut tracker, 2);
    ends(&mut tracker, 2, "node");
    assert!(text().contains("lifetime_seconds_count{kind=\"llm\",process=\"other\""), "{}", text());
}
