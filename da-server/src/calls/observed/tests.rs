use std::net::SocketAddr;

use super::*;
use crate::calls::{Join, Phase, Reuse};
use crate::kernel::{ConnectionId, EndpointKind, Measured, Pickup};

const BORN_NS: u64 = 1_000;
const NOW: Now = Now { now_ns: 10_000_000_000, unix_ms: 1_000_000 };

fn seen(what: What) -> Observation {
    Observation {
        connection: ConnectionId { sock: 1, born_ns: BORN_NS },
        endpoint: "a".to_owned(),
        kind: EndpointKind::Llm,
        pid: 77,
        thread: 78,
        process: "python3".to_owned(),
        workload: Some("bot.service".into()),
        local: SocketAddr::from(([127, 0, 0, 1], 1_000)),
        remote: SocketAddr::from(([127, 0, 0, 1], 443)),
        what,
    }
}

fn exchange(number: u64, sent_ns: (u64, u64), measured: Measured) -> SeenExchange {
    SeenExchange {
        number,
        request_first_ns: sent_ns.0,
        request_thread: 78,
        request_last_ns: sent_ns.1,
        request_bytes: 300,
        response_bytes: 900,
        arrivals_ns: measured.response_first_ns.into_iter().collect(),
        last_arrival_ns: measured.response_last_ns,
        is_first: number == 1,
        idle_before_ns: (number > 1).then_some(5_000),
        least_rtt_ns: None,
        run_delay_ns: None,
        is_buffered: false,
        is_http1: true,
        first_pickup: measured
            .response_first_ns
            .map(|first_ns| Pickup { read_ns: first_ns + 50, waited_ns: 50 }),
        rtt_ns: None,
        retransmits: 0,
        window_closed_ns: 0,
        long_gaps: None,
        measured,
    }
}

fn answered(number: u64, sent_ns: (u64, u64), arrived_ns: (u64, u64)) -> What {
    let measured = Measured {
        first_byte_ns: Some(arrived_ns.0 - sent_ns.1),
        response_ns: Some(arrived_ns.1 - arrived_ns.0),
        response_first_ns: Some(arrived_ns.0),
        response_last_ns: Some(arrived_ns.1),
        ..Measured::without_sample(ExchangeOutcome::Ok)
    };
    What::Exchange(Box::new(exchange(number, sent_ns, measured)))
}

fn without_answer(outcome: ExchangeOutcome) -> What {
    What::Exchange(Box::new(exchange(1, (2_000, 2_100), Measured::without_sample(outcome))))
}

fn closed(at_ns: u64) -> What {
    What::Closed { at_ns, established_ns: None, sent_bytes: 0, received_bytes: 0 }
}

fn calls(all: impl IntoIterator<Item = What>) -> Vec<Call> {
    let mut calls = ObservedCalls::new(CallIds::default());
    all.into_iter().for_each(|what| calls.observed(seen(what), NOW));
    calls.take_over(NOW)
}

fn connected() -> [What; 2] {
    let (from_ns, to_ns, kind) = (1_500, 1_900, HandshakeKind::Tls13);
    let connected = What::Connected { from_ns: BORN_NS, to_ns: 1_400 };
    [connected, What::HandshakeDone { from_ns, to_ns, kind }]
}

fn phases(call: &Call) -> Vec<(Phase, u64)> {
    call.phases().iter().filter(|(_, ns)| *ns > 0).collect()
}

#[test]
fn a_first_call_pays_for_its_connection_and_a_second_for_nothing() {
    let mut all = Vec::from(connected());
    all.push(answered(1, (2_000, 2_100), (3_000, 5_000)));
    all.push(answered(2, (10_000, 10_010), (10_500, 10_500)));
    all.push(closed(20_000));
    let [first, second] = <[Call; 2]>::try_from(calls(all)).expect("two calls");
    assert_eq!(
        phases(&first),
        [
            (Phase::Connect, 400),
            (Phase::Tls, 400),
            (Phase::Send, 100),
            (Phase::Wait, 900),
            (Phase::Pickup, 50),
            (Phase::Stream, 1_950),
            (Phase::Unexplained, 200)
        ]
    );
    assert_eq!((first.duration_ns, first.back_off_ns()), (4_000, 0));
    assert_eq!(first.attempts[0].reuse, Reuse::Fresh);
    assert_eq!(first.attempts[0].join, Join::Observed);
    assert_eq!((first.outcome.as_str(), first.outcome.is_failure()), ("ok", false));
    let process = first.process.expect("a process");
    assert_eq!((process.name.as_str(), process.pid), ("python3", 77));
    assert_eq!(process.workload.as_deref(), Some("bot.service"));
    let waits = [(Phase::Send, 10), (Phase::Wait, 490), (Phase::Pickup, 50)];
    assert_eq!(phases(&second), waits, "it ends with the read of all that came at once");
    assert_eq!((second.id, second.attempts[0].reuse), (2, Reuse::Reused));
    assert_eq!(second.attempts[0].socket.as_ref().and_then(|it| it.idle_before_ns), Some(5_000));
}

#[test]
fn a_call_without_an_answer_lasts_until_its_connection_closes() {
    for outcome in [ExchangeOutcome::NoResponse, ExchangeOutcome::Reset, ExchangeOutcome::Aborted] {
        let all = connected().into_iter().chain([without_answer(outcome), closed(9_000)]);
        let [call] = <[Call; 1]>::try_from(calls(all)).expect("one call");
        assert_eq!(call.duration_ns, 8_000);
        assert_eq!(call.phases().ns(Phase::Wait), 9_000 - 2_100);
        assert!(call.outcome.is_failure(), "{}", call.outcome.as_str());
    }
}

#[test]
fn or_until_nobody_waits_for_that_any_more() {
    let mut calls = ObservedCalls::new(CallIds::default());
    calls.observed(seen(without_answer(ExchangeOutcome::NoResponse)), NOW);
    assert!(calls.take_over(NOW).is_empty(), "it may close in this moment");
    let later = Now { now_ns: NOW.now_ns + CLOSE_DELAY_NS, ..NOW };
    assert_eq!(calls.take_over(later).len(), 1);
    calls.observed(seen(closed(later.now_ns)), later);
    assert!(calls.take_over(later).is_empty(), "it counts once");
}

#[test]
fn a_connect_that_failed_is_a_call_and_one_that_nobody_used_is_none() {
    let refused = [What::EndedUp(ConnectionOutcome::Refused), closed(1_700)];
    let [call] = <[Call; 1]>::try_from(calls(refused)).expect("one call");
    assert_eq!(phases(&call), [(Phase::Connect, 700)]);
    assert_eq!(call.outcome.as_str(), "refused");
    let [connected, _] = connected();
    let failed = [connected, What::EndedUp(ConnectionOutcome::TlsFailed), closed(1_700)];
    let [call] = <[Call; 1]>::try_from(calls(failed)).expect("one call");
    assert_eq!(phases(&call), [(Phase::Connect, 400), (Phase::Tls, 300)]);
    assert!(calls([What::EndedUp(ConnectionOutcome::Unused), closed(1_700)]).is_empty());
}

#[test]
fn where_a_response_begins_that_nobody_can_tell_is_unexplained() {
    let measured = Measured::without_sample(ExchangeOutcome::Doubtful);
    let mut doubtful = exchange(1, (2_000, 2_100), measured);
    doubtful.last_arrival_ns = Some(5_000);
    let all = connected().into_iter().chain([What::Exchange(Box::new(doubtful))]);
    let [call] = <[Call; 1]>::try_from(calls(all)).expect("one call");
    assert_eq!(call.phases().ns(Phase::Wait), 0);
    assert_eq!(call.phases().ns(Phase::Unexplained), 200 + 2_900);
    assert!(!call.outcome.is_failure());
}

#[test]
fn exchanges_that_are_not_told_apart_are_no_calls() {
    let measured = Measured::without_sample(ExchangeOutcome::Ambiguous);
    assert!(calls([What::Exchange(Box::new(exchange(1, (2_000, 2_100), measured)))]).is_empty());
}

#[test]
fn a_connection_made_ahead_is_not_paid_for_and_an_older_one_is_not_known() {
    let late_ns = 2 * MAX_READY_NS;
    let ahead = answered(1, (late_ns, late_ns + 10), (late_ns + 500, late_ns + 500));
    let [call] =
        <[Call; 1]>::try_from(calls(connected().into_iter().chain([ahead]))).expect("one call");
    assert_eq!((call.attempts[0].reuse, call.phases().ns(Phase::Connect)), (Reuse::Reused, 0));
    let older = answered(1, (2_000, 2_100), (3_000, 3_000));
    let [call] = <[Call; 1]>::try_from(calls([older])).expect("one call");
    assert_eq!((call.attempts[0].reuse, call.duration_ns), (Reuse::Unknown, 1_050));
}

/// More than the longest time from a connection's being ready to a request that pays for it.
const MAX_READY_NS: u64 = 2_000_000_000;

#[test]
fn how_connections_began_is_bounded() {
    let mut calls = ObservedCalls::new(CallIds::default());
    for born_ns in 0..MAX_CONNECTIONS as u64 + 10 {
        let what = What::Connected { from_ns: born_ns, to_ns: born_ns + 1 };
        let connection = ConnectionId { sock: 1, born_ns };
        calls.observed(Observation { connection, ..seen(what) }, NOW);
    }
    assert_eq!(calls.connections.len(), MAX_CONNECTIONS);
    assert!(!calls.connections.contains_key(&(0, 1)), "the oldest went");
}
