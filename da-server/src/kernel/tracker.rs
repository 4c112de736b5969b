//! Events → attributed measurements: keeps what must be remembered of each connection meanwhile.

use std::collections::{HashMap, HashSet};
use std::mem;

use da_ebpf_common::connection::{Closed, Peers};
use da_ebpf_common::event::{ConnectionId, Header};
use da_ebpf_common::exchange::{Exchange, FirstArrivals};
use da_ebpf_common::tls::{FirstBytes, Handshake};
use prometheus::Registry;

use super::connection::{ConnectionMetrics, ConnectionOutcome, addresses, process_name};
use super::endpoints::{Attribution, EndpointId, Endpoints};
use super::event::Event;
use super::exchange::{ExchangeMetrics, measure};
use super::losses::{Loss, LossMetrics};
use super::names::Opening;
use super::observation::{Observation, What};
use super::tickets::Tickets;
use super::tls::{HandshakeKind, TlsMetrics};

/// What the reader must do after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Keep,
    /// Tell the programs that the connection is of no interest.
    Forget(ConnectionId),
}

/// What is remembered of a connection.
#[derive(Debug)]
struct Known {
    endpoint: EndpointId,
    peers: Peers,
    http2_offered: bool,
    resumes: bool,
    first_arrivals: Option<Box<FirstArrivals>>,
    ended_up: bool,
    sent_bytes: u64,
    received_bytes: u64,
}

impl Known {
    fn new(endpoint: EndpointId, peers: Peers) -> Self {
        Self {
            endpoint,
            peers,
            http2_offered: false,
            resumes: false,
            first_arrivals: None,
            ended_up: false,
            sent_bytes: 0,
            received_bytes: 0,
        }
    }
}

/// The connections that are of interest, and all families that speak of them.
#[derive(Debug)]
pub struct Tracker {
    endpoints: Endpoints,
    known: HashMap<ConnectionId, Known>,
    /// Connections that were found to be of no interest, of this and of the previous batch: events
    /// of theirs may be on the way.
    forgotten: [HashSet<ConnectionId>; 2],
    /// Hosts that were asked of a proxy, until the ClientHello comes through it.
    tunnels: HashMap<ConnectionId, Option<String>>,
    /// By endpoint, and for resumed handshakes apart.
    tickets: HashMap<(EndpointId, bool), Tickets>,
    /// Connections that the programs did not follow any more at the last sweep.
    gone: HashSet<ConnectionId>,
    connections: ConnectionMetrics,
    tls: TlsMetrics,
    exchanges: ExchangeMetrics,
    losses: LossMetrics,
    observations: Vec<Observation>,
}

impl Tracker {
    /// Registers every family.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn new(
        endpoints: Endpoints,
        losses: LossMetrics,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        Ok(Self {
            endpoints,
            known: HashMap::new(),
            forgotten: Default::default(),
            tunnels: HashMap::new(),
            tickets: HashMap::new(),
            gone: HashSet::new(),
            connections: ConnectionMetrics::register(registry)?,
            tls: TlsMetrics::register(registry)?,
            exchanges: ExchangeMetrics::register(registry)?,
            losses,
            observations: Vec::new(),
        })
    }

    /// Takes one event in.
    pub fn take(&mut self, event: &Event<'_>) -> Verdict {
        match event {
            Event::FirstBytes(first, payload) => return self.first_bytes(first, payload),
            Event::Handshake(handshake) => self.handshake(handshake),
            Event::FirstArrivals(first) => {
                if let Some(known) = self.find(&first.header) {
                    known.first_arrivals = Some(Box::new(*first));
                }
            }
            Event::Exchange(exchange) => self.exchange(exchange),
            Event::Closed(closed) => self.closed(closed),
        }
        Verdict::Keep
    }

    /// Forgets connections whose end was lost: those that `is_tracked` did not know the last time and
    /// does not know now. Of the others the end may be on the way.
    pub fn sweep(&mut self, is_tracked: impl Fn(ConnectionId) -> bool) {
        let remembered = self.known.keys().chain(self.tunnels.keys());
        let gone: HashSet<_> = remembered.copied().filter(|id| !is_tracked(*id)).collect();
        for id in gone.intersection(&self.gone) {
            self.known.remove(id);
            self.tunnels.remove(id);
        }
        self.gone = gone;
    }

    /// All events that were there have been taken.
    pub fn batch_ends(&mut self) {
        if self.forgotten.iter().any(|batch| !batch.is_empty()) {
            self.forgotten[1] = mem::take(&mut self.forgotten[0]);
        }
    }

    /// What happened since the last call, oldest first.
    pub fn observations(&mut self) -> std::vec::Drain<'_, Observation> {
        self.observations.drain(..)
    }

    fn first_bytes(&mut self, first: &FirstBytes, payload: &[u8]) -> Verdict {
        let id = first.header.connection;
        let opening = Opening::read(payload);
        if opening == Opening::Unparsable {
            self.losses.count(Loss::UnparsableHello);
        }
        if let Opening::Tunnel { host } = opening {
            self.tunnels.insert(id, host);
            return Verdict::Keep;
        }
        let attribution = match self.tunnels.remove(&id) {
            Some(host) => self.endpoints.attribute_proxied(opening.name().or(host.as_deref())),
            None => self.endpoints.attribute(opening.name(), addresses(&first.peers).1),
        };
        let endpoint = match attribution {
            Attribution::To(endpoint) => endpoint,
            Attribution::Unlisted | Attribution::Ambiguous => {
                if attribution == Attribution::Ambiguous {
                    self.losses.count(Loss::AmbiguousAddress);
                }
                self.known.remove(&id);
                self.forgotten[0].insert(id);
                return Verdict::Forget(id);
            }
        };
        let (http2_offered, resumes) = match opening {
            Opening::Tls { offers_http2, resumes, .. } => (offers_http2, resumes),
            _ => (false, false),
        };
        let known = Known { http2_offered, resumes, ..Known::new(endpoint, first.peers) };
        self.known.insert(id, known);
        if first.established_ns != 0 {
            let (from_ns, to_ns) = (id.born_ns, first.established_ns);
            let labels = self.endpoints.labels(endpoint);
            self.connections.connected(endpoint, labels, to_ns.saturating_sub(from_ns));
            self.report(id, What::Connected { from_ns, to_ns });
        }
        if matches!(opening, Opening::Http { .. } | Opening::Unknown) {
            self.ended_up(id, ConnectionOutcome::Ok);
        }
        Verdict::Keep
    }

    fn handshake(&mut self, handshake: &Handshake) {
        let id = handshake.header.connection;
        let Some(known) = self.find(&handshake.header) else { return };
        let endpoint = known.endpoint;
        let (from_ns, to_ns) = (handshake.hello_ns, handshake.done_ns);
        let labels = self.endpoints.labels(endpoint);
        self.tls.shook_hands(endpoint, labels, to_ns.saturating_sub(from_ns));
        let kind = HandshakeKind::of(handshake.flags);
        self.report(id, What::HandshakeDone { from_ns, to_ns, kind });
        self.ended_up(id, ConnectionOutcome::Ok);
    }

    fn exchange(&mut self, exchange: &Exchange) {
        let id = exchange.header.connection;
        let Some(known) = self.find(&exchange.header) else { return };
        let (endpoint, http2_offered) = (known.endpoint, known.http2_offered);
        let server = (endpoint, known.resumes);
        let first_arrivals = known.first_arrivals.take();
        self.transferred(id, exchange.sent_bytes, exchange.received_bytes);
        let tickets = self.tickets.entry(server).or_default();
        let measured = measure(exchange, http2_offered, first_arrivals.as_deref(), tickets);
        self.exchanges.finished(endpoint, self.endpoints.labels(endpoint), &measured);
        self.report(
            id,
            What::Exchange {
                number: exchange.number,
                request_first_ns: exchange.request_first_ns,
                request_last_ns: exchange.request_last_ns,
                request_bytes: exchange.request_bytes,
                response_bytes: exchange.arrivals.bytes,
                measured,
            },
        );
    }

    fn closed(&mut self, closed: &Closed) {
        let id = closed.header.connection;
        self.tunnels.remove(&id);
        if self.forgotten.iter_mut().any(|batch| batch.remove(&id)) {
            return;
        }
        if !self.known.contains_key(&id) && !self.known_by_address(closed) {
            return;
        }
        if let Some(outcome) = ConnectionOutcome::of(closed) {
            self.ended_up(id, outcome);
        }
        self.transferred(id, closed.sent_bytes, closed.received_bytes);
        let (at_ns, sent_bytes) = (closed.closed_ns, closed.sent_bytes);
        let received_bytes = closed.received_bytes;
        self.report(id, What::Closed { at_ns, sent_bytes, received_bytes });
        self.known.remove(&id);
    }

    /// A connection whose first bytes were never reported: there were none, or the report was lost.
    fn known_by_address(&mut self, closed: &Closed) -> bool {
        let (_, remote) = addresses(&closed.peers);
        match self.endpoints.attribute(None, remote) {
            Attribution::To(endpoint) => {
                let known = Known::new(endpoint, closed.peers);
                self.known.insert(closed.header.connection, known);
                true
            }
            Attribution::Ambiguous => {
                self.losses.count(Loss::AmbiguousAddress);
                false
            }
            Attribution::Unlisted => false,
        }
    }

    /// The connection an event speaks of; an event of an unknown one is counted as lost.
    fn find(&mut self, header: &Header) -> Option<&mut Known> {
        let known = self.known.get_mut(&header.connection);
        let forgotten = || self.forgotten.iter().any(|batch| batch.contains(&header.connection));
        if known.is_none() && !forgotten() {
            self.losses.count(Loss::UnknownConnection);
        }
        known
    }

    fn ended_up(&mut self, id: ConnectionId, outcome: ConnectionOutcome) {
        let Some(known) = self.known.get_mut(&id).filter(|known| !known.ended_up) else { return };
        known.ended_up = true;
        let labels = self.endpoints.labels(known.endpoint);
        self.connections.ended_up(known.endpoint, labels, outcome);
        self.report(id, What::EndedUp(outcome));
    }

    /// Events carry running totals, so that a lost exchange loses no bytes.
    fn transferred(&mut self, id: ConnectionId, sent_bytes: u64, received_bytes: u64) {
        let Some(known) = self.known.get_mut(&id) else { return };
        let sent = sent_bytes.saturating_sub(known.sent_bytes);
        let received = received_bytes.saturating_sub(known.received_bytes);
        (known.sent_bytes, known.received_bytes) = (sent_bytes, received_bytes);
        let labels = self.endpoints.labels(known.endpoint);
        self.connections.transferred(known.endpoint, labels, sent, received);
    }

    fn report(&mut self, connection: ConnectionId, what: What) {
        let Some(known) = self.known.get(&connection) else { return };
        let labels = self.endpoints.labels(known.endpoint);
        let (local, remote) = addresses(&known.peers);
        self.observations.push(Observation {
            connection,
            endpoint: labels.name.clone(),
            kind: labels.kind,
            pid: known.peers.pid,
            process: process_name(&known.peers),
            local,
            remote,
            what,
        });
    }
}
