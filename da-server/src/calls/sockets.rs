//! Connections and exchanges that the kernel saw, until an attempt claims them.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;

use crate::kernel::{ConnectionId, HandshakeKind, Observation, SeenExchange, What};

/// Exchanges that are kept in all: more than can be made in the time that a report takes.
const MAX_EXCHANGES: usize = 65_536;
/// The same of one connection, which is looked through for each attempt on it.
const MAX_EXCHANGES_PER_CONNECTION: usize = 1_024;
/// Connections that are kept after their close, for attempts that have not been reported yet.
const MAX_CLOSED: usize = 4_096;
/// Connections that are kept in all: the end of one may have been lost.
const MAX_CONNECTIONS: usize = 65_536;

/// Identifies a connection: when it began, ns, and its socket, for those that began at the same time.
pub type ConnectionKey = (u64, u64);

/// One connection. Times are ns of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone)]
pub struct ObservedConnection {
    /// The kernel view's name for it.
    pub id: ConnectionId,
    /// Local address; port 0 where the connect failed.
    pub local: SocketAddr,
    /// Remote address.
    pub remote: SocketAddr,
    /// Process that connected.
    pub pid: u32,
    /// Its thread that did.
    pub thread: u32,
    /// Who told its host's addresses, if that was seen.
    pub resolver: Option<SocketAddr>,
    /// ESTABLISHED.
    pub established_ns: Option<u64>,
    /// ClientHello sent, and handshake done.
    pub handshake_ns: Option<(u64, u64)>,
    /// How that went.
    pub tls: Option<HandshakeKind>,
    /// CLOSE.
    pub closed_ns: Option<u64>,
    /// The attempt that began it is known.
    pub begun_by_known: bool,
    /// The last exchanges, oldest first.
    exchanges: VecDeque<TrackedExchange>,
    /// When something was last seen of it, as [`Sockets::seen`] counts.
    last_seen: u64,
}

/// An exchange, until an attempt claims it.
#[derive(Debug, Clone)]
struct TrackedExchange {
    exchange: SeenExchange,
    claimed: bool,
}

/// All connections of interest that the kernel view speaks of, in bounded memory.
#[derive(Debug, Default)]
pub struct Sockets {
    connections: BTreeMap<ConnectionKey, ObservedConnection>,
    by_addresses: HashMap<(SocketAddr, SocketAddr), Vec<ConnectionKey>>,
    /// Unclaimed exchanges by when their requests were first sent.
    unclaimed: BTreeSet<(u64, ConnectionKey)>,
    closed: VecDeque<ConnectionKey>,
    /// Connections by when something was last seen of them.
    by_use: BTreeSet<(u64, ConnectionKey)>,
    /// Connections of the exchanges that are kept, one for each, oldest first.
    kept: VecDeque<ConnectionKey>,
    /// Observations so far.
    seen: u64,
    /// This process as the kernel names it, which within a PID namespace is not how it names itself:
    /// learned from what is found by its addresses.
    own_pid: Option<u32>,
}

impl Sockets {
    /// None yet. `own_pid` is this process as the kernel names it, where that is known.
    pub fn new(own_pid: Option<u32>) -> Self {
        Self { own_pid, ..Self::default() }
    }

    /// Takes in what the kernel saw.
    pub fn observed(&mut self, seen: Observation) {
        let key = (seen.connection.born_ns, seen.connection.sock);
        let connection = self.connections.entry(key).or_insert_with(|| {
            if seen.local.port() != 0 {
                self.by_addresses.entry((seen.local, seen.remote)).or_default().push(key);
            }
            ObservedConnection {
                id: seen.connection,
                local: seen.local,
                remote: seen.remote,
                pid: seen.pid,
                thread: seen.thread,
                resolver: None,
                established_ns: None,
                handshake_ns: None,
                tls: None,
                closed_ns: None,
                begun_by_known: false,
                exchanges: VecDeque::new(),
                last_seen: 0,
            }
        });
        self.by_use.remove(&(connection.last_seen, key));
        self.seen += 1;
        connection.last_seen = self.seen;
        self.by_use.insert((self.seen, key));
        match seen.what {
            // How long that took the application has timed itself.
            What::Resolved(resolved) => connection.resolver = resolved.resolver,
            What::Connected { to_ns, .. } => connection.established_ns = Some(to_ns),
            What::HandshakeDone { from_ns, to_ns, kind } => {
                connection.handshake_ns = Some((from_ns, to_ns));
                connection.tls = Some(kind);
            }
            What::EndedUp(_) => {}
            What::Exchange(exchange) => {
                if connection.exchanges.len() >= MAX_EXCHANGES_PER_CONNECTION
                    && let Some(oldest) = connection.exchanges.pop_front()
                {
                    self.unclaimed.remove(&(oldest.exchange.request_first_ns, key));
                } else {
                    self.kept.push_back(key);
                }
                self.unclaimed.insert((exchange.request_first_ns, key));
                connection
                    .exchanges
                    .push_back(TrackedExchange { exchange: *exchange, claimed: false });
            }
            What::Closed { at_ns, established_ns, .. } => {
                connection.closed_ns = Some(at_ns);
                connection.established_ns = connection.established_ns.or(established_ns);
                self.closed.push_back(key);
            }
        }
        self.evict();
    }

    /// The connection between two addresses at some time.
    pub fn between(
        &self,
        addresses: (SocketAddr, SocketAddr),
        at_ns: u64,
    ) -> Option<&ObservedConnection> {
        let keys = self.by_addresses.get(&addresses)?;
        let connections = keys.iter().rev().filter_map(|key| self.connections.get(key));
        connections.into_iter().find(|connection| {
            connection.id.born_ns <= at_ns && connection.closed_ns.is_none_or(|end| end >= at_ns)
        })
    }

    /// Claims the exchange between two addresses whose request was taken by the connection at
    /// `taken_ns` and whose answer was read at `answered_ns`. One connection carries one exchange at
    /// a time, so there is no other.
    pub fn claim(
        &mut self,
        addresses: (SocketAddr, SocketAddr),
        taken_ns: u64,
        answered_ns: u64,
    ) -> Option<(ObservedConnection, SeenExchange)> {
        let keys = self.by_addresses.get(&addresses)?;
        let (key, number) = keys.iter().rev().find_map(|key| {
            let exchanges = self.connections.get(key)?.exchanges.iter().rev();
            let fits = |one: &&TrackedExchange| {
                !one.claimed
                    && one.exchange.request_last_ns >= taken_ns
                    && one.exchange.request_first_ns <= answered_ns
            };
            exchanges.into_iter().find(fits).map(|one| (*key, one.exchange.number))
        })?;
        self.own_pid = self.connections.get(&key).map(|connection| connection.pid);
        self.claim_exchange(key, number)
    }

    /// Claims one exchange.
    pub fn claim_exchange(
        &mut self,
        key: ConnectionKey,
        number: u64,
    ) -> Option<(ObservedConnection, SeenExchange)> {
        let connection = self.connections.get_mut(&key)?;
        let kept = connection.exchanges.iter_mut().find(|one| one.exchange.number == number)?;
        kept.claimed = true;
        let exchange = kept.exchange.clone();
        self.unclaimed.remove(&(exchange.request_first_ns, key));
        Some((connection.without_exchanges(), exchange))
    }

    /// Says that the attempt which began a connection is known.
    pub fn claim_connection(&mut self, key: ConnectionKey) -> Option<ObservedConnection> {
        let connection = self.connections.get_mut(&key)?;
        connection.begun_by_known = true;
        Some(connection.without_exchanges())
    }

    /// Unclaimed exchanges of this process whose request was first sent within that time.
    pub fn unclaimed(
        &self,
        from_ns: u64,
        to_ns: u64,
    ) -> impl Iterator<Item = (&ObservedConnection, &SeenExchange)> {
        let range = self.unclaimed.range((from_ns, (0, 0))..=(to_ns, (u64::MAX, u64::MAX)));
        range.filter_map(|(first_ns, key)| {
            let connection = self.connections.get(key).filter(|one| self.is_own(one))?;
            let mut exchanges = connection.exchanges.iter().map(|kept| &kept.exchange);
            let exchange = exchanges.find(|one| one.request_first_ns == *first_ns)?;
            Some((connection, exchange))
        })
    }

    /// Connections of this process, begun within that time by nobody knows which attempt.
    pub fn born(&self, from_ns: u64, to_ns: u64) -> impl Iterator<Item = &ObservedConnection> {
        let range = self.connections.range((from_ns, 0)..=(to_ns, u64::MAX));
        range
            .map(|(_, connection)| connection)
            .filter(|connection| !connection.begun_by_known && self.is_own(connection))
    }

    /// Whether threads name themselves as the kernel names them: not within a PID namespace.
    pub fn knows_threads(&self) -> bool {
        self.own_pid == Some(std::process::id())
    }

    /// Whether the kernel's name for a thread may be that of one which names itself so. It has none, 0, for who
    /// sent what no hook saw.
    pub fn may_be_thread(&self, seen: u32, named: u32) -> bool {
        seen == named || seen == 0 || !self.knows_threads()
    }

    /// Whether a process is known to be another one than this.
    pub fn is_foreign(&self, pid: u32) -> bool {
        self.own_pid.is_some_and(|own| own != pid)
    }

    fn is_own(&self, connection: &ObservedConnection) -> bool {
        !self.is_foreign(connection.pid)
    }

    fn evict(&mut self) {
        if self.closed.len() > MAX_CLOSED
            && let Some(key) = self.closed.pop_front()
        {
            self.remove(key);
        }
        if self.connections.len() > MAX_CONNECTIONS
            && let Some((_, key)) = self.by_use.first().copied()
        {
            self.remove(key);
        }
        if self.kept.len() > MAX_EXCHANGES
            && let Some(key) = self.kept.pop_front()
            && let Some(connection) = self.connections.get_mut(&key)
            && let Some(oldest) = connection.exchanges.pop_front()
        {
            self.unclaimed.remove(&(oldest.exchange.request_first_ns, key));
        }
    }

    fn remove(&mut self, key: ConnectionKey) {
        let Some(connection) = self.connections.remove(&key) else { return };
        self.by_use.remove(&(connection.last_seen, key));
        for TrackedExchange { exchange, .. } in &connection.exchanges {
            self.unclaimed.remove(&(exchange.request_first_ns, key));
        }
        let addresses = (connection.local, connection.remote);
        if let Some(keys) = self.by_addresses.get_mut(&addresses) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_addresses.remove(&addresses);
            }
        }
    }
}

impl ObservedConnection {
    /// The connection's key.
    pub fn key(&self) -> ConnectionKey {
        (self.id.born_ns, self.id.sock)
    }

    fn without_exchanges(&self) -> Self {
        let Self {
            id,
            local,
            remote,
            pid,
            thread,
            established_ns,
            handshake_ns,
            resolver,
            tls,
            closed_ns,
            ..
        } = *self;
        Self {
            id,
            local,
            remote,
            pid,
            thread,
            resolver,
            established_ns,
            handshake_ns,
            tls,
            closed_ns,
            begun_by_known: self.begun_by_known,
            exchanges: VecDeque::new(),
            last_seen: self.last_seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{EndpointKind, ExchangeOutcome, Measured};

    const REMOTE: ([u8; 4], u16) = ([127, 0, 0, 1], 443);

    fn local(born_ns: u64) -> SocketAddr {
        SocketAddr::from(([127, (born_ns >> 16) as u8, (born_ns >> 8) as u8, born_ns as u8], 1_000))
    }

    fn observation(born_ns: u64, what: What) -> Observation {
        Observation {
            connection: ConnectionId { sock: 1, born_ns },
            endpoint: "a".to_owned(),
            kind: EndpointKind::Llm,
            pid: 1,
            thread: 1,
            process: String::new(),
            workload: None,
            local: local(born_ns),
            remote: SocketAddr::from(REMOTE),
            what,
        }
    }

    fn exchange(number: u64) -> What {
        What::Exchange(Box::new(SeenExchange {
            number,
            request_first_ns: 1_000 * number,
            request_thread: 1,
            request_last_ns: 1_000 * number + 1,
            request_bytes: 1,
            response_bytes: 1,
            arrivals_ns: Vec::new(),
            last_arrival_ns: None,
            is_first: number == 1,
            idle_before_ns: None,
            first_pickup: None,
            least_rtt_ns: None,
            run_delay_ns: None,
            is_buffered: false,
            is_http1: false,
            rtt_ns: None,
            retransmits: 0,
            window_closed_ns: 0,
            long_gaps: None,
            measured: Measured::without_sample(ExchangeOutcome::Ok),
        }))
    }

    fn addresses(born_ns: u64) -> (SocketAddr, SocketAddr) {
        (local(born_ns), SocketAddr::from(REMOTE))
    }

    #[test]
    fn a_busy_connection_keeps_all_that_happened_since_the_last_round() {
        const EXCHANGES: u64 = 500; // ten thousand a second, a twentieth of a second long
        let mut sockets = Sockets::default();
        for number in 1..=EXCHANGES {
            sockets.observed(observation(1, exchange(number)));
        }
        for number in 1..=EXCHANGES {
            let at_ns = 1_000 * number;
            let claimed = sockets.claim(addresses(1), at_ns, at_ns + 500);
            assert_eq!(claimed.map(|(_, exchange)| exchange.number), Some(number));
        }
    }

    #[test]
    fn what_is_kept_has_a_bound_for_each_connection_and_for_all() {
        let mut sockets = Sockets::default();
        for number in 1..=2 * MAX_EXCHANGES_PER_CONNECTION as u64 {
            sockets.observed(observation(1, exchange(number)));
        }
        assert_eq!(sockets.unclaimed.len(), MAX_EXCHANGES_PER_CONNECTION);
        assert_eq!(sockets.kept.len(), MAX_EXCHANGES_PER_CONNECTION);
        for born_ns in 2..=MAX_EXCHANGES as u64 {
            sockets.observed(observation(born_ns, exchange(born_ns)));
        }
        assert_eq!(sockets.unclaimed.len(), MAX_EXCHANGES);
        assert_eq!(sockets.connections[&(1, 1)].exchanges.len(), 1, "the oldest went first");
    }

    #[test]
    fn of_too_many_connections_the_one_goes_that_has_been_idle_for_longest() {
        let mut sockets = Sockets::default();
        for born_ns in 1..=MAX_CONNECTIONS as u64 {
            sockets.observed(observation(born_ns, exchange(1)));
        }
        sockets.observed(observation(1, exchange(2)));
        sockets.observed(observation(MAX_CONNECTIONS as u64 + 1, exchange(1)));
        assert!(sockets.between(addresses(1), u64::MAX).is_some(), "the oldest is in use");
        assert!(sockets.between(addresses(2), u64::MAX).is_none(), "the next one is not");
        assert_eq!(sockets.by_use.len(), sockets.connections.len());
    }
}
