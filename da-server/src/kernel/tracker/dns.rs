//! What processes look up.

use std::net::IpAddr;

use da_ebpf_common::dns::{Answer, Query, QueryId};
use da_ebpf_common::event::ConnectionId;
use da_ebpf_common::peers::Peers;
use foldhash::HashMap;

use super::Tracker;
use crate::kernel::dns::DnsOutcome;
use crate::kernel::dns::maps::{Waiting, message};
use crate::kernel::dns::message::{Question, Reply, question};
use crate::kernel::dns::resolutions::{Answered, Asker, Resolved};
use crate::kernel::observation::What;
use crate::kernel::peers::addresses;
use crate::kernel::self_metrics::losses::Loss;
use crate::kernel::series::SeriesId;

/// A query that has no answer yet, and where it is counted. Whose it was may not be known any more when it has waited
/// for long.
pub type Unanswered = HashMap<(u64, u32, u64), SeriesId>;

fn key(id: &QueryId, query: &Query) -> (u64, u32, u64) {
    (id.sock, id.number, query.sent_ns)
}

fn asker(peers: &Peers) -> Asker {
    Asker { pid: peers.pid, thread: peers.thread }
}

impl Tracker {
    /// A process has read an answer, of which `message` is the beginning; if it is about a host that anybody lists,
    /// when its look-up began, ns. That `asked_first_ns` tells of a question, and since when it counts.
    pub fn dns_answered(
        &mut self,
        answer: &Answer,
        message: &[u8],
        asked_first_ns: impl FnOnce(&Question, u64) -> u64,
    ) -> Option<u64> {
        let Reply { question, outcome, addresses: found } = Reply::read(message)?;
        let has_address = outcome == DnsOutcome::Resolved;
        let addresses: Vec<_> = found.iter().map(IpAddr::to_canonical).collect();
        let resolver = Some(addresses_of(&answer.peers)).filter(|resolver| resolver.port() != 0);
        let mut resolved = Resolved { from_ns: answer.sent_ns, to_ns: answer.read_ns, resolver };
        let of = self.endpoints.of_query(&question.name, has_address);
        let host = of.map(|(_, host)| host.to_owned());
        if let Some((endpoint, _)) = of {
            let since_ns = self.resolutions.last_answer_ns(answer.peers.pid, &question);
            resolved.from_ns = asked_first_ns(&question, since_ns);
            let (series, _) = self.series_of(endpoint, &answer.peers, None);
            let took_ns = answer.read_ns.saturating_sub(answer.sent_ns);
            self.dns.ended(series, self.series.labels(series), outcome, Some(took_ns));
        }
        if host.is_some() || !addresses.is_empty() {
            // Of what nobody lists it is enough that somebody looked it up.
            let question = host.is_some().then_some(question);
            let answered = Answered { question, resolved, addresses };
            self.resolutions.answered(asker(&answer.peers), host.as_deref(), answered);
        }
        host.map(|_| resolved.from_ns)
    }

    /// Queries have had no answer so far.
    pub fn dns_waits(&mut self, waiting: &Waiting) {
        self.losses.add(Loss::DnsQueriesFull, waiting.evicted.len() as u64);
        let mut still = Unanswered::default();
        for (id, query) in waiting.still.iter().chain(&waiting.unanswered) {
            let key = key(id, query);
            let known = self.unanswered.get(&key).copied();
            if let Some(series) = known.or_else(|| self.series_of_query(query)) {
                still.insert(key, series);
            }
        }
        for (id, query) in &waiting.unanswered {
            if let Some(series) = still.remove(&key(id, query)) {
                let labels = self.series.labels(series);
                self.dns.ended(series, labels, DnsOutcome::Unanswered, None);
            }
        }
        self.unanswered = still;
    }

    /// Where a query is counted, if it is about a host that anybody lists.
    fn series_of_query(&mut self, query: &Query) -> Option<SeriesId> {
        let asked = question(message(query))?;
        let (endpoint, _) = self.endpoints.of_query(&asked.name, false)?;
        let (series, _) = self.series_of(endpoint, &query.peers, None);
        self.dns.began(series, self.series.labels(series));
        Some(series)
    }

    /// Reports the look-up that a new connection has waited for, if it did.
    pub(super) fn report_resolved(&mut self, id: ConnectionId, peers: &Peers, name: Option<&str>) {
        let address = addresses_of(peers).ip();
        if let Some(resolved) = self.resolutions.followed(asker(peers), address, id.born_ns, name) {
            self.report(id, What::Resolved(resolved));
        }
    }
}

/// The other end, or whom a query is for.
fn addresses_of(peers: &Peers) -> std::net::SocketAddr {
    addresses(peers).1
}
