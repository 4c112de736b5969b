//! The last exchange of a connection that is kept for later.
//!
//! The programs report an exchange when the next one begins or the connection closes. Until then an
//! idle connection owes its last one; it is read from the record itself after a silence, or when
//! whoever made it says that it is over.

use da_ebpf_common::arrival::{Arrivals, FirstArrivals, MAX_FIRST_ARRIVALS, Response};
use da_ebpf_common::connection::{Connection, Phase, flags};
use da_ebpf_common::event::{ConnectionId, Header};
use da_ebpf_common::exchange::{End, Exchange};
use da_ebpf_common::histogram::Histogram;
use zerocopy::FromZeros;

/// That exchange, with all that goes before it in the ring buffer.
#[derive(Debug)]
pub struct Owed {
    /// What arrived first; as the programs send it.
    pub first_arrivals: Option<FirstArrivals>,
    /// Gaps between later arrivals.
    pub gaps: Option<Histogram>,
    /// Later waits to be read.
    pub pickups: Option<Histogram>,
    /// The exchange.
    pub exchange: Exchange,
}

/// By what an exchange is known to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Nothing has happened since then, ns. Language models pause while they think, and the silence
    /// must be longer: what comes after it is counted as late.
    Silent(u64),
    /// Whoever made it had read all of the response by then, ns.
    Read(u64),
}

/// The current exchange of a connection; `None` where there is none, it is unanswered, or something
/// has happened since it was over.
pub fn settle(id: ConnectionId, record: &Connection, over: Over) -> Option<Owed> {
    let slot = &record.arrivals[(record.request & 1) as usize];
    let arrived = (slot.request == record.request as u32).then_some(slot);
    let response = arrived.map_or_else(Response::new_zeroed, |slot| slot.response);
    let (over_ns, is_answer) = match over {
        // Session tickets are no answer.
        Over::Silent(since_ns) => (since_ns, response.first_ns != 0),
        Over::Read(at_ns) => (at_ns, response.arrivals != 0),
    };
    let pickups = &record.pickups[(record.request & 1) as usize];
    let picked_up = pickups.request == record.request as u32;
    let skipped = picked_up && pickups.skipped_arrivals != 0;
    let answered = record.request != 0 && (is_answer || skipped);
    let last_ns = record.last_arrival_ns.max(record.request_last_ns);
    if record.phase != Phase::Open as u32 || !answered || last_ns > over_ns {
        return None;
    }
    let mut exchange = Exchange::new_zeroed();
    exchange.header = header(id);
    exchange.number = record.request;
    exchange.request_first_ns = record.request_first_ns;
    exchange.request_last_ns = record.request_last_ns;
    exchange.request_bytes = record.request_bytes;
    exchange.request_thread = record.request_thread;
    exchange.response = response;
    if picked_up {
        exchange.pickups = pickups.count;
        exchange.first_read_ns = pickups.first_read_ns;
        exchange.first_pickup_ns = pickups.first_ns;
        exchange.followed_pickup_ns = pickups.followed_ns;
        exchange.run_delay_ns = pickups.run_delay_ns;
        exchange.window_closed_ns = pickups.window_closed_ns;
    }
    exchange.sent_bytes = record.sent_bytes;
    exchange.received_bytes = record.received_bytes;
    exchange.flags = record.flags | if skipped { flags::SKIPPED_ARRIVAL } else { 0 };
    exchange.end = End::Silence as u32;
    exchange.srtt_eighths_us = record.srtt_eighths_us;
    exchange.retransmits = record.retransmits;
    exchange.least_rtt_us = record.least_rtt_us;
    Some(Owed {
        first_arrivals: arrived.and_then(|slot| first_arrivals(id, record, slot)),
        gaps: arrived
            .filter(|_| response.arrivals > MAX_FIRST_ARRIVALS as u64)
            .map(|slot| slot.gaps),
        pickups: (picked_up && pickups.count > 1).then_some(pickups.rest),
        exchange,
    })
}

/// As da-ebpf's `arrival::report` has it.
fn first_arrivals(id: ConnectionId, record: &Connection, slot: &Arrivals) -> Option<FirstArrivals> {
    let tickets = record.request <= 2 && record.flags & flags::TLS13 != 0;
    if !tickets && slot.response.arrivals < 2 {
        return None;
    }
    let mut first = FirstArrivals::new_zeroed();
    first.header = header(id);
    if tickets {
        first.finished_ns = record.flight_ns;
    }
    (first.request_end, first.from_bytes) = (record.request_end, slot.from_bytes);
    first.records = record.records;
    first.count = slot.response.arrivals.min(MAX_FIRST_ARRIVALS as u64);
    first.arrivals = slot.first;
    Some(first)
}

/// Kind and length matter in the ring buffer alone.
fn header(connection: ConnectionId) -> Header {
    Header { connection, kind: 0, length: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: ConnectionId = ConnectionId { sock: 1, born_ns: 2 };

    /// One request at 100, answered at 200 and 300.
    fn record() -> Box<Connection> {
        let mut record = Box::new(Connection::new_zeroed());
        record.phase = Phase::Open as u32;
        (record.request, record.request_first_ns, record.request_last_ns) = (3, 90, 100);
        record.last_arrival_ns = 300;
        (record.srtt_eighths_us, record.retransmits) = (80, 2);
        let slot = &mut record.arrivals[1];
        slot.request = 3;
        (slot.response.first_ns, slot.response.last_ns, slot.response.arrivals) = (200, 300, 2);
        (slot.first[0].at_ns, slot.first[1].at_ns) = (200, 300);
        let pickups = &mut record.pickups[1];
        (pickups.request, pickups.count, pickups.first_ns) = (3, 1, 7);
        pickups.window_closed_ns = 5;
        record
    }

    #[test]
    fn an_answered_exchange_is_over_after_a_silence() {
        let record = record();
        assert!(settle(ID, &record, Over::Silent(299)).is_none());
        let owed = settle(ID, &record, Over::Silent(300)).expect("owed");
        assert_eq!(owed.exchange.number, 3);
        assert_eq!(owed.exchange.response.last_ns, 300);
        assert_eq!((owed.exchange.pickups, owed.exchange.first_pickup_ns), (1, 7));
        assert_eq!(owed.exchange.window_closed_ns, 5);
        assert_eq!((owed.exchange.srtt_eighths_us, owed.exchange.retransmits), (80, 2));
        assert_eq!(owed.first_arrivals.map(|first| first.count), Some(2));
        assert!(owed.gaps.is_none() && owed.pickups.is_none());
    }

    #[test]
    fn an_unanswered_exchange_is_never_over() {
        let mut record = record();
        record.request = 4;
        for over in [Over::Silent(u64::MAX), Over::Read(u64::MAX)] {
            assert!(settle(ID, &record, over).is_none());
        }
    }

    #[test]
    fn an_answer_that_was_read_and_that_nobody_saw_arrive_is_one() {
        let mut record = record();
        record.request = 5;
        (record.pickups[1].request, record.pickups[1].skipped_arrivals) = (5, 1);
        let owed = settle(ID, &record, Over::Silent(300)).expect("owed");
        assert_eq!(owed.exchange.flags, flags::SKIPPED_ARRIVAL);
        assert_eq!(owed.exchange.response.arrivals, 0, "an earlier one's");
        assert!(owed.first_arrivals.is_none() && owed.gaps.is_none());
    }

    #[test]
    fn an_answer_among_the_session_tickets_is_one_only_to_whoever_has_read_it() {
        let mut record = record();
        record.arrivals[1].response.first_ns = 0;
        assert!(settle(ID, &record, Over::Silent(u64::MAX)).is_none());
        assert!(settle(ID, &record, Over::Read(299)).is_none());
        let owed = settle(ID, &record, Over::Read(300)).expect("owed");
        assert_eq!(owed.exchange.response.arrivals, 2);
    }
}
