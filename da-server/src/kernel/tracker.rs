//! Events → attributed measurements: keeps what must be remembered of each connection meanwhile.

mod older;

use std::collections::{HashMap, HashSet};
use std::mem;

use da_ebpf_common::connection::{Closed, Connection, Peers, flags};
use da_ebpf_common::event::{ConnectionId, Header};
use da_ebpf_common::exchange::Exchange;
use da_ebpf_common::existing::Existing;
use da_ebpf_common::tls::{FirstBytes, Handshake};
use prometheus::Registry;

use super::arrival::ArrivalMetrics;
use super::catalogue::EndpointConfig;
use super::config::Unlisted;
use super::connection::{ConnectionMetrics, ConnectionOutcome, addresses, process_name};
use super::endpoints::{Attribution, EndpointId, Endpoints};
use super::event::Event;
use super::exchange::{ExchangeMetrics, measure};
use super::interleaving::{Interleaving, Interleavings};
use super::known::{Begun, Known, Settled, Totals};
use super::losses::{Loss, LossMetrics};
use super::names::{Opening, is_http2_frame};
use super::observation::{Observation, Pickup, What};
use super::pickup::PickupMetrics;
use super::reset::ResetMetrics;
use super::series::{AllSeries, SeriesId, SeriesLabels, SocketRegistry};
use super::settle::settle;
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

/// The connections that are of interest, and all families that speak of them.
#[derive(Debug)]
pub struct Tracker {
    endpoints: Endpoints,
    series: AllSeries,
    known: HashMap<ConnectionId, Known>,
    /// Connections that were found to be of no interest, of this and of the previous batch: events
    /// of theirs may be on the way.
    forgotten: [HashSet<ConnectionId>; 2],
    /// Connections older than the programs whose address does not tell whose they are; in the
    /// clear, the next request has a name.
    undetermined: HashMap<ConnectionId, Existing>,
    /// Sockets forgotten until now, while older ones have still to be looked for: the program that
    /// finds those finds these again.
    judged: Option<HashSet<u64>>,
    /// Hosts that were asked of a proxy, until the ClientHello comes through it.
    tunnels: HashMap<ConnectionId, Option<String>>,
    interleavings: Interleavings,
    /// By endpoint, and for resumed handshakes apart.
    tickets: HashMap<(EndpointId, bool), Tickets>,
    /// Connections that the programs did not follow any more at the last sweep.
    gone: HashSet<ConnectionId>,
    connections: ConnectionMetrics,
    tls: TlsMetrics,
    exchanges: ExchangeMetrics,
    arrivals: ArrivalMetrics,
    pickups: PickupMetrics,
    resets: ResetMetrics,
    losses: LossMetrics,
    observations: Vec<Observation>,
    attributed: Vec<Attributed>,
}

/// It is known now whose a connection is.
#[derive(Debug, Clone)]
pub struct Attributed {
    /// The connection.
    pub connection: ConnectionId,
    /// Process that connected.
    pub pid: u32,
    /// What it is measured under.
    pub labels: SeriesLabels,
}

impl Tracker {
    /// Registers every family.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn new(
        endpoints: Endpoints,
        series: AllSeries,
        losses: LossMetrics,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        let registry = SocketRegistry { registry, by_process: series.by_process() };
        Ok(Self {
            endpoints,
            series,
            known: HashMap::new(),
            forgotten: Default::default(),
            undetermined: HashMap::new(),
            judged: Some(HashSet::new()),
            tunnels: HashMap::new(),
            interleavings: Interleavings::default(),
            tickets: HashMap::new(),
            gone: HashSet::new(),
            connections: ConnectionMetrics::register(registry)?,
            tls: TlsMetrics::register(registry)?,
            exchanges: ExchangeMetrics::register(registry)?,
            arrivals: ArrivalMetrics::register(registry)?,
            pickups: PickupMetrics::register(registry)?,
            resets: ResetMetrics::register(registry)?,
            losses,
            observations: Vec::new(),
            attributed: Vec::new(),
        })
    }

    /// Attributes the connections from now on by another list. What is known of the others stays.
    pub fn replace_endpoints(&mut self, all: &[EndpointConfig], unlisted: Unlisted) {
        self.endpoints.replace(all, unlisted);
    }

    /// Takes one event in.
    pub fn take(&mut self, event: &Event<'_>) -> Verdict {
        self.attributed.clear();
        match event {
            Event::Existing(existing) => return self.existing(existing),
            Event::FirstBytes(first, payload) => return self.first_bytes(first, payload),
            Event::Handshake(handshake) => self.handshake(handshake),
            Event::FirstArrivals(first) => {
                if let Some(known) = self.find(&first.header) {
                    known.pending.first_arrivals = Some(Box::new(*first));
                }
            }
            Event::Gaps(samples) => {
                if let Some(known) = self.find(&samples.header) {
                    known.pending.gaps = Some(Box::new(samples.histogram));
                }
            }
            Event::Pickups(samples) => {
                if let Some(known) = self.find(&samples.header) {
                    known.pending.pickups = Some(Box::new(samples.histogram));
                }
            }
            Event::Exchange(exchange) => self.exchange(exchange),
            Event::Closed(closed) => self.closed(closed),
        }
        Verdict::Keep
    }

    /// Looks at the programs' record of every connection: counts the exchange that one which has been
    /// silent since then owes, and forgets those whose end was lost: that had no record the last time
    /// and have none now. Of the others the end may be on the way.
    pub fn sweep(
        &mut self,
        silent_since_ns: u64,
        record: impl Fn(ConnectionId) -> Option<Box<Connection>>,
    ) {
        let mut gone = HashSet::new();
        let known = self.known.keys().chain(self.tunnels.keys());
        let remembered: Vec<_> = known.chain(self.undetermined.keys()).copied().collect();
        for id in remembered {
            match record(id) {
                Some(record) => self.settle(id, &record, silent_since_ns),
                None => {
                    gone.insert(id);
                }
            }
        }
        for id in gone.intersection(&mem::take(&mut self.gone)) {
            self.remove(*id);
            self.tunnels.remove(id);
            self.undetermined.remove(id);
        }
        self.gone = gone;
    }

    fn settle(&mut self, id: ConnectionId, record: &Connection, silent_since_ns: u64) {
        let Some(settled) = settle(id, record, silent_since_ns) else { return };
        let exchange = settled.exchange;
        let Some(known) = self.known.get_mut(&id) else { return };
        if known.settled.is_some_and(|before| before.number == exchange.number) {
            return;
        }
        known.pending.first_arrivals = settled.first_arrivals.map(Box::new);
        known.pending.gaps = settled.gaps.map(Box::new);
        known.pending.pickups = settled.pickups.map(Box::new);
        self.exchange(&exchange);
        if let Some(known) = self.known.get_mut(&id) {
            let response_bytes = exchange.response.bytes;
            known.settled = Some(Settled { number: exchange.number, response_bytes });
        }
    }

    /// All events that were there have been taken.
    pub fn batch_ends(&mut self) {
        if self.forgotten.iter().any(|batch| !batch.is_empty()) {
            self.forgotten[1] = mem::take(&mut self.forgotten[0]);
        }
    }

    /// Connections that the event taken last attributed.
    pub fn attributed(&self) -> &[Attributed] {
        &self.attributed
    }

    /// What happened since the last call, oldest first.
    pub fn observations(&mut self) -> std::vec::Drain<'_, Observation> {
        self.observations.drain(..)
    }

    fn forget(&mut self, id: ConnectionId) -> Verdict {
        self.remove(id);
        self.forgotten[0].insert(id);
        if let Some(judged) = &mut self.judged {
            judged.insert(id.sock);
        }
        Verdict::Forget(id)
    }

    fn first_bytes(&mut self, first: &FirstBytes, payload: &[u8]) -> Verdict {
        let id = first.header.connection;
        // Records behind a handshake that was not seen have nothing to read in them.
        let readable = first.flags & flags::TLS_UNDER_WAY == 0;
        let opening = if readable { Opening::read(payload) } else { Opening::Unknown };
        if opening == Opening::Unparsable {
            self.losses.count(Loss::UnparsableHello);
        }
        if let Opening::Tunnel { host } = opening {
            self.tunnels.insert(id, host);
            return Verdict::Keep;
        }
        let (earlier, undetermined) = (self.remove(id), self.undetermined.remove(&id));
        let attribution = match (self.tunnels.remove(&id), &earlier) {
            (Some(host), _) => self.endpoints.attribute_proxied(opening.name().or(host.as_deref())),
            (None, Some(known)) if opening.name().is_none() => Attribution::To(known.endpoint),
            (None, _) => self.endpoints.attribute(opening.name(), addresses(&first.peers).1),
        };
        let endpoint = match attribution {
            Attribution::To(endpoint) => endpoint,
            Attribution::Unlisted | Attribution::Ambiguous => {
                if attribution == Attribution::Ambiguous {
                    self.losses.count(Loss::AmbiguousAddress);
                }
                return self.forget(id);
            }
        };
        let (resumes, sends_early) = match opening {
            Opening::Tls { resumes, sends_early, .. } => (resumes, sends_early),
            _ => (false, false),
        };
        let series = self.series_of(endpoint, &first.peers);
        let known = match (earlier, undetermined) {
            (Some(known), _) => Known { endpoint, series, ..known },
            (None, Some(existing)) => Known::existing(endpoint, series, &existing),
            (None, None) => Known::new(endpoint, series, first.peers),
        };
        let midway = first.flags & flags::PRE_EXISTING != 0 && opening == Opening::Unknown;
        let interleaving = match opening.interleaving() {
            _ if !readable => Interleaving::Unseen,
            Interleaving::No if midway && is_http2_frame(payload) => Interleaving::Certain,
            told => told,
        };
        let known = Known { interleaving, resumes, sends_early, joined_midway: midway, ..known };
        self.insert(id, known);
        if first.established_ns != 0 {
            let (from_ns, to_ns) = (id.born_ns, first.established_ns);
            let labels = self.series.labels(series);
            self.connections.connected(series, labels, to_ns.saturating_sub(from_ns));
            self.report(id, What::Connected { from_ns, to_ns });
        }
        if matches!(opening, Opening::Http { .. } | Opening::Http2 | Opening::Unknown) {
            self.ended_up(id, ConnectionOutcome::Ok);
        }
        Verdict::Keep
    }

    fn handshake(&mut self, handshake: &Handshake) {
        let id = handshake.header.connection;
        let Some(known) = self.find(&handshake.header) else { return };
        let series = known.series;
        let (from_ns, to_ns) = (handshake.hello_ns, handshake.done_ns);
        let labels = self.series.labels(series);
        self.tls.shook_hands(series, labels, to_ns.saturating_sub(from_ns));
        let kind = HandshakeKind::of(handshake.flags);
        self.report(id, What::HandshakeDone { from_ns, to_ns, kind });
        self.ended_up(id, ConnectionOutcome::Ok);
    }

    fn exchange(&mut self, exchange: &Exchange) {
        let id = exchange.header.connection;
        let Some(known) = self.find(&exchange.header) else { return };
        let pending = mem::take(&mut known.pending);
        let settled = known.settled.filter(|settled| settled.number == exchange.number);
        let (series, sends_early) = (known.series, known.sends_early);
        let server = (known.endpoint, known.resumes);
        let (told, remote) = (known.interleaving, addresses(&known.peers).1);
        let joined_midway = known.joined_midway && exchange.number == 1;
        self.advance(
            id,
            Totals {
                sent_bytes: exchange.sent_bytes,
                received_bytes: exchange.received_bytes,
                retransmits: exchange.retransmits.into(),
            },
        );
        if let Some(settled) = settled {
            if exchange.response.bytes > settled.response_bytes {
                self.losses.count(Loss::LateResponse);
            }
            return;
        }
        let tickets = self.tickets.entry(server).or_default();
        let first_arrivals = pending.first_arrivals.as_deref();
        let interleaved = self.interleavings.is_interleaved(remote, told, exchange.flags);
        let mixed = interleaved || sends_early || joined_midway;
        let measured = measure(exchange, mixed, first_arrivals, tickets);
        let labels = self.series.labels(series);
        self.pickups.picked_up(series, labels, exchange, pending.pickups.as_deref());
        let begun =
            pending.request.unwrap_or(Begun { first_ns: exchange.request_first_ns, bytes: 0 });
        let request = Begun { bytes: begun.bytes + exchange.request_bytes, ..begun };
        let Some(measured) = measured else {
            if let Some(known) = self.known.get_mut(&id) {
                known.pending.request = Some(request);
            }
            return;
        };
        let start_ns = measured.response_first_ns;
        let arrivals = start_ns.map_or_else(Vec::new, |at_ns| pending.response(exchange, at_ns));
        if start_ns.is_some() {
            self.arrivals.responded(series, labels, &arrivals, pending.gaps.as_deref());
        }
        self.connections.round_trip(series, labels, exchange.srtt_eighths_us);
        let Some(known) = self.known.get_mut(&id) else { return };
        if interleaved && mem::replace(&mut known.interleaved, true) {
            return; // it counts once, as a whole
        }
        known.exchanges += 1;
        self.exchanges.finished(series, labels, &measured);
        self.report(
            id,
            What::Exchange {
                number: exchange.number,
                request_first_ns: request.first_ns,
                request_last_ns: exchange.request_last_ns,
                request_bytes: request.bytes,
                response_bytes: exchange.response.bytes,
                arrivals_ns: arrivals.iter().map(|arrival| arrival.at_ns).collect(),
                first_pickup: (exchange.pickups > 0).then_some(Pickup {
                    read_ns: exchange.first_read_ns,
                    waited_ns: exchange.first_pickup_ns,
                }),
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
        if self.undetermined.remove(&id).is_some() {
            self.losses.count(Loss::AmbiguousAddress);
            return;
        }
        let followed = self.known.contains_key(&id);
        if !followed && !self.known_by_address(closed) {
            return;
        }
        // Where the report of its first bytes was lost, it was ready for requests nevertheless.
        let outcome = ConnectionOutcome::of(closed);
        self.ended_up(id, outcome.unwrap_or(ConnectionOutcome::Ok));
        self.advance(
            id,
            Totals {
                sent_bytes: closed.sent_bytes,
                received_bytes: closed.received_bytes,
                retransmits: closed.retransmits.into(),
            },
        );
        if let Some(known) = self.known.get(&id) {
            let (series, labels) = (known.series, self.series.labels(known.series));
            self.resets.ended(series, labels, closed.flags);
            let counted = followed && !known.interleaved;
            let exchanges = (counted || outcome.is_some()).then_some(known.exchanges);
            self.connections.closed(series, labels, closed, exchanges);
        }
        let (at_ns, sent_bytes) = (closed.closed_ns, closed.sent_bytes);
        let received_bytes = closed.received_bytes;
        self.report(id, What::Closed { at_ns, sent_bytes, received_bytes });
        self.remove(id);
    }

    /// A connection whose first bytes were never reported: there were none, or the report was lost.
    fn known_by_address(&mut self, closed: &Closed) -> bool {
        if closed.flags & flags::PRE_EXISTING != 0 {
            return false; // what it did before it was found is unknown, and so is what came after
        }
        let (_, remote) = addresses(&closed.peers);
        match self.endpoints.attribute(None, remote) {
            Attribution::To(endpoint) => {
                let series = self.series_of(endpoint, &closed.peers);
                self.insert(closed.header.connection, Known::new(endpoint, series, closed.peers));
                true
            }
            Attribution::Ambiguous => {
                self.losses.count(Loss::AmbiguousAddress);
                false
            }
            Attribution::Unlisted => false,
        }
    }

    fn series_of(&mut self, endpoint: EndpointId, peers: &Peers) -> SeriesId {
        self.series.of(endpoint, self.endpoints.labels(endpoint), peers)
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
        let labels = self.series.labels(known.series);
        self.connections.ended_up(known.series, labels, outcome);
        self.report(id, What::EndedUp(outcome));
    }

    /// Events carry running totals, so that a lost one loses no bytes.
    fn advance(&mut self, id: ConnectionId, totals: Totals) {
        let Some(known) = self.known.get_mut(&id) else { return };
        let added = known.totals.advance(totals);
        self.connections.advanced(known.series, self.series.labels(known.series), added);
    }

    fn insert(&mut self, id: ConnectionId, known: Known) {
        let series = known.series;
        self.remove(id);
        self.attributed.push(Attributed {
            connection: id,
            pid: known.peers.pid,
            labels: self.series.labels(known.series).clone(),
        });
        self.known.insert(id, known);
        self.connections.opened(series, self.series.labels(series), 1);
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Known> {
        let known = self.known.remove(&id)?;
        self.connections.opened(known.series, self.series.labels(known.series), -1);
        Some(known)
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
