//! What processes look up.

use std::net::IpAddr;

use da_ebpf_common::dns::{Answer, Query};
use da_ebpf_common::event::ConnectionId;
use da_ebpf_common::peers::Peers;

use super::Tracker;
use crate::kernel::dns::DnsOutcome;
use crate::kernel::dns::message::{Reply, asked_name};
use crate::kernel::dns::resolutions::Resolved;
use crate::kernel::observation::What;
use crate::kernel::peers::addresses;

impl Tracker {
    /// A process has read an answer, of which `message` is the beginning.
    pub fn dns_answered(&mut self, answer: &Answer, message: &[u8]) {
        let Some(Reply { name, outcome, addresses: found }) = Reply::read(message) else { return };
        let took_ns = answer.read_ns.saturating_sub(answer.sent_ns);
        let host = self.dns_ended(&name, &answer.peers, outcome, Some(took_ns));
        if let Some(host) = host {
            let resolved = Resolved {
                from_ns: answer.sent_ns,
                to_ns: answer.read_ns,
                resolver: addresses(&answer.peers).1,
            };
            let found: Vec<IpAddr> = found.iter().map(IpAddr::to_canonical).collect();
            self.resolutions.answered(answer.peers.pid, host, resolved, &found);
        }
    }

    /// A query has had no answer for long.
    pub fn dns_unanswered(&mut self, query: &Query) {
        let bytes = usize::try_from(query.bytes).unwrap_or(usize::MAX).min(query.message.len());
        if let Some(name) = asked_name(&query.message[..bytes]) {
            self.dns_ended(&name, &query.peers, DnsOutcome::Unanswered, None);
        }
    }

    /// Counts a query; the host that was looked up by it, if anybody wants to know.
    fn dns_ended<'n>(
        &mut self,
        name: &'n str,
        peers: &Peers,
        outcome: DnsOutcome,
        took_ns: Option<u64>,
    ) -> Option<&'n str> {
        let has_address = outcome == DnsOutcome::Resolved;
        let (endpoint, host) = self.endpoints.of_query(name, has_address)?;
        let (series, _) = self.series_of(endpoint, peers, None);
        self.dns.ended(series, self.series.labels(series), outcome, took_ns);
        Some(host)
    }

    /// Reports the look-up that a new connection has waited for, if it did.
    pub(super) fn report_resolved(&mut self, id: ConnectionId, peers: &Peers, name: Option<&str>) {
        let address = addresses(peers).1.ip();
        let resolved = self.resolutions.followed(peers.pid, address, id.born_ns, name);
        if let Some(resolved) = resolved {
            self.report(id, What::Resolved(resolved));
        }
    }
}
