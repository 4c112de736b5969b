use da_ebpf_common::connection::Connection;
use zerocopy::FromZeros;

use super::*;

const NOW_NS: u64 = 60_000_000_000;
const SILENCE_NS: u64 = 30_000_000_000;
const JUST_NOW_NS: u64 = NOW_NS - 900_000_000;

/// Born at 100.
fn record() -> Box<Connection> {
    let mut record = Box::new(Connection::new_zeroed());
    record.born_ns = 100;
    record
}

fn found(record: &Connection, may_be_tickets: bool) -> Option<(RequestState, u64, u64)> {
    let found = progress(record, NOW_NS, SILENCE_NS, || may_be_tickets);
    found.map(|progress| (progress.state, progress.began_ns, progress.since_ns))
}

/// The third request, sent from 400 to 450.
fn asked() -> Box<Connection> {
    let mut record = record();
    (record.established_ns, record.phase) = (200, Phase::Open as u32);
    (record.request, record.request_first_ns, record.request_last_ns) = (3, 400, 450);
    record
}

fn answered(first_ns: u64, last_ns: u64) -> Box<Connection> {
    let mut record = asked();
    record.arrivals[1].request = 3;
    (record.arrivals[1].response.first_ns, record.arrivals[1].response.last_ns) =
        (first_ns, last_ns);
    record.last_arrival_ns = last_ns;
    record
}

#[test]
fn each_state_is_told_by_the_record() {
    use RequestState::{Connecting, Handshake, Responding, Waiting};
    let mut begun = record();
    assert_eq!(found(&begun, false), Some((Connecting, 100, 100)));
    begun.established_ns = 200;
    assert_eq!(found(&begun, false), None, "nothing is asked of it");
    (begun.phase, begun.hello_ns) = (Phase::Handshake as u32, 250);
    assert_eq!(found(&begun, false), Some((Handshake, 100, 250)));
    begun.phase = Phase::Open as u32;
    assert_eq!(found(&begun, false), None, "nothing was asked yet");
    assert_eq!(found(&asked(), false), Some((Waiting, 400, 450)));
    assert_eq!(found(&answered(700, JUST_NOW_NS), false), Some((Responding, 400, 700)));
}

#[test]
fn a_request_without_an_answer_tells_who_has_closed_the_connection() {
    let mut left = asked();
    left.half_closed_ns = 600;
    assert_eq!(found(&left, false), Some((RequestState::Closing, 400, 600)));
    left.half_closed_by_peer = 1;
    assert_eq!(found(&left, false), Some((RequestState::PeerClosed, 400, 600)));
    let mut answered = answered(700, JUST_NOW_NS);
    (answered.half_closed_ns, answered.half_closed_by_peer) = (800, 1);
    assert_eq!(found(&answered, false), Some((RequestState::Responding, 400, 700)));
}

#[test]
fn a_response_that_is_silent_for_long_is_over_and_tickets_are_none() {
    let quiet_ns = NOW_NS - 29_000_000_000;
    let quiet = found(&answered(700, quiet_ns), false);
    assert_eq!(quiet, Some((RequestState::Quiet, 400, quiet_ns)), "it may be");
    assert_eq!(found(&answered(700, 900), false), None);
    let tickets = found(&answered(700, 900), true);
    assert_eq!(tickets, Some((RequestState::Waiting, 400, 450)));
    let mut stale = answered(700, JUST_NOW_NS);
    stale.request = 5;
    assert_eq!(found(&stale, false), Some((RequestState::Waiting, 400, 450)));
}

#[test]
fn a_response_that_nobody_reads_is_not_over() {
    let mut closed = answered(700, 900);
    closed.window_full_ns = 900;
    assert_eq!(found(&closed, false), Some((RequestState::Unread, 400, 900)));
    closed.window_read_ns = 900;
    assert_eq!(found(&closed, false), None, "somebody has read");
}

#[test]
fn an_answer_that_nobody_saw_arrive_is_one() {
    let mut skipped = asked();
    (skipped.pickups[1].request, skipped.pickups[1].skipped_arrivals) = (3, 1);
    skipped.last_arrival_ns = JUST_NOW_NS;
    assert_eq!(found(&skipped, false), Some((RequestState::Responding, 400, JUST_NOW_NS)));
}

#[test]
fn a_connect_that_nobody_saw_is_no_connect_under_way() {
    let mut older = record();
    older.flags = flags::PRE_EXISTING;
    assert_eq!(found(&older, false), None);
}

#[test]
fn unread_is_what_has_arrived_and_was_not_read() {
    let mut record = record();
    (record.received_bytes, record.read_bytes) = ((1 << 32) + 500, 300);
    assert_eq!(unread_bytes(&record), 200);
    (record.received_bytes, record.read_bytes) = (0, 300);
    assert_eq!(unread_bytes(&record), 0, "an older connection, of which not all is known");
}

#[test]
fn the_oldest_come_first_and_all_are_counted() {
    let request = |age_ns| UnderWay {
        id: age_ns,
        kind: EndpointKind::Llm,
        provider: "a".to_owned(),
        process: "p".to_owned(),
        pid: 1,
        workload: None,
        local: ([0; 4], 0).into(),
        remote: ([127, 0, 0, 1], 443).into(),
        state: RequestState::Waiting,
        age_ns,
        in_state_ns: age_ns,
        exchange: 1,
        request_bytes: 0,
        response_bytes: 0,
        silent_ns: None,
        unread_bytes: 0,
        window_closed_ns: 0,
    };
    let all: Vec<_> = (0..5_000).map(request).collect();
    let snapshot = Snapshot::new(1, all.clone());
    assert_eq!((snapshot.total, snapshot.requests.len()), (5_000, MAX_KEPT));
    assert_eq!((snapshot.requests[0].age_ns, snapshot.requests[1].age_ns), (4_999, 4_998));
    let metrics = crate::metrics::Metrics::new().expect("metrics");
    let mut families = UnderWayMetrics::register(metrics.registry()).expect("registers");
    families.set(&all);
    let exposed = || metrics.expose().expect("encodes");
    let waiting = "socket_requests_in_flight{kind=\"llm\",provider=\"a\",state=\"waiting\"} 5000";
    assert!(exposed().contains(waiting), "{}", exposed());
    families.set(&[]);
    assert!(exposed().contains(&waiting.replace("5000", "0")), "series stay, at 0");
}
