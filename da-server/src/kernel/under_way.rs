//! Requests that are under way: what the programs' records say of them at one moment.
//!
//! Where a response ends does not show, since it is encrypted: one of which nothing has come for a second may be over
//! or pause, and after `kernel.silence_seconds` it is taken for over.

mod metrics;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use da_ebpf_common::connection::{Connection, Phase, flags};
use serde::{Deserialize, Serialize};

pub use self::metrics::UnderWayMetrics;
use super::endpoints::catalogue::EndpointKind;

/// Requests that can be shown one by one, the oldest; all are counted.
const MAX_KEPT: usize = 4_096;
/// A response of which nothing has come for so long may be over.
const QUIET_NS: u64 = 1_000_000_000;

/// What a request is waiting for: label value of `socket_requests_in_flight{state}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// Its connection is being established.
    Connecting,
    /// Its TLS handshake has begun.
    Handshake,
    /// It was sent, and nothing has come that is an answer.
    Waiting,
    /// The same, and the other side has closed its half of the connection: no answer will come.
    PeerClosed,
    /// Its response has begun, and the process does not read: the receive window is used up.
    Unread,
    /// Its response has begun, and something has come of it within the last second.
    Responding,
    /// Its response has begun, and nothing has come of it in the last second: it is over, or pauses.
    Quiet,
    /// It was not answered, and the process has closed its half of the connection: mostly, it has given up.
    Closing,
}

impl RequestState {
    /// Every state, in order.
    pub const ALL: [Self; 8] = [
        Self::Connecting,
        Self::Handshake,
        Self::Waiting,
        Self::PeerClosed,
        Self::Unread,
        Self::Responding,
        Self::Quiet,
        Self::Closing,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Handshake => "handshake",
            Self::Waiting => "waiting",
            Self::PeerClosed => "peer_closed",
            Self::Unread => "unread",
            Self::Responding => "responding",
            Self::Quiet => "quiet",
            Self::Closing => "closing",
        }
    }
}

/// A request under way. Lengths of time are up to when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnderWay {
    /// Tells its connection from others: when that began, ns of `CLOCK_MONOTONIC`.
    pub id: u64,
    /// What kind of service is called.
    pub kind: EndpointKind,
    /// Label value of the endpoint.
    pub provider: String,
    /// Name of the process, at most 15 bytes.
    pub process: String,
    /// Its number, as the initial PID namespace has it.
    pub pid: u32,
    /// The workload it belongs to, if that is known: `namespace/pod`, a container or a systemd unit.
    pub workload: Option<String>,
    /// Local address; unset while it is connecting.
    pub local: SocketAddr,
    /// Remote address.
    pub remote: SocketAddr,
    /// What it is waiting for.
    pub state: RequestState,
    /// Since it began: its connect if that is for it, otherwise its first send.
    pub age_ns: u64,
    /// Since it is in this state.
    pub in_state_ns: u64,
    /// Its number on its connection, from 1; 0 before it was sent.
    pub exchange: u64,
    /// Bytes of it so far, TLS records included.
    pub request_bytes: u64,
    /// Bytes of its response so far.
    pub response_bytes: u64,
    /// For how long nothing has come of its response; none before it has begun.
    pub silent_ns: Option<u64>,
    /// Bytes at the socket that the process has not read.
    pub unread_bytes: u64,
    /// For how long the other side can send nothing because nobody reads; 0 where it can.
    pub window_closed_ns: u64,
}

/// All of them at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was, ns of `CLOCK_MONOTONIC`; 0 if nobody has looked.
    pub at_ns: u64,
    /// Those on which nothing moves, then those whose response is under way, then those that may be over; of each kind
    /// the oldest first.
    pub requests: Vec<UnderWay>,
    /// How many there are in all.
    pub total: usize,
}

impl Snapshot {
    /// Of all that are under way.
    pub fn new(at_ns: u64, mut requests: Vec<UnderWay>) -> Self {
        let total = requests.len();
        let moves = |request: &UnderWay| match request.state {
            RequestState::Quiet | RequestState::Closing => 2,
            RequestState::Responding => 1,
            _ => 0,
        };
        requests.sort_by_key(|request| (moves(request), std::cmp::Reverse(request.age_ns)));
        requests.truncate(MAX_KEPT);
        Self { at_ns, requests, total }
    }
}

/// The latest snapshot, for all who want to see it.
#[derive(Debug, Clone, Default)]
pub struct LatestUnderWay(Arc<Mutex<Arc<Snapshot>>>);

impl LatestUnderWay {
    /// What was seen last; nothing at all before that.
    #[must_use]
    pub fn get(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, snapshot: Snapshot) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}

/// Where the reader puts what is under way; clones are one.
#[derive(Debug, Clone)]
pub struct UnderWayOutput {
    /// For whoever wants to see them.
    pub latest: LatestUnderWay,
    /// In figures.
    pub metrics: UnderWayMetrics,
}

impl UnderWayOutput {
    /// These were under way at that time, and no others.
    pub fn set(&mut self, at_ns: u64, requests: Vec<UnderWay>) {
        self.metrics.set(&requests);
        self.latest.set(Snapshot::new(at_ns, requests));
    }

    /// Nobody looks any more.
    pub fn end(&self) {
        self.metrics.end();
        self.latest.set(Snapshot::default());
    }
}

/// How far a connection's request has got. Times are ns of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is waiting for.
    pub state: RequestState,
    /// Since when it is under way.
    pub began_ns: u64,
    /// Since when it is in this state.
    pub since_ns: u64,
}

/// What the record of a connection says of its request at `now_ns`, if one is under way; one of which nothing has come
/// for `silence_ns` is over, unless `may_be_tickets`: all that has come may be TLS session tickets.
pub fn progress(
    record: &Connection,
    now_ns: u64,
    silence_ns: u64,
    may_be_tickets: impl Fn() -> bool,
) -> Option<Progress> {
    use RequestState::{
        Closing, Connecting, Handshake, PeerClosed, Quiet, Responding, Unread, Waiting,
    };
    let seen_from_the_start = record.flags & (flags::PRE_EXISTING | flags::UNSEEN_CONNECT) == 0;
    let at = |state, began_ns, since_ns| Some(Progress { state, began_ns, since_ns });
    let unanswered = |state, began_ns, since_ns| match record.half_closed_ns {
        0 => at(state, began_ns, since_ns),
        closed_ns if record.half_closed_by_peer != 0 => at(PeerClosed, began_ns, closed_ns),
        closed_ns => at(Closing, began_ns, closed_ns),
    };
    if record.request == 0 {
        return match record.phase {
            phase if phase == Phase::Handshake as u32 => {
                let began_ns = if seen_from_the_start { record.born_ns } else { record.hello_ns };
                unanswered(Handshake, began_ns, record.hello_ns)
            }
            phase
                if phase == Phase::Fresh as u32
                    && record.established_ns == 0
                    && seen_from_the_start =>
            {
                at(Connecting, record.born_ns, record.born_ns)
            }
            // Ready, and nothing is asked.
            _ => None,
        };
    }
    let began_ns = record.request_first_ns;
    let slot = &record.arrivals[(record.request & 1) as usize];
    let has_begun = slot.request == record.request as u32 && slot.response.first_ns != 0;
    let picked_up = &record.pickups[(record.request & 1) as usize];
    let skipped = picked_up.request == record.request as u32 && picked_up.skipped_arrivals != 0;
    if !has_begun && !skipped || may_be_tickets() {
        return unanswered(Waiting, began_ns, record.request_last_ns);
    }
    let last_ns = record.last_arrival_ns.max(record.request_last_ns);
    if is_window_closed(record) {
        return at(Unread, began_ns, record.window_full_ns);
    }
    let silent_ns = now_ns.saturating_sub(last_ns);
    if silent_ns >= silence_ns {
        return None;
    }
    if silent_ns >= QUIET_NS {
        return at(Quiet, began_ns, last_ns);
    }
    let first_ns = if has_begun { slot.response.first_ns } else { last_ns };
    at(Responding, began_ns, first_ns)
}

/// Whether the other side can send nothing because nobody reads.
pub fn is_window_closed(record: &Connection) -> bool {
    record.window_full_ns != record.window_read_ns
}

/// Bytes that have arrived and that no read which has returned took.
pub fn unread_bytes(record: &Connection) -> u64 {
    let unread = (record.received_bytes as u32).wrapping_sub(record.read_bytes).cast_signed();
    // Of a connection that is older than the programs, reads are known from the first one on.
    u64::try_from(unread).unwrap_or(0)
}

#[cfg(test)]
mod tests;
