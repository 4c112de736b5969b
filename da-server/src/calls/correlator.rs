//! Joins finished calls with what the kernel saw of their sockets.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::matching::{Candidate, UnmatchedAttempt, candidates, match_unique};
use super::phase_split::{self, Seen};
use super::sockets::Sockets;
use super::{Attempt, Call, CallKind, Join, Read, Socket};
use crate::kernel::{ConnectionId, ExchangeOutcome, Observation};
use crate::provider::{AttemptTimings, CallReport, HttpVersion};

/// Attempts whose addresses are not known are looked for only after this long: until then what the
/// kernel saw may turn out to be of attempts whose addresses are.
const MATCHING_DELAY_NS: u64 = 250_000_000;
/// A connection whose answer was not read to its end is closed by then, unless its end was at hand.
const CLOSE_DELAY_NS: u64 = 150_000_000;
/// How long before the kernel view is asked again for a connection's exchange.
const SETTLEMENT_RETRY_NS: u64 = 150_000_000;
/// Attempts without kernel data that are remembered, to count data that comes late.
const MAX_MISSED: usize = 1_024;

/// The result of a round.
#[derive(Debug, Default)]
pub struct Round {
    /// Calls that are complete.
    pub calls: Vec<Call>,
    /// Attempts that were given up as missing before, and whose kernel data has come now.
    pub late: Vec<CallKind>,
    /// Connections whose exchange is over at that time, and has not been reported.
    pub owed: Vec<(ConnectionId, u64)>,
}

/// The calls that wait for the kernel's side.
#[derive(Debug)]
pub struct Correlator {
    sockets: Sockets,
    waiting: VecDeque<Waiting>,
    missed: VecDeque<Missed>,
    grace_ns: u64,
}

#[derive(Debug)]
struct Waiting {
    report: CallReport,
    attempts: Vec<Progress>,
}

/// How far the joining of one attempt is.
#[derive(Debug, Default)]
struct Progress {
    found: Option<Found>,
    asked_ns: u64,
    /// More than one candidate fitted in the last round.
    ambiguous: bool,
}

/// The result of joining an attempt.
#[derive(Debug)]
struct Found {
    join: Join,
    seen: Option<Box<Seen>>,
}

/// One attempt of [`Correlator::missed`].
#[derive(Debug)]
struct Missed {
    kind: CallKind,
    sockets: (SocketAddr, SocketAddr),
    taken_ns: u64,
    answered_ns: u64,
}

impl Correlator {
    /// A correlator without calls. It waits for the kernel's side until `grace_ns` after a call's end. `own_pid`: see
    /// [`Sockets::new`].
    pub fn new(grace_ns: u64, own_pid: Option<u32>) -> Self {
        Self {
            sockets: Sockets::new(own_pid),
            waiting: VecDeque::new(),
            missed: VecDeque::new(),
            grace_ns,
        }
    }

    /// Takes in what the kernel saw.
    pub fn observed(&mut self, observation: Observation) {
        self.sockets.observed(observation);
    }

    /// Whether a process is known to be another one than this.
    pub fn is_foreign(&self, pid: u32) -> bool {
        self.sockets.is_foreign(pid)
    }

    /// Takes in a call that has ended.
    pub fn reported(&mut self, report: CallReport) {
        let attempts = report.attempts.iter().map(|_| Progress::default()).collect();
        self.waiting.push_back(Waiting { report, attempts });
    }

    /// Joins what can be joined by now. Without a kernel view there is nothing to wait for.
    pub fn round(&mut self, now_ns: u64, kernel_view: bool) -> Round {
        let mut round = Round::default();
        self.by_addresses(now_ns, &mut round);
        self.by_elimination(now_ns);
        self.give_up(now_ns, kernel_view);
        self.count_late(&mut round);
        let found = |call: &Waiting| call.attempts.iter().all(|attempt| attempt.found.is_some());
        let (done, waiting): (VecDeque<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(found);
        self.waiting = waiting;
        round.calls = done.into_iter().map(Waiting::finish).collect();
        round
    }

    /// Attempts whose sockets are known, and those that need none.
    fn by_addresses(&mut self, now_ns: u64, round: &mut Round) {
        for call in &mut self.waiting {
            for (timings, progress) in call.report.attempts.iter().zip(&mut call.attempts) {
                if progress.found.is_some() {
                    continue;
                }
                if let Some(join) = without_socket(timings) {
                    progress.found = Some(Found { join, seen: None });
                    continue;
                }
                let (Some(addresses), Some(answered_ns)) = (timings.sockets, timings.answered_ns)
                else {
                    continue;
                };
                let taken_ns = timings.body_taken_ns.unwrap_or(timings.asked_ns);
                if let Some((connection, exchange)) =
                    self.sockets.claim(addresses, taken_ns, answered_ns)
                {
                    let seen = Seen { connection, exchange: Some(exchange) };
                    if seen.is_fresh(timings) {
                        self.sockets.claim_connection(seen.connection.key());
                    }
                    progress.found = Some(Found::classify(seen, timings));
                } else if (timings.body_ended || now_ns >= timings.ended_ns + CLOSE_DELAY_NS)
                    && now_ns >= progress.asked_ns + SETTLEMENT_RETRY_NS
                    && let Some(connection) = self.sockets.between(addresses, answered_ns)
                {
                    progress.asked_ns = now_ns;
                    round.owed.push((connection.id, timings.ended_ns));
                }
            }
        }
    }

    /// Attempts that ended before their sockets were known.
    fn by_elimination(&mut self, now_ns: u64) {
        let mut unmatched = Vec::new();
        for (call, waiting) in self.waiting.iter().enumerate() {
            for (attempt, progress) in waiting.attempts.iter().enumerate() {
                let timings = &waiting.report.attempts[attempt];
                let due = waiting.report.ended_ns + MATCHING_DELAY_NS <= now_ns;
                if due && progress.found.is_none() && timings.sockets.is_none() {
                    let candidates = candidates(&self.sockets, timings);
                    unmatched.push(UnmatchedAttempt { who: (call, attempt), candidates });
                }
            }
        }
        for ((call, attempt), candidate) in match_unique(&mut unmatched) {
            let seen = match candidate {
                Candidate::Exchange(key, number) => self
                    .sockets
                    .claim_exchange(key, number)
                    .map(|(connection, exchange)| Seen { connection, exchange: Some(exchange) }),
                Candidate::Connection(key) => self
                    .sockets
                    .claim_connection(key)
                    .map(|connection| Seen { connection, exchange: None }),
            };
            let waiting = &mut self.waiting[call];
            waiting.attempts[attempt].found =
                seen.map(|seen| Found::classify(seen, &waiting.report.attempts[attempt]));
        }
        for UnmatchedAttempt { who: (call, attempt), candidates } in unmatched {
            self.waiting[call].attempts[attempt].ambiguous = !candidates.is_empty();
        }
    }

    /// Attempts whose time is over.
    fn give_up(&mut self, now_ns: u64, kernel_view: bool) {
        for call in &mut self.waiting {
            if kernel_view && now_ns < call.report.ended_ns + self.grace_ns {
                continue;
            }
            for (timings, progress) in call.report.attempts.iter().zip(&mut call.attempts) {
                if progress.found.is_some() {
                    continue;
                }
                let join = match (kernel_view, progress.ambiguous) {
                    (false, _) => Join::Unavailable,
                    (true, true) => Join::Ambiguous,
                    (true, false) => Join::Missing,
                };
                progress.found = Some(Found { join, seen: None });
                if let (true, Some(sockets), Some(answered_ns)) =
                    (kernel_view, timings.sockets, timings.answered_ns)
                {
                    if self.missed.len() >= MAX_MISSED {
                        self.missed.pop_front();
                    }
                    let taken_ns = timings.body_taken_ns.unwrap_or(timings.asked_ns);
                    let kind = call.report.kind;
                    self.missed.push_back(Missed { kind, sockets, taken_ns, answered_ns });
                }
            }
        }
    }

    fn count_late(&mut self, round: &mut Round) {
        let sockets = &mut self.sockets;
        self.missed.retain(|missed| {
            let came = sockets.claim(missed.sockets, missed.taken_ns, missed.answered_ns).is_some();
            if came {
                round.late.push(missed.kind);
            }
            !came
        });
    }
}

/// What can be said of an attempt without asking the kernel, if so.
fn without_socket(timings: &AttemptTimings) -> Option<Join> {
    if timings.http == Some(HttpVersion::Http2) {
        return Some(Join::Shared);
    }
    let unresolved = matches!(timings.dns_ns, Some((_, None)));
    let never_connected = timings.connecting_ns.is_none() || unresolved;
    (never_connected && timings.body_taken_ns.is_none()).then_some(Join::NoSocket)
}

impl Found {
    fn classify(seen: Seen, timings: &AttemptTimings) -> Self {
        let join = match seen.exchange.as_ref().map(|exchange| exchange.measured.outcome) {
            Some(ExchangeOutcome::Ambiguous) => Join::Doubtful,
            Some(ExchangeOutcome::Doubtful)
                if timings.answered_ns.is_some() && seen.response_first_ns(timings).is_none() =>
            {
                Join::Doubtful
            }
            _ => Join::Joined,
        };
        Self { join, seen: Some(Box::new(seen)) }
    }
}

impl Waiting {
    fn finish(self) -> Call {
        let Self { report, attempts } = self;
        let joined = report.attempts.into_iter().zip(attempts);
        Call {
            id: report.id,
            kind: report.kind.into(),
            provider: report.provider.to_string(),
            model: Some(report.model.to_string()),
            process: None,
            began_unix_ms: report.began_unix_ms,
            duration_ns: report.ended_ns.saturating_sub(report.began_ns),
            outcome: report.outcome.into(),
            attempts: joined
                .map(|(timings, progress)| attempt(report.began_ns, timings, progress))
                .collect(),
        }
    }
}

fn attempt(call_began_ns: u64, timings: AttemptTimings, progress: Progress) -> Attempt {
    let Found { join, seen } =
        progress.found.unwrap_or(Found { join: Join::Unavailable, seen: None });
    let (phases, reuse) = match &seen {
        Some(seen) if join == Join::Joined => phase_split::joined(&timings, seen),
        _ => phase_split::alone(&timings),
    };
    let since = |at_ns: u64| at_ns.saturating_sub(timings.asked_ns);
    let read = |&(at_ns, bytes): &(u64, u64)| Read { at_ns: since(at_ns), bytes };
    Attempt {
        after_ns: timings.asked_ns.saturating_sub(call_began_ns),
        phases,
        outcome: timings.outcome.into(),
        join,
        reuse,
        status: timings.status,
        http: timings.http.map(|version| version.as_str().to_owned()),
        first_content_ns: timings.first_content_ns.map(since),
        reads: timings.reads.iter().map(read).collect(),
        reads_total: timings.reads_total,
        body_bytes: timings.body_bytes,
        socket: seen.map(|seen| {
            let Seen { connection, exchange } = *seen;
            let addresses = (connection.local, connection.remote);
            Socket {
                resolver: connection.resolver,
                ..Socket::of(addresses, connection.tls, exchange.as_ref(), timings.asked_ns)
            }
        }),
        request_id: timings.request_id,
        error: timings.error,
    }
}
