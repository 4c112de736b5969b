//! Makes a call of what the kernel saw.

use super::{Beginning, Now};
use crate::calls::{
    Attempt, Call, Ended, Join, Phase, PhaseSplitter, Phases, Process, Reuse, Socket,
};
use crate::kernel::{ConnectionOutcome, ExchangeOutcome, Observation, SeenExchange};

/// The version that is known, since what carries requests side by side is no call: 1.0 or 1.1.
const HTTP1: &str = "HTTP/1";
/// A connection that was ready for longer before its first request was made ahead of it, as a pool does, and that
/// request does not pay for it.
const MAX_READY_TO_REQUEST_NS: u64 = 1_000_000_000;

/// The call of an exchange that was over at `end_ns`, or of a connection that was never ready for one.
pub fn made(
    id: u64,
    seen: &Observation,
    beginning: &Beginning,
    exchange: Option<&SeenExchange>,
    end_ns: u64,
    now: Now,
) -> Call {
    let reuse = reuse(beginning, exchange);
    let began_ns = match (reuse, exchange) {
        (Reuse::Reused | Reuse::Unknown, Some(exchange)) => exchange.request_first_ns,
        _ => beginning.resolved.map_or(seen.connection.born_ns, |resolved| resolved.from_ns),
    };
    let outcome = match (exchange, beginning.failed) {
        (Some(exchange), _) => Ended::Exchange(exchange.measured.outcome),
        (None, failed) => Ended::Connection(failed.unwrap_or(ConnectionOutcome::Failed)),
    };
    let splitter = PhaseSplitter::new(began_ns, end_ns);
    let phases = phases(splitter, reuse, seen.connection.born_ns, beginning, exchange);
    let duration_ns = phases.sum_ns();
    let began_ms_ago = now.now_ns.saturating_sub(began_ns) / 1_000_000;
    Call {
        id,
        kind: seen.kind,
        provider: seen.endpoint.clone(),
        model: None,
        process: Some(Process {
            name: seen.process.clone(),
            pid: seen.pid,
            workload: seen.workload.as_deref().map(str::to_owned),
        }),
        began_unix_ms: now.unix_ms.saturating_sub(began_ms_ago),
        duration_ns,
        outcome,
        attempts: vec![Attempt {
            after_ns: 0,
            phases,
            outcome,
            join: Join::Observed,
            reuse,
            status: None,
            http: exchange.filter(|exchange| exchange.is_http1).map(|_| HTTP1.to_owned()),
            request_id: None,
            error: None,
            first_content_ns: None,
            reads: Vec::new(),
            reads_total: 0,
            body_bytes: 0,
            socket: Some(Socket {
                resolver: beginning.resolved.and_then(|resolved| resolved.resolver),
                ..Socket::of((seen.local, seen.remote), beginning.tls, exchange, began_ns)
            }),
        }],
    }
}

fn reuse(beginning: &Beginning, exchange: Option<&SeenExchange>) -> Reuse {
    let Some(exchange) = exchange else { return Reuse::Fresh };
    if !exchange.is_first && exchange.number > 1 {
        return Reuse::Reused;
    }
    let ready_ns = beginning.handshake_ns.map(|(_, to_ns)| to_ns).or(beginning.established_ns);
    match (beginning.established_ns, ready_ns) {
        (Some(_), Some(ready_ns)) => {
            let waited_ns = exchange.request_first_ns.saturating_sub(ready_ns);
            if waited_ns <= MAX_READY_TO_REQUEST_NS { Reuse::Fresh } else { Reuse::Reused }
        }
        _ => Reuse::Unknown,
    }
}

fn phases(
    mut splitter: PhaseSplitter,
    reuse: Reuse,
    born_ns: u64,
    beginning: &Beginning,
    exchange: Option<&SeenExchange>,
) -> Phases {
    if reuse == Reuse::Fresh {
        splitter.until(Phase::Dns, beginning.resolved.map(|resolved| resolved.to_ns));
        splitter.until(Phase::Unexplained, born_ns);
        if beginning.established_ns.is_none() {
            return splitter.rest(Phase::Connect);
        }
        splitter.until(Phase::Connect, beginning.established_ns);
        let (hello_ns, done_ns) = beginning.handshake_ns.unzip();
        splitter.until(Phase::Unexplained, hello_ns).until(Phase::Tls, done_ns);
    }
    let Some(exchange) = exchange else { return splitter.rest(Phase::Tls) };
    // Until then the process may have done anything.
    splitter.until(Phase::Unexplained, exchange.request_first_ns);
    splitter.until(Phase::Send, exchange.request_last_ns);
    let read_ns = exchange.first_pickup.map(|pickup| pickup.read_ns);
    match (exchange.measured.outcome, exchange.measured.response_first_ns) {
        (_, Some(first_ns)) => {
            splitter.until(Phase::Wait, first_ns).until(Phase::Pickup, read_ns);
            splitter.rest(Phase::Stream)
        }
        (ExchangeOutcome::Doubtful, None) => splitter.rest(Phase::Unexplained),
        (_, None) => splitter.rest(Phase::Wait),
    }
}
