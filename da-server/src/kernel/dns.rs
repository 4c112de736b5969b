//! What processes ask DNS servers about the endpoints' hosts: `dns_seconds`, `dns_queries_total`.

pub(super) mod maps;
pub(super) mod message;
pub(super) mod resolutions;

use foldhash::HashSet;

use super::series::family::{DetailCounter, EndpointHistogram};
use super::series::{SeriesId, SeriesLabels, SocketRegistry};

/// What became of a query for addresses: label value of `dns_queries_total{outcome}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsOutcome {
    /// There are addresses.
    Resolved,
    /// The name exists and has no address of that kind.
    NoAddress,
    /// NXDOMAIN: there is no such name.
    NoSuchName,
    /// SERVFAIL: the server could not find out.
    ServerFailure,
    /// REFUSED: the server does not want to say.
    Refused,
    /// The answer was too long for a datagram; who wants all of it asks again over TCP, which is not seen.
    Truncated,
    /// Any other response code.
    Failed,
    /// None came within [`da_ebpf_common::dns::UNANSWERED_NS`].
    Unanswered,
}

impl DnsOutcome {
    /// Every value.
    pub const ALL: [Self; 8] = [
        Self::Resolved,
        Self::NoAddress,
        Self::NoSuchName,
        Self::ServerFailure,
        Self::Refused,
        Self::Truncated,
        Self::Failed,
        Self::Unanswered,
    ];

    /// The label value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::NoAddress => "no_address",
            Self::NoSuchName => "no_such_name",
            Self::ServerFailure => "server_failure",
            Self::Refused => "refused",
            Self::Truncated => "truncated",
            Self::Failed => "failed",
            Self::Unanswered => "unanswered",
        }
    }

    /// Whether the server has said what there is.
    fn is_answer(self) -> bool {
        matches!(self, Self::Resolved | Self::NoAddress)
    }
}

/// The families of this module.
#[derive(Debug)]
pub struct DnsMetrics {
    seconds: EndpointHistogram,
    queries_total: DetailCounter,
    /// Series that are there, if at 0.
    known: HashSet<SeriesId>,
}

impl DnsMetrics {
    /// Registers them.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: SocketRegistry<'_>) -> prometheus::Result<Self> {
        Ok(Self {
            seconds: EndpointHistogram::register(
                registry,
                "dns_seconds",
                "Time from sending a DNS query for the addresses of a provider's host to reading \
                 its answer, over UDP. Only queries of which the server knew the answer.",
            )?,
            queries_total: DetailCounter::register(
                registry,
                "dns_queries_total",
                "DNS queries for the addresses of providers' hosts, over UDP, by what became of \
                 them.",
                "outcome",
            )?,
            known: HashSet::default(),
        })
    }

    /// A query was sent: its series are there long before one fails, so that a rate sees the first one.
    pub fn began(&mut self, id: SeriesId, labels: &SeriesLabels) {
        if self.known.insert(id) {
            for outcome in DnsOutcome::ALL {
                self.queries_total.add(id, labels, outcome.as_str(), 0);
            }
        }
    }

    /// What became of a query is known; how long it took, ns, if it has an answer.
    pub fn ended(
        &mut self,
        id: SeriesId,
        labels: &SeriesLabels,
        outcome: DnsOutcome,
        took_ns: Option<u64>,
    ) {
        self.began(id, labels);
        self.queries_total.count(id, labels, outcome.as_str());
        if let Some(took_ns) = took_ns.filter(|_| outcome.is_answer()) {
            self.seconds.observe_ns(id, labels, took_ns);
        }
    }

    /// Takes out series that nothing is measured of any more.
    pub fn forget(&mut self, id: SeriesId, labels: &SeriesLabels) {
        self.known.remove(&id);
        self.seconds.forget(id);
        self.queries_total.forget(id, labels);
    }
}
