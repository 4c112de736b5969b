//! Events → attributed measurements: keeps what must be remembered of each connection meanwhile.
//!
//! `opening`, `exchanges`, `closing` take a connection's events in this order, `older` those of one that
//! was there before the programs; `dns` takes what was looked up. `under_way` looks at what they have not told yet.

pub(super) mod known;
pub(super) mod settle;

mod closing;
mod dns;
mod exchanges;
mod older;
mod opening;
mod under_way;

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use da_ebpf_common::connection::Connection;
use da_ebpf_common::event::{ConnectionId, Header};
use da_ebpf_common::existing::Existing;
use da_ebpf_common::peers::Peers;
use foldhash::{HashMap, HashSet};

use self::dns::Unanswered;
use self::known::Known;
pub use self::settle::Over;
use super::arrival::ArrivalMetrics;
use super::buffered::BufferedMetrics;
use super::config::Unlisted;
use super::connection::{ConnectionMetrics, ConnectionOutcome, Totals};
use super::dns::DnsMetrics;
use super::dns::resolutions::Resolutions;
use super::endpoints::catalogue::EndpointConfig;
use super::endpoints::target::Target;
use super::endpoints::{EndpointId, Endpoints};
use super::event::Event;
use super::exchange::ExchangeMetrics;
use super::exchange::tickets::Tickets;
use super::idle::IdleMetrics;
use super::interleaving::Interleavings;
use super::long_gap::{LongGapMetrics, LongGaps};
use super::observation::{Observation, What};
use super::peers::{addresses, shown_name};
use super::pickup::PickupMetrics;
use super::reset::ResetMetrics;
use super::self_metrics::losses::{Loss, LossMetrics};
use super::series::{AllSeries, SeriesId, SeriesLabels, SocketRegistry};
use super::tls::TlsMetrics;
use super::workload::Workloads;
use crate::metrics::Registry;

/// Servers whose tickets are remembered; beyond that those of others take their place.
const MAX_SERVERS: usize = 4_096;

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
    /// What proxies were asked for, until the ClientHello comes through them.
    tunnels: HashMap<ConnectionId, Option<Target>>,
    interleavings: Interleavings,
    /// By server, whose address means something in its network namespace alone.
    tickets: HashMap<(SocketAddr, u32), Tickets>,
    /// Unknown connections of which events speak.
    strangers: Vec<ConnectionId>,
    /// Connections that the programs did not follow any more at the last sweep.
    gone: HashSet<ConnectionId>,
    resolutions: Resolutions,
    unanswered: Unanswered,
    dns: DnsMetrics,
    connections: ConnectionMetrics,
    tls: TlsMetrics,
    exchanges: ExchangeMetrics,
    arrivals: ArrivalMetrics,
    long_gaps: LongGapMetrics,
    buffered: BufferedMetrics,
    idle: IdleMetrics,
    pickups: PickupMetrics,
    resets: ResetMetrics,
    losses: LossMetrics,
    workloads: Workloads,
    /// Whether the programs tell of reads.
    sees_reads: bool,
    observations: Vec<Observation>,
    attributed: Vec<Attributed>,
    /// Series that are there, be it at 0.
    begun_series: HashSet<SeriesId>,
    /// Series that nothing is measured of any more.
    gone_series: Vec<SeriesLabels>,
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
        let registry = SocketRegistry { registry, by_caller: series.by_caller() };
        Ok(Self {
            endpoints,
            series,
            known: HashMap::default(),
            forgotten: Default::default(),
            undetermined: HashMap::default(),
            judged: Some(HashSet::default()),
            tunnels: HashMap::default(),
            interleavings: Interleavings::default(),
            tickets: HashMap::default(),
            strangers: Vec::new(),
            gone: HashSet::default(),
            resolutions: Resolutions::default(),
            unanswered: Unanswered::default(),
            dns: DnsMetrics::register(registry)?,
            connections: ConnectionMetrics::register(registry)?,
            tls: TlsMetrics::register(registry)?,
            exchanges: ExchangeMetrics::register(registry)?,
            arrivals: ArrivalMetrics::register(registry)?,
            long_gaps: LongGapMetrics::register(registry)?,
            buffered: BufferedMetrics::register(registry)?,
            idle: IdleMetrics::register(registry)?,
            pickups: PickupMetrics::register(registry)?,
            resets: ResetMetrics::register(registry)?,
            losses,
            workloads: Workloads::unknown(),
            sees_reads: true,
            observations: Vec::new(),
            attributed: Vec::new(),
            begun_series: HashSet::default(),
            gone_series: Vec::new(),
        })
    }

    /// The same, and processes belong to `workloads`.
    #[must_use]
    pub fn with_workloads(self, workloads: Workloads) -> Self {
        Self { workloads, ..self }
    }

    /// The same, and whether the programs tell of reads.
    #[must_use]
    pub fn with_reads(self, sees_reads: bool) -> Self {
        Self { sees_reads, ..self }
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
            // Whose doing it was shows by reads alone.
            Event::LongGap(gap) if self.sees_reads => {
                if let Some(known) = self.find(&gap.header) {
                    let pending = known.pending.long_gaps.take();
                    let mut gaps = pending
                        .filter(|gaps| gaps.are_of(gap.number))
                        .unwrap_or_else(|| Box::new(LongGaps::of(gap.number)));
                    gaps.add(gap.into());
                    known.pending.long_gaps = Some(gaps);
                }
            }
            Event::LongGap(_) => {}
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
        let mut gone = HashSet::default();
        let known = self.known.keys().chain(self.tunnels.keys());
        let remembered: Vec<_> = known.chain(self.undetermined.keys()).copied().collect();
        for id in remembered {
            match record(id) {
                Some(record) => self.settle(id, &record, Over::Silent(silent_since_ns)),
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

    /// Series that nothing is measured of any more, since the last call.
    pub fn take_gone_series(&mut self) -> Vec<SeriesLabels> {
        mem::take(&mut self.gone_series)
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

    /// Where what a connection measures goes, and the workload that it is of, be it `known` before or asked for now.
    fn series_of(
        &mut self,
        endpoint: EndpointId,
        peers: &Peers,
        known: Option<Arc<str>>,
    ) -> (SeriesId, Option<Arc<str>>) {
        let workload = known.or_else(|| self.workloads.of(peers));
        let labels = self.endpoints.labels(endpoint);
        let id = self.series.of(endpoint, labels, peers, workload.as_deref(), Instant::now());
        for (gone, labels) in self.series.take_gone() {
            self.begun_series.remove(&gone);
            self.dns.forget(gone, &labels);
            self.unanswered.retain(|_, series| *series != gone);
            self.connections.forget(gone, &labels);
            self.tls.forget(gone);
            self.exchanges.forget(gone, &labels);
            self.arrivals.forget(gone);
            self.long_gaps.forget(gone);
            self.buffered.forget(gone, &labels);
            self.idle.forget(gone, &labels);
            self.pickups.forget(gone, &labels);
            self.resets.forget(gone, &labels);
            self.gone_series.push(labels);
        }
        (id, workload)
    }

    /// The connection an event speaks of; an event of an unknown one is counted as lost.
    fn find(&mut self, header: &Header) -> Option<&mut Known> {
        let known = self.known.get_mut(&header.connection);
        let forgotten = || self.forgotten.iter().any(|batch| batch.contains(&header.connection));
        if known.is_none() && !forgotten() {
            self.losses.count(Loss::UnknownConnection);
            self.strangers.push(header.connection);
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
        self.series.opened(series, 1, Instant::now());
        let labels = self.series.labels(series);
        if self.begun_series.insert(series) {
            self.connections.began(series, labels);
            self.exchanges.began(series, labels);
        }
        self.connections.opened(series, labels, 1);
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Known> {
        let known = self.known.remove(&id)?;
        self.series.opened(known.series, -1, Instant::now());
        self.connections.opened(known.series, self.series.labels(known.series), -1);
        Some(known)
    }

    /// What is known of the tickets of the server that these are connected to.
    fn tickets_of(&mut self, peers: &Peers) -> &mut Tickets {
        let server = (addresses(peers).1, peers.network);
        if self.tickets.len() == MAX_SERVERS && !self.tickets.contains_key(&server) {
            self.tickets.clear();
        }
        self.tickets.entry(server).or_default()
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
            thread: known.peers.thread,
            process: shown_name(&known.peers),
            workload: known.workload.clone(),
            local,
            remote,
            what,
        });
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
impl Tracker {
    /// Watches `a.example`, which has these addresses, and tells no processes apart.
    fn for_test(addresses: &[&str]) -> Self {
        Self::for_callers(addresses, AllSeries::new(0), &Registry::new())
    }

    /// The same, where callers are told apart as in `series`.
    fn for_callers(addresses: &[&str], series: AllSeries, registry: &Registry) -> Self {
        let endpoint = EndpointConfig {
            name: "a".to_owned(),
            kind: super::endpoints::catalogue::EndpointKind::Llm,
            hosts: vec!["a.example".to_owned()],
            addresses: addresses.iter().map(|one| one.parse().expect("an address")).collect(),
        };
        let endpoints = Endpoints::new(&[endpoint], Unlisted::Drop);
        let losses = LossMetrics::new().expect("losses");
        Self::new(endpoints, series, losses, registry).expect("registers")
    }
}
