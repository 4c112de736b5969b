//! Connections that are older than the programs, or were reported in vain, and look-ups, which say whose
//! these are.

use std::mem;
use std::net::SocketAddr;

use da_ebpf_common::connection::Connection;
use da_ebpf_common::event::ConnectionId;
use da_ebpf_common::existing::Existing;

use super::known::Known;
use super::{Tracker, Verdict};
use crate::kernel::connection::place;
use crate::kernel::endpoints::Attribution;
use crate::kernel::interleaving::Interleaving;
use crate::kernel::self_metrics::losses::Loss;

impl Tracker {
    /// The hosts to look up, and for which port.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, u16)> {
        self.endpoints.hosts()
    }

    /// Says what one of them was looked up to.
    pub fn looked_up(&mut self, host: &str, port: u16, addresses: Vec<SocketAddr>) {
        self.endpoints.looked_up(host, port, addresses);
    }

    /// By its address, until its next bytes tell more.
    pub(super) fn existing(&mut self, existing: &Existing) -> Verdict {
        let id = existing.header.connection;
        if self.judged.as_ref().is_some_and(|judged| judged.contains(&id.sock)) {
            return self.forget(id);
        }
        match self.endpoints.attribute(None, place(&existing.peers)) {
            Attribution::To(endpoint) => {
                let (series, workload) = self.series_of(endpoint, &existing.peers, None);
                let known = Known::existing(endpoint, series, existing);
                self.insert(id, Known { workload, ..known });
                Verdict::Keep
            }
            Attribution::Ambiguous => {
                self.undetermined.insert(id, *existing);
                Verdict::Keep
            }
            Attribution::Unlisted => self.forget(id),
        }
    }

    /// Connections of which the events taken last speak and nobody knows: the report of their first bytes
    /// was lost.
    pub fn strangers(&mut self) -> Vec<ConnectionId> {
        mem::take(&mut self.strangers)
    }

    /// What the programs know of one of these. Its name is lost; its address may tell whose it is, and
    /// else it is let go of.
    pub fn met(&mut self, id: ConnectionId, record: &Connection) -> Verdict {
        if self.known.contains_key(&id) {
            return Verdict::Keep;
        }
        match self.endpoints.attribute(None, place(&record.peers)) {
            Attribution::To(endpoint) => {
                let (series, workload) = self.series_of(endpoint, &record.peers, None);
                // Whatever it speaks was told by what was lost.
                let interleaving = Interleaving::Unseen;
                let known = Known::new(endpoint, series, record.peers);
                self.insert(id, Known { workload, interleaving, ..known });
                Verdict::Keep
            }
            Attribution::Ambiguous => {
                self.losses.count(Loss::AmbiguousAddress);
                self.forget(id)
            }
            Attribution::Unlisted => self.forget(id),
        }
    }

    /// All connections that are older than the programs have been taken.
    pub fn existing_end(&mut self) {
        self.judged = None;
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use da_ebpf_common::connection::{Closed, flags};
    use da_ebpf_common::exchange::Exchange;
    use da_ebpf_common::tls::FirstBytes;

    use super::*;
    use crate::kernel::event::Event;
    use crate::kernel::exchange::ExchangeOutcome;
    use crate::kernel::observation::What;

    /// Watches one host, at 10.0.0.1:443.
    fn tracker() -> Tracker {
        Tracker::for_test(&["10.0.0.1:443"])
    }

    fn record(last: u8) -> Box<Connection> {
        let mut record = Box::new(Connection::new_zeroed());
        record.peers.family = libc::AF_INET as u16;
        record.peers.remote_address[..4].copy_from_slice(&[10, 0, 0, last]);
        record.peers.remote_port = 443;
        record
    }

    #[test]
    fn a_stranger_is_met_once_and_followed_or_forgotten() {
        let mut tracker = tracker();
        let exchange = |sock| {
            let mut exchange = Exchange::new_zeroed();
            (exchange.header.connection, exchange.number) = (id(sock, 10), 7);
            Event::Exchange(exchange)
        };
        for sock in [1, 2] {
            assert_eq!(tracker.take(&exchange(sock)), Verdict::Keep);
        }
        assert_eq!(tracker.strangers(), [id(1, 10), id(2, 10)]);
        assert_eq!(tracker.met(id(1, 10), &record(1)), Verdict::Keep);
        assert_eq!(tracker.met(id(2, 10), &record(2)), Verdict::Forget(id(2, 10)));
        for sock in [1, 2] {
            tracker.take(&exchange(sock));
        }
        assert!(tracker.strangers().is_empty(), "they are no strangers any more");
        let counted = tracker.observations().filter_map(|one| match one.what {
            What::Exchange(seen) => Some((one.connection.sock, seen.measured.outcome)),
            _ => None,
        });
        assert_eq!(counted.collect::<Vec<_>>(), [(1, ExchangeOutcome::Ambiguous)]);
    }

    fn id(sock: u64, born_ns: u64) -> ConnectionId {
        ConnectionId { sock, born_ns }
    }

    fn existing(connection: ConnectionId) -> Event<'static> {
        let mut existing = Existing::new_zeroed();
        existing.header.connection = connection;
        existing.peers.family = libc::AF_INET as u16;
        existing.peers.remote_address[..4].copy_from_slice(&[10, 0, 0, 1]);
        existing.peers.remote_port = 443;
        Event::Existing(existing)
    }

    #[test]
    fn what_was_forgotten_in_view_is_not_taken_for_older() {
        let mut tracker = tracker();
        let mut first = FirstBytes::new_zeroed();
        first.header.connection = id(1, 10);
        let foreign = b"GET / HTTP/1.1\r\nhost: else.example\r\n\r\n";
        let forgotten = tracker.take(&Event::FirstBytes(first, foreign));
        assert_eq!(forgotten, Verdict::Forget(id(1, 10)));
        assert_eq!(tracker.take(&existing(id(1, 20))), Verdict::Forget(id(1, 20)));
        assert_eq!(tracker.take(&existing(id(2, 20))), Verdict::Keep);
        assert_eq!(tracker.known.len(), 1);
    }

    #[test]
    fn an_older_connections_end_does_not_count_what_came_before() {
        let mut tracker = tracker();
        let mut closed = Closed::new_zeroed();
        closed.header.connection = id(3, 30);
        closed.flags = flags::PRE_EXISTING;
        closed.peers.family = libc::AF_INET as u16;
        closed.peers.remote_address[..4].copy_from_slice(&[10, 0, 0, 1]);
        (closed.peers.remote_port, closed.sent_bytes) = (443, 1_000);
        // Its beginning was lost.
        tracker.take(&Event::Closed(closed));
        assert_eq!(tracker.observations().count(), 0);
        closed.flags = 0;
        tracker.take(&Event::Closed(closed));
        assert!(tracker.observations().count() > 0);
    }
}
