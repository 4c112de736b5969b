//! Connections as they end.

use da_ebpf_common::connection::{Closed, Connection, flags};
use da_ebpf_common::event::ConnectionId;
use da_ebpf_common::exchange::{End, Exchange};
use zerocopy::FromZeros;

use super::Tracker;
use super::known::Known;
use super::settle::Over;
use crate::kernel::connection::{
    ConnectionOutcome, Totals, established_ns, has_talked_unheard, place,
};
use crate::kernel::dns::resolutions::Wanted;
use crate::kernel::endpoints::Attribution;
use crate::kernel::observation::What;
use crate::kernel::self_metrics::losses::Loss;

impl Tracker {
    pub(super) fn closed(&mut self, closed: &Closed) {
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
        if closed.flags & flags::UNSEEN_SEND != 0 {
            self.losses.count(Loss::UnseenSend);
        }
        if has_talked_unheard(closed) {
            self.unheard(closed);
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
            self.idle.closed(series, labels, closed, known.idle);
        }
        let (at_ns, sent_bytes) = (closed.closed_ns, closed.sent_bytes);
        let received_bytes = closed.received_bytes;
        let established_ns = established_ns(closed.flags, closed.established_ns);
        self.report(id, What::Closed { at_ns, established_ns, sent_bytes, received_bytes });
        self.remove(id);
    }

    /// It has carried requests, be it one or many, of which no hook has seen any.
    fn unheard(&mut self, closed: &Closed) {
        let mut exchange = Exchange::new_zeroed();
        exchange.header.connection = closed.header.connection;
        exchange.number = 1;
        exchange.flags = closed.flags | flags::UNREADABLE;
        exchange.end = End::Closed as u32;
        exchange.sent_bytes = closed.sent_bytes;
        exchange.received_bytes = closed.received_bytes;
        exchange.retransmits = closed.retransmits;
        self.exchange(&exchange);
    }

    /// It is over, in whatever way, and nothing has reported it: what it owes is in its record. Whether
    /// its last exchange was complete can't be told, unless that has been silent since then.
    pub fn closed_unseen(&mut self, id: ConnectionId, record: &Connection, silent_since_ns: u64) {
        self.settle(id, record, Over::Silent(silent_since_ns));
        let flags = record.flags | flags::UNREADABLE;
        self.settle(id, &Connection { flags, ..*record }, Over::Silent(u64::MAX));
        self.advance(
            id,
            Totals {
                sent_bytes: record.sent_bytes,
                received_bytes: record.received_bytes,
                retransmits: record.retransmits.into(),
            },
        );
        self.remove(id);
        self.tunnels.remove(&id);
        self.undetermined.remove(&id);
    }

    /// A connection whose first bytes were never reported: there were none, or the report was lost.
    pub(super) fn known_by_address(&mut self, closed: &Closed) -> bool {
        if closed.flags & flags::PRE_EXISTING != 0 {
            return false; // what it did before it was found is unknown, and so is what came after
        }
        let (id, place) = (closed.header.connection, place(&closed.peers));
        // What the process has looked up is nearly as good as a name that it shows.
        let address = place.address.ip();
        let wanted = self.resolutions.wanted_at(closed.peers.pid, address, id.born_ns);
        let attribution = match wanted {
            Wanted::Unknown => self.endpoints.attribute(None, place),
            Wanted::Host(host) => self.endpoints.attribute_looked_up(Some(host), place),
            Wanted::Unlisted => self.endpoints.attribute_looked_up(None, place),
            Wanted::Several => Attribution::Ambiguous,
        };
        match attribution {
            Attribution::To(endpoint) => {
                let (series, workload) = self.series_of(endpoint, &closed.peers, None);
                let known = Known::new(endpoint, series, closed.peers);
                self.insert(id, Known { workload, ..known });
                self.report_resolved(id, &closed.peers, None);
                true
            }
            Attribution::Ambiguous => {
                self.losses.count(Loss::AmbiguousAddress);
                false
            }
            Attribution::Unlisted => false,
        }
    }
}
