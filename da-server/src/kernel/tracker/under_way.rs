//! What is under way on the connections that are of interest.

use da_ebpf_common::connection::{Connection, flags};
use da_ebpf_common::event::ConnectionId;

use super::settle::{Over, settle};
use super::{Known, Tracker};
use crate::kernel::connection::place;
use crate::kernel::endpoints::Attribution;
use crate::kernel::exchange::tickets::Tickets;
use crate::kernel::peers::{addresses, shown_name};
use crate::kernel::under_way::{UnderWay, is_window_closed, progress, unread_bytes};

/// A server that is busy takes a while to answer a Finished.
const MAX_FINISHED_TO_TICKETS_NS: u64 = 100_000_000;

impl Tracker {
    /// The request on a connection of which the programs keep `record`, if one is under way and it is known whose
    /// connection it is. One that may carry requests side by side (HTTP/2) tells of none.
    pub fn under_way(
        &self,
        id: ConnectionId,
        record: &Connection,
        now_ns: u64,
        silence_ns: u64,
    ) -> Option<UnderWay> {
        // First, because most connections are idle.
        let progress = progress(record, now_ns, silence_ns, || self.has_only_tickets(id, record))?;
        let known = self.known.get(&id);
        let endpoint = match known {
            Some(known) if self.is_told_apart(known, record) => known.endpoint,
            Some(_) => return None,
            // It has shown no name yet.
            None => match self.endpoints.attribute(None, place(&record.peers)) {
                Attribution::To(endpoint) => endpoint,
                Attribution::Unlisted | Attribution::Ambiguous => return None,
            },
        };
        let labels = self.endpoints.labels(endpoint);
        let slot = &record.arrivals[(record.request & 1) as usize];
        let response = (slot.request == record.request as u32 && record.request != 0)
            .then_some(slot.response)
            .filter(|response| response.arrivals > 0);
        let since = |at_ns: u64| now_ns.saturating_sub(at_ns);
        let (local, remote) = addresses(&record.peers);
        Some(UnderWay {
            kind: labels.kind,
            provider: labels.name.clone(),
            process: shown_name(&record.peers),
            id: id.born_ns,
            pid: record.peers.pid,
            workload: known.and_then(|known| known.workload.as_deref()).map(str::to_owned),
            local,
            remote,
            state: progress.state,
            age_ns: since(known.and_then(begun_ns).unwrap_or(progress.began_ns)),
            in_state_ns: since(progress.since_ns),
            exchange: record.request,
            request_bytes: if record.request == 0 { 0 } else { record.request_bytes },
            response_bytes: response.map_or(0, |response| response.bytes),
            silent_ns: response.map(|response| since(response.last_ns)),
            unread_bytes: unread_bytes(record),
            window_closed_ns: if is_window_closed(record) {
                since(record.window_full_ns)
            } else {
                0
            },
        })
    }

    /// Whether the view would measure the request: not where it is not told from others, or from the handshake.
    fn is_told_apart(&self, known: &Known, record: &Connection) -> bool {
        const OPAQUE: u32 = flags::UNREADABLE | flags::EARLY_DATA;
        let (server, first) = (addresses(&record.peers).1, record.request <= 1);
        record.flags & OPAQUE == 0
            && !(known.interleaved || known.sends_early || known.joined_midway && first)
            && !self.interleavings.may_interleave(server, known.interleaving, record.flags)
    }

    /// Whether all that has come in answer to a connection's request is known to be session tickets: of their kind,
    /// and no later than a server sends them, which is when it has the client's Finished.
    fn has_only_tickets(&self, id: ConnectionId, record: &Connection) -> bool {
        let is_first = |known: &Known| known.last_number == 0 || known.pending.request.is_some();
        if !self.known.get(&id).is_some_and(is_first) {
            return false;
        }
        let Some(owed) = settle(id, record, Over::Silent(u64::MAX)) else { return false };
        let Some(first) = owed.first_arrivals.filter(|first| first.finished_ns != 0) else {
            return false;
        };
        let server = (addresses(&record.peers).1, record.peers.network);
        let rtt_ns = u64::from(record.srtt_eighths_us) * 1_000 / 8;
        let latest_ns = first.finished_ns + rtt_ns + MAX_FINISHED_TO_TICKETS_NS;
        owed.exchange.response.last_ns <= latest_ns
            && match self.tickets.get(&server) {
                Some(tickets) => tickets.are_all(&first),
                None => Tickets::default().are_all(&first),
            }
    }
}

/// When the request began of which only the rest is in the record: something had arrived in between that was no
/// response.
fn begun_ns(known: &Known) -> Option<u64> {
    known.pending.request.map(|request| request.first_ns)
}

#[cfg(test)]
mod tests {
    use da_ebpf_common::connection::{Phase, flags};
    use da_ebpf_common::tls::FirstBytes;
    use zerocopy::FromZeros;

    use super::*;
    use crate::kernel::event::Event;
    use crate::kernel::under_way::RequestState;

    const ID: ConnectionId = ConnectionId { sock: 1, born_ns: 2 };
    const FINISHED_NS: u64 = 1_000_000;
    const MS: u64 = 1_000_000;

    /// Follows one connection, which has begun with `opening`.
    fn tracker(opening: &[u8]) -> Tracker {
        let mut tracker = Tracker::for_test(&[]);
        let mut first = FirstBytes::new_zeroed();
        first.header.connection = ID;
        tracker.take(&Event::FirstBytes(first, opening));
        tracker
    }

    const HTTP1: &[u8] = b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n";

    /// Its first request, behind TLS 1.3, and an arrival each of so many bytes at those times since the Finished.
    fn record(arrivals: &[(u64, u16)]) -> Box<Connection> {
        let mut record = Box::new(Connection::new_zeroed());
        (record.born_ns, record.established_ns, record.flight_ns) = (2, 3, FINISHED_NS);
        (record.phase, record.flags) = (Phase::Open as u32, flags::TLS | flags::TLS13);
        (record.request, record.request_first_ns, record.request_last_ns) =
            (1, FINISHED_NS + 1, FINISHED_NS + 2);
        record.records.count = arrivals.len() as u16;
        let slot = &mut record.arrivals[1];
        slot.request = 1;
        for (index, (after_ns, bytes)) in arrivals.iter().enumerate() {
            let at_ns = FINISHED_NS + after_ns;
            slot.first[index].at_ns = at_ns;
            slot.first[index].bytes = (*bytes).into();
            record.records.lengths[index] = *bytes;
            if index == 0 {
                slot.response.first_ns = at_ns;
            }
            slot.response.last_ns = at_ns;
            slot.response.bytes += u64::from(*bytes);
            slot.response.arrivals += 1;
            record.last_arrival_ns = at_ns;
        }
        record
    }

    fn state(tracker: &Tracker, record: &Connection) -> Option<RequestState> {
        let now_ns = FINISHED_NS + 20_000 * MS;
        tracker.under_way(ID, record, now_ns, 60_000 * MS).map(|one| one.state)
    }

    #[test]
    fn session_tickets_are_no_answer_and_what_comes_later_or_looks_otherwise_is_one() {
        let tracker = tracker(HTTP1);
        let waiting = Some(RequestState::Waiting);
        assert_eq!(state(&tracker, &record(&[])), waiting);
        assert_eq!(state(&tracker, &record(&[(MS, 250), (2 * MS, 250)])), waiting);
        let quiet = Some(RequestState::Quiet);
        assert_eq!(state(&tracker, &record(&[(MS, 250)])), quiet, "it may be the answer");
        let mut certain = record(&[(MS, 250)]);
        certain.request_end = 500;
        assert_eq!(state(&tracker, &certain), waiting, "it came before the server had the request");
        assert_eq!(state(&tracker, &record(&[(MS, 250), (2 * MS, 700)])), quiet);
        assert_eq!(state(&tracker, &record(&[(150 * MS, 250), (151 * MS, 250)])), quiet);
        let mut second = record(&[]);
        (second.request, second.arrivals[0].request) = (2, 2);
        second.arrivals[0].response = record(&[(MS, 250)]).arrivals[1].response;
        second.last_arrival_ns = FINISHED_NS + MS;
        second.flags = flags::TLS;
        assert_eq!(state(&tracker, &second), quiet, "no tickets come as late as that");
    }

    #[test]
    fn a_connection_that_may_carry_requests_side_by_side_tells_of_none() {
        let http2 = tracker(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert_eq!(state(&http2, &record(&[])), None);
        let tracker = tracker(HTTP1);
        for opaque in [flags::UNREADABLE, flags::EARLY_DATA] {
            let mut record = record(&[]);
            record.flags |= opaque;
            assert_eq!(state(&tracker, &record), None);
        }
    }
}
