//! Calls of which no application tells: what other processes ask of the watched endpoints, made of what the
//! kernel view saw alone.
//!
//! An exchange that the view calls `ambiguous` is none: a connection that carries requests side by side (HTTP/2)
//! counts as one exchange there, however many it carries.

mod call;

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::Call;
use super::sockets::ConnectionKey;
use crate::kernel::{
    ConnectionOutcome, ExchangeOutcome, HandshakeKind, Observation, Resolved, SeenExchange, What,
};
use crate::provider::CallIds;

/// Connections of which it is remembered how they began. Of more, the oldest are forgotten: they are in use for
/// longest, and no call to come pays for them.
const MAX_CONNECTIONS: usize = 16_384;
/// How long the end of a connection is waited for that had no answer: if it closed, the view says so at once.
const CLOSE_DELAY_NS: u64 = 200_000_000;

/// What time it is, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// `CLOCK_MONOTONIC`, or the recording's.
    pub now_ns: u64,
    /// Time of day, milliseconds of the Unix epoch.
    pub unix_ms: u64,
}

/// Connections of other processes, and the calls on them.
#[derive(Debug)]
pub struct ObservedCalls {
    ids: CallIds,
    connections: BTreeMap<ConnectionKey, Beginning>,
    /// Without an answer, and it is not known yet whether their connections have closed; oldest first.
    unanswered: VecDeque<Unanswered>,
    over: Vec<Call>,
}

/// How a connection began. Times are ns.
#[derive(Debug, Default)]
struct Beginning {
    /// How its host was looked up right before.
    resolved: Option<Resolved>,
    /// ESTABLISHED.
    established_ns: Option<u64>,
    /// ClientHello sent, and handshake done.
    handshake_ns: Option<(u64, u64)>,
    /// How that went.
    tls: Option<HandshakeKind>,
    /// It was never ready for a request.
    failed: Option<ConnectionOutcome>,
}

/// An exchange that ended without all of an answer.
#[derive(Debug)]
struct Unanswered {
    seen: Observation,
    since_ns: u64,
}

impl ObservedCalls {
    /// None yet. They are numbered by `ids`.
    pub fn new(ids: CallIds) -> Self {
        let (connections, unanswered) = (BTreeMap::new(), VecDeque::new());
        Self { ids, connections, unanswered, over: Vec::new() }
    }

    /// Takes in what the kernel saw of another process.
    pub fn observed(&mut self, seen: Observation, now: Now) {
        let key = (seen.connection.born_ns, seen.connection.sock);
        match &seen.what {
            What::Resolved(resolved) => self.beginning(key).resolved = Some(*resolved),
            What::Connected { to_ns, .. } => self.beginning(key).established_ns = Some(*to_ns),
            What::HandshakeDone { from_ns, to_ns, kind } => {
                let beginning = self.beginning(key);
                beginning.handshake_ns = Some((*from_ns, *to_ns));
                beginning.tls = Some(*kind);
            }
            // Who asked nothing made no call.
            What::EndedUp(ConnectionOutcome::Ok | ConnectionOutcome::Unused) => {}
            What::EndedUp(failed) => self.beginning(key).failed = Some(*failed),
            What::Exchange(exchange) => match exchange.measured.outcome {
                ExchangeOutcome::Ambiguous => {}
                ExchangeOutcome::Ok | ExchangeOutcome::Doubtful => {
                    let end_ns = answered_ns(exchange);
                    self.ended(&seen, Some(exchange), end_ns, now);
                }
                ExchangeOutcome::NoResponse | ExchangeOutcome::Reset | ExchangeOutcome::Aborted => {
                    self.unanswered.push_back(Unanswered { seen, since_ns: now.now_ns });
                }
            },
            What::Closed { at_ns, .. } => {
                let is_here = |one: &Unanswered| one.seen.connection == seen.connection;
                if let Some(at) = self.unanswered.iter().rposition(is_here)
                    && let Some(unanswered) = self.unanswered.remove(at)
                {
                    self.ended_unanswered(&unanswered.seen, *at_ns, now);
                }
                if self.connections.get(&key).is_some_and(|beginning| beginning.failed.is_some()) {
                    self.ended(&seen, None, *at_ns, now);
                }
                self.connections.remove(&key);
            }
        }
    }

    /// The calls that have ended since the last time.
    pub fn take_over(&mut self, now: Now) -> Vec<Call> {
        let is_due = |one: &Unanswered| one.since_ns + CLOSE_DELAY_NS <= now.now_ns;
        while let Some(unanswered) = self.unanswered.pop_front_if(|one| is_due(one)) {
            self.ended_unanswered(&unanswered.seen, unanswered.since_ns, now);
        }
        mem::take(&mut self.over)
    }

    /// The same when nothing comes any more: also those whose connections may still close.
    pub fn take_all(&mut self, now: Now) -> Vec<Call> {
        while let Some(unanswered) = self.unanswered.pop_front() {
            self.ended_unanswered(&unanswered.seen, unanswered.since_ns, now);
        }
        self.take_over(now)
    }

    fn beginning(&mut self, key: ConnectionKey) -> &mut Beginning {
        if self.connections.len() >= MAX_CONNECTIONS && !self.connections.contains_key(&key) {
            self.connections.pop_first();
        }
        self.connections.entry(key).or_default()
    }

    fn ended_unanswered(&mut self, seen: &Observation, end_ns: u64, now: Now) {
        if let What::Exchange(exchange) = &seen.what {
            self.ended(seen, Some(exchange), end_ns, now);
        }
    }

    fn ended(
        &mut self,
        seen: &Observation,
        exchange: Option<&SeenExchange>,
        end_ns: u64,
        now: Now,
    ) {
        let key = (seen.connection.born_ns, seen.connection.sock);
        let unknown = Beginning::default();
        let beginning = self.connections.get(&key).unwrap_or(&unknown);
        self.over.push(call::made(self.ids.next(), seen, beginning, exchange, end_ns, now));
    }
}

/// When an answer was there, and read as far as is known.
fn answered_ns(exchange: &SeenExchange) -> u64 {
    let read_ns = exchange.first_pickup.map_or(0, |pickup| pickup.read_ns);
    let last_ns = exchange.last_arrival_ns.unwrap_or(exchange.request_last_ns);
    last_ns.max(read_ns)
}

#[cfg(test)]
mod tests;
