//! Calls of every kind that a page can be asked to show, as a server would remember them.

use std::collections::BTreeMap;
use std::sync::Arc;

use da_server::calls::{
    Attempt, Call, CallKind, Ended, Gap, Join, Phase, PhaseSplitter, Phases, Process, Read, Reuse,
    Socket, Wait,
};
use da_server::kernel::{ExchangeOutcome, GapCause, HandshakeKind};
use da_server::provider::{ErrorKind, Outcome};

const MS: u64 = 1_000_000;
/// An afternoon.
const BEGAN_UNIX_MS: u64 = 1_763_820_000_000;

/// Phases that took so many milliseconds.
pub fn phases(took: &[(Phase, f64)]) -> Phases {
    let ns = |ms: f64| (ms * 1e6) as u64;
    let mut splitter = PhaseSplitter::new(0, took.iter().map(|(_, ms)| ns(*ms)).sum());
    let mut at_ns = 0;
    for (phase, ms) in took {
        at_ns += ns(*ms);
        splitter.until(*phase, at_ns);
    }
    splitter.rest(Phase::Unexplained)
}

/// An attempt that succeeded on a connection that was there, seen from both sides.
pub fn attempt(took: &[(Phase, f64)]) -> Attempt {
    let phases = phases(took);
    let total_ns = phases.sum_ns();
    let answered_ns = total_ns - phases.ns(Phase::Stream) - phases.ns(Phase::FirstToken);
    let pieces = 12;
    let at = |piece: u64| answered_ns + (total_ns - answered_ns) * piece / pieces;
    Attempt {
        after_ns: 0,
        phases,
        outcome: Outcome::Success.into(),
        join: Join::Joined,
        reuse: Reuse::Reused,
        status: Some(200),
        http: Some("HTTP/1.1".to_owned()),
        request_id: Some("req_018EeWyXxfu5pfWkrYcMdjWG".to_owned()),
        error: None,
        first_content_ns: Some(total_ns - phases.ns(Phase::Stream)),
        reads: (0..=pieces).map(|piece| Read { at_ns: at(piece), bytes: 180 }).collect(),
        reads_total: pieces + 1,
        body_bytes: 180 * (pieces + 1),
        socket: Some(Socket {
            local: "10.0.3.17:48122".parse().expect("address"),
            remote: "160.79.104.10:443".parse().expect("address"),
            tls: Some(HandshakeKind::Tls13),
            exchange: Some(4),
            idle_before_ns: Some(2_310 * MS),
            request_bytes: 2_914,
            response_bytes: 3_312,
            arrivals_ns: (0..8).map(|piece| at(piece).saturating_sub(MS)).collect(),
            last_arrival_ns: Some(total_ns - MS / 2),
            first_wait: Some(Wait { read_ns: answered_ns, waited_ns: phases.ns(Phase::Pickup) }),
            rtt_ns: Some(11 * MS + 400_000),
            retransmits: 0,
            window_closed_ns: 0,
            resolver: None,
            least_rtt_ns: Some(10 * MS + 900_000),
            run_delay_ns: Some(40_000),
            is_buffered: false,
            long_gaps: Vec::new(),
            long_gaps_ns: BTreeMap::new(),
        }),
    }
}

pub fn call(id: u64, kind: CallKind, attempts: Vec<Attempt>) -> Call {
    let (provider, model) = match kind {
        CallKind::Llm => ("anthropic", "claude-haiku-4-5"),
        CallKind::Tts => ("elevenlabs", "eleven_flash_v2_5"),
    };
    let duration_ns = attempts.last().map_or(0, |last| last.after_ns + last.duration_ns());
    Call {
        id,
        kind: kind.into(),
        provider: provider.to_owned(),
        model: Some(model.to_owned()),
        process: None,
        began_unix_ms: BEGAN_UNIX_MS + id * 1_700,
        duration_ns,
        outcome: attempts.last().map_or(Outcome::Success.into(), |last| last.outcome),
        attempts,
    }
}

/// An unremarkable call that took so long, most of it waiting for the provider.
pub fn usual(id: u64, kind: CallKind, total_ms: f64) -> Arc<Call> {
    let took = [
        (Phase::Queue, 0.1),
        (Phase::Send, 0.4),
        (Phase::Wait, total_ms * 0.45 - 1.0),
        (Phase::Pickup, 0.3),
        (Phase::FirstToken, 0.2),
        (Phase::Stream, total_ms * 0.55),
    ];
    Arc::new(call(id, kind, vec![attempt(&took)]))
}

/// One call for everything that a page marks.
pub fn remarkable() -> Vec<Arc<Call>> {
    let calls = [fresh(1), retried(2), blocked(3), shared(4), refused(5), left(6)];
    calls.into_iter().map(Arc::new).collect()
}

/// Paid for its connection, over a network that loses segments.
fn fresh(id: u64) -> Call {
    let mut fresh = attempt(&[
        (Phase::Queue, 6.0),
        (Phase::Dns, 42.0),
        (Phase::Connect, 121.0),
        (Phase::Tls, 148.0),
        (Phase::Send, 9.0),
        (Phase::Wait, 790.0),
        (Phase::Pickup, 2.0),
        (Phase::FirstToken, 31.0),
        (Phase::Stream, 820.0),
        (Phase::Unexplained, 12.0),
    ]);
    fresh.reuse = Reuse::Fresh;
    if let Some(socket) = &mut fresh.socket {
        socket.exchange = Some(1);
        socket.retransmits = 3;
        socket.window_closed_ns = 250 * MS;
        // Two in the stream, which begins at 1,149 ms.
        let gap = |from_ms, to_ms, cause| Gap { from_ns: from_ms * MS, to_ns: to_ms * MS, cause };
        socket.long_gaps =
            vec![gap(1_210, 1_480, GapCause::Window), gap(1_550, 1_860, GapCause::Network)];
        socket.long_gaps_ns = [(GapCause::Window, 270 * MS), (GapCause::Network, 310 * MS)].into();
    }
    call(id, CallKind::Llm, vec![fresh])
}

/// Refused at first, and tried again after the pause that the provider asked for.
fn retried(id: u64) -> Call {
    let mut first = attempt(&[(Phase::Queue, 0.2), (Phase::Send, 0.5), (Phase::Wait, 130.0)]);
    first.outcome = Outcome::Failed(ErrorKind::RateLimited).into();
    first.status = Some(429);
    first.first_content_ns = None;
    let mut second = attempt(&[
        (Phase::Queue, 0.2),
        (Phase::Send, 0.5),
        (Phase::Wait, 310.0),
        (Phase::Pickup, 0.4),
        (Phase::FirstToken, 22.0),
        (Phase::Stream, 480.0),
    ]);
    second.after_ns = 880 * MS;
    call(id, CallKind::Llm, vec![first, second])
}

/// The response was there, and the application busy.
fn blocked(id: u64) -> Call {
    let took = [
        (Phase::Queue, 0.1),
        (Phase::Send, 0.3),
        (Phase::Wait, 190.0),
        (Phase::Pickup, 205.0),
        (Phase::FirstToken, 0.4),
        (Phase::Stream, 260.0),
    ];
    call(id, CallKind::Tts, vec![attempt(&took)])
}

/// Over HTTP/2, where the kernel can't tell one stream from another.
fn shared(id: u64) -> Call {
    let took = [
        (Phase::Queue, 0.3),
        (Phase::Wait, 402.0),
        (Phase::FirstToken, 12.0),
        (Phase::Stream, 233.0),
    ];
    let mut shared = attempt(&took);
    shared.join = Join::Shared;
    shared.http = Some("HTTP/2.0".to_owned());
    shared.socket = None;
    call(id, CallKind::Llm, vec![shared])
}

/// Nobody listened.
fn refused(id: u64) -> Call {
    let mut refused = attempt(&[(Phase::Queue, 0.2), (Phase::Dns, 1.8), (Phase::Connect, 38.0)]);
    refused.outcome = Outcome::Failed(ErrorKind::Connect).into();
    refused.error = Some("Connection refused (os error 111)".to_owned());
    (refused.status, refused.http, refused.request_id) = (None, None, None);
    refused.reads.clear();
    (refused.reads_total, refused.body_bytes, refused.first_content_ns) = (0, 0, None);
    refused.reuse = Reuse::Unknown;
    if let Some(socket) = &mut refused.socket {
        (socket.tls, socket.exchange, socket.rtt_ns) = (None, None, None);
        (socket.request_bytes, socket.response_bytes) = (0, 0);
        socket.arrivals_ns.clear();
        (socket.last_arrival_ns, socket.first_wait) = (None, None);
    }
    call(id, CallKind::Tts, vec![refused])
}

/// The player did not wait for the end.
fn left(id: u64) -> Call {
    let mut left = attempt(&[(Phase::Send, 0.4), (Phase::Wait, 350.0), (Phase::Stream, 90.0)]);
    left.outcome = Outcome::Failed(ErrorKind::Cancelled).into();
    call(id, CallKind::Llm, vec![left])
}

/// Another process's, of which the kernel saw its half.
pub fn foreign(id: u64, name: &str) -> Arc<Call> {
    let took = [
        (Phase::Connect, 11.2),
        (Phase::Wait, 640.0),
        (Phase::Pickup, 4.0),
        (Phase::Stream, 300.0),
    ];
    let seen = Attempt {
        outcome: Ended::Exchange(ExchangeOutcome::Ok),
        join: Join::Observed,
        status: None,
        http: None,
        request_id: None,
        first_content_ns: None,
        reads: Vec::new(),
        reads_total: 0,
        body_bytes: 0,
        ..attempt(&took)
    };
    let process = Some(Process {
        name: name.to_owned(),
        pid: 4_711,
        workload: Some(format!("{name}.service")),
    });
    Arc::new(Call { model: None, process, ..call(id, CallKind::Llm, vec![seen]) })
}
