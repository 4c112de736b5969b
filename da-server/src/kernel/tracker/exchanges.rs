//! Exchanges that are over.

use std::mem;

use da_ebpf_common::connection::{Connection, flags};
use da_ebpf_common::event::ConnectionId;
use da_ebpf_common::exchange::{End, Exchange};

use super::Tracker;
use super::known::{Begun, Pending};
use super::settle::{Over, settle};
use crate::kernel::buffered::is_buffered;
use crate::kernel::connection::Totals;
use crate::kernel::exchange::tickets::Tickets;
use crate::kernel::exchange::{ExchangeOutcome, measure};
use crate::kernel::observation::{Pickup, SeenExchange, What};
use crate::kernel::peers::addresses;
use crate::kernel::pickup::Settled;
use crate::kernel::self_metrics::losses::Loss;

impl Tracker {
    pub(super) fn exchange(&mut self, exchange: &Exchange) {
        let id = exchange.header.connection;
        let Some(known) = self.find(&exchange.header) else { return };
        let settled = known.settled.take_if(|settled| settled.number == exchange.number);
        if settled.is_none() && exchange.number <= known.last_number {
            // What was reported with it is as old. The beginning of a request is not: it goes on.
            let request = known.pending.request.take();
            known.pending = Pending { request, ..Pending::default() };
            return;
        }
        let last_number = mem::replace(&mut known.last_number, exchange.number);
        let last_use_ns = exchange.response.last_ns.max(exchange.request_last_ns);
        let earlier_use_ns = mem::replace(&mut known.last_use_ns, last_use_ns);
        let mut pending = mem::take(&mut known.pending);
        // What the programs call the second request is the first one, or the rest of it, where there was
        // none before, or only its beginning. Where the report of a first one was lost, it is taken for the
        // first as well: that is the more careful way.
        let is_first = last_number == 0 || pending.request.is_some() || pending.tickets_may_follow;
        if let Some(first_arrivals) = &mut pending.first_arrivals
            && !is_first
        {
            first_arrivals.finished_ns = 0;
        }
        let (series, sends_early) = (known.series, known.sends_early);
        let peers = known.peers;
        let retransmits = u64::from(exchange.retransmits).saturating_sub(known.totals.retransmits);
        let (told, remote) = (known.interleaving, addresses(&known.peers).1);
        let joined_midway = known.joined_midway && exchange.number == 1;
        let is_followed_from_start = !known.joined_midway
            && exchange.flags & (flags::PRE_EXISTING | flags::UNSEEN_CONNECT) == 0;
        let is_next = exchange.number == last_number + 1;
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
            if let Some(known) = self.known.get_mut(&id) {
                known.idle.goes_on(exchange);
            }
            let labels = self.series.labels(series);
            self.pickups.picked_up_since(series, labels, exchange, pending.pickups, &settled);
            return;
        }
        let first_arrivals = pending.first_arrivals.as_deref();
        let interleaved = self.interleavings.is_interleaved(remote, told, exchange.flags);
        let mixed = interleaved || sends_early || joined_midway;
        let measured = measure(exchange, mixed, first_arrivals, self.tickets_of(&peers));
        let labels = self.series.labels(series);
        self.pickups.picked_up(series, labels, exchange, pending.pickups.as_deref());
        let begun =
            pending.request.unwrap_or(Begun { first_ns: exchange.request_first_ns, bytes: 0 });
        let request = Begun { bytes: begun.bytes + exchange.request_bytes, ..begun };
        let Some(measured) = measured else {
            if let Some(known) = self.known.get_mut(&id) {
                known.pending.request = Some(request);
                known.last_use_ns = earlier_use_ns;
            }
            return;
        };
        let told_apart = !mixed && measured.response_first_ns.is_some();
        if let Some(known) = self.known.get_mut(&id)
            && let Some(idle_ns) = known.idle.exchange(exchange, request.first_ns, told_apart)
            && is_next
        {
            self.idle.reused(series, labels, idle_ns);
        }
        let start_ns = measured.response_first_ns;
        let doubtful = measured.outcome == ExchangeOutcome::Doubtful;
        let lone_record =
            first_arrivals.is_some_and(|first| first.count == 1 && first.records.count > 0);
        let skipped = exchange.flags & flags::SKIPPED_ARRIVAL != 0;
        let tickets_may_follow = doubtful
            && (lone_record || skipped)
            && exchange.number == 1
            && exchange.end == End::NextRequest as u32;
        let from_ns = start_ns.or(doubtful.then_some(0));
        let arrivals = from_ns.map_or_else(Vec::new, |at_ns| pending.response(exchange, at_ns));
        if start_ns.is_some() {
            self.arrivals.responded(series, labels, &arrivals, pending.gaps.as_deref());
        }
        let long_gaps = start_ns
            .zip(pending.long_gaps.filter(|gaps| gaps.are_of(exchange.number)))
            .map(|(start_ns, gaps)| gaps.since(start_ns));
        if start_ns.is_some() && self.sees_reads {
            self.long_gaps.responded(series, labels, long_gaps.as_ref());
        }
        let is_complete = measured.outcome == ExchangeOutcome::Ok && self.sees_reads;
        let is_buffered = is_complete
            .then(|| is_buffered(labels.kind, exchange, &arrivals, long_gaps.as_ref()))
            .flatten();
        if let Some(is_buffered) = is_buffered {
            self.buffered.responded(series, labels, is_buffered);
        }
        self.connections.round_trip(series, labels, exchange.srtt_eighths_us);
        let Some(known) = self.known.get_mut(&id) else { return };
        known.pending.tickets_may_follow = tickets_may_follow;
        if interleaved && mem::replace(&mut known.interleaved, true) {
            return; // it counts once, as a whole
        }
        known.exchanges += 1;
        let is_http1 = known.is_http1;
        self.exchanges.finished(series, labels, &measured);
        self.report(
            id,
            What::Exchange(Box::new(SeenExchange {
                number: exchange.number,
                request_first_ns: request.first_ns,
                request_thread: exchange.request_thread,
                request_last_ns: exchange.request_last_ns,
                request_bytes: request.bytes,
                response_bytes: exchange.response.bytes,
                last_arrival_ns: (exchange.response.last_ns != 0)
                    .then_some(exchange.response.last_ns),
                is_first: earlier_use_ns == 0 && is_next && is_followed_from_start,
                idle_before_ns: (earlier_use_ns != 0 && is_next)
                    .then(|| request.first_ns.saturating_sub(earlier_use_ns)),
                rtt_ns: (exchange.srtt_eighths_us != 0)
                    .then(|| u64::from(exchange.srtt_eighths_us) * 1_000 / 8),
                // Nothing has arrived that it could have been noted with, or TCP has none.
                least_rtt_ns: (!matches!(exchange.least_rtt_us, 0 | u32::MAX))
                    .then(|| u64::from(exchange.least_rtt_us) * 1_000),
                retransmits,
                arrivals_ns: arrivals.iter().map(|arrival| arrival.at_ns).collect(),
                first_pickup: (exchange.pickups > 0).then_some(Pickup {
                    read_ns: exchange.first_read_ns,
                    waited_ns: exchange.first_pickup_ns,
                }),
                run_delay_ns: (exchange.followed_pickup_ns > 0).then_some(exchange.run_delay_ns),
                window_closed_ns: exchange.window_closed_ns,
                long_gaps: long_gaps.and_then(|gaps| gaps.seen()).map(Box::new),
                is_buffered: is_buffered == Some(true),
                is_http1,
                measured,
            })),
        );
    }

    /// Counts the exchange that a connection owes, unless something has happened since it was over.
    pub fn settle(&mut self, id: ConnectionId, record: &Connection, over: Over) {
        let Some(owed) = settle(id, record, over) else { return };
        let exchange = owed.exchange;
        let Some(known) = self.known.get(&id) else { return };
        if exchange.number <= known.last_number {
            return;
        }
        // Whoever has read the response knows that there was one.
        let is_first = known.last_number == 0 || known.pending.request.is_some();
        if let (Over::Silent(_), true, Some(first)) = (over, is_first, &owed.first_arrivals)
            && first.finished_ns != 0
            && Tickets::may_be_all(first)
        {
            return;
        }
        let Some(known) = self.known.get_mut(&id) else { return };
        known.pending.first_arrivals = owed.first_arrivals.map(Box::new);
        known.pending.gaps = owed.gaps.map(Box::new);
        known.pending.pickups = owed.pickups.map(Box::new);
        self.exchange(&exchange);
        if let Some(known) = self.known.get_mut(&id) {
            known.settled = Some(Settled::of(&exchange, owed.pickups));
        }
    }
}

#[cfg(test)]
mod tests {
    use da_ebpf_common::arrival::{Arrival, FirstArrivals};
    use da_ebpf_common::long_gap::LongGap;
    use da_ebpf_common::tls::FirstBytes;
    use zerocopy::FromZeros;

    use super::*;
    use crate::kernel::event::Event;
    use crate::kernel::observation::Observation;

    const ID: ConnectionId = ConnectionId { sock: 1, born_ns: 2 };
    /// Far later than anything that comes at once.
    const LATE_NS: u64 = 300_000_000;

    fn tracker() -> Tracker {
        Tracker::for_test(&[])
    }

    fn answered(number: u64) -> Event<'static> {
        let mut exchange = Exchange::new_zeroed();
        exchange.header.connection = ID;
        (exchange.number, exchange.request_thread) = (number, 7);
        exchange.request_last_ns = 100 * number;
        exchange.response.first_ns = 100 * number + 10;
        exchange.response.last_ns = 100 * number + 20;
        exchange.response.arrivals = 1;
        Event::Exchange(exchange)
    }

    /// A tracker that follows the connection.
    fn following() -> Tracker {
        let mut tracker = tracker();
        let mut first = FirstBytes::new_zeroed();
        first.header.connection = ID;
        tracker.take(&Event::FirstBytes(first, b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"));
        tracker
    }

    fn outcomes(mut tracker: Tracker) -> Vec<ExchangeOutcome> {
        let outcome = |what: &What| match what {
            What::Exchange(seen) => Some(seen.measured.outcome),
            _ => None,
        };
        tracker.observations().filter_map(|one| outcome(&one.what)).collect()
    }

    /// Behind TLS 1.3: records that were read, each in an arrival of its own, of which those before `count`
    /// came with the exchange before. All acknowledge the request.
    fn arrivals(lengths: &[u16], count: usize, at_ns: [u64; 2]) -> Event<'static> {
        let mut first = FirstArrivals::new_zeroed();
        first.header.connection = ID;
        (first.finished_ns, first.count) = (1, count as u64);
        let earlier = &lengths[..lengths.len() - count];
        first.from_bytes = earlier.iter().copied().map(u32::from).sum();
        first.records.count = lengths.len() as u16;
        first.records.lengths[..lengths.len()].copy_from_slice(lengths);
        for (slot, (at_ns, bytes)) in
            first.arrivals.iter_mut().zip(at_ns.iter().zip(&lengths[earlier.len()..]))
        {
            *slot = Arrival { at_ns: *at_ns, bytes: (*bytes).into(), acked_bytes: 0 };
        }
        Event::FirstArrivals(first)
    }

    fn encrypted(number: u64, arrivals: u64) -> Event<'static> {
        let Event::Exchange(mut exchange) = answered(number) else { unreachable!() };
        exchange.flags = flags::TLS | flags::TLS13;
        exchange.response.arrivals = arrivals;
        Event::Exchange(exchange)
    }

    #[test]
    fn a_second_ticket_behind_a_lone_one_is_no_response() {
        let mut tracker = following();
        tracker.take(&arrivals(&[250], 1, [110, 0]));
        tracker.take(&encrypted(1, 1));
        tracker.take(&arrivals(&[250, 250, 700], 2, [LATE_NS, 2 * LATE_NS]));
        tracker.take(&encrypted(2, 2));
        assert_eq!(outcomes(tracker), [ExchangeOutcome::Doubtful; 2]);
    }

    #[test]
    fn a_ticket_behind_one_that_nobody_saw_arrive_is_no_response() {
        let mut tracker = following();
        let Event::Exchange(mut skipped) = encrypted(1, 0) else { unreachable!() };
        skipped.flags |= flags::SKIPPED_ARRIVAL;
        tracker.take(&Event::Exchange(skipped));
        tracker.take(&arrivals(&[250, 700], 2, [LATE_NS, 2 * LATE_NS]));
        tracker.take(&encrypted(2, 2));
        assert_eq!(outcomes(tracker), [ExchangeOutcome::Doubtful; 2]);
    }

    #[test]
    fn an_earlier_response_whose_report_was_lost_is_no_group_of_tickets() {
        let mut tracker = following();
        tracker.take(&arrivals(&[700, 250], 1, [LATE_NS, 0]));
        tracker.take(&encrypted(2, 1));
        assert_eq!(outcomes(tracker), [ExchangeOutcome::Ok]);
        let mut tracker = following();
        tracker.take(&arrivals(&[250, 250, 700], 2, [LATE_NS, 2 * LATE_NS]));
        tracker.take(&encrypted(2, 2));
        assert_eq!(outcomes(tracker), [ExchangeOutcome::Doubtful]);
    }

    #[test]
    fn silence_and_place_on_the_connection_are_known_where_no_report_was_lost() {
        let found = |numbers: &[u64]| {
            let mut tracker = following();
            numbers.iter().for_each(|number| {
                tracker.take(&answered(*number));
            });
            let seen = |one: Observation| match one.what {
                What::Exchange(seen) => Some((seen.is_first, seen.idle_before_ns)),
                _ => None,
            };
            tracker.observations().filter_map(seen).collect::<Vec<_>>()
        };
        // The last arrival is at 120, and the request's first send at 0.
        assert_eq!(found(&[1, 2]), [(true, None), (false, Some(0))]);
        assert_eq!(found(&[2, 3]), [(false, None), (false, Some(0))]);
        assert_eq!(found(&[1, 3]), [(true, None), (false, None)]);
    }

    #[test]
    fn an_exchange_that_is_reported_twice_counts_once() {
        let mut tracker = following();
        for number in [1, 1, 2, 1, 2, 3] {
            tracker.take(&answered(number));
        }
        let counted = tracker.observations().filter_map(|one| match one.what {
            What::Exchange(seen) => Some(seen.number),
            _ => None,
        });
        assert_eq!(counted.collect::<Vec<_>>(), [1, 2, 3]);
    }

    fn long_gap(number: u64, from_ns: u64) -> Event<'static> {
        let mut gap = LongGap::new_zeroed();
        gap.header.connection = ID;
        (gap.number, gap.from_ns, gap.to_ns) = (number, from_ns, from_ns + LATE_NS);
        Event::LongGap(gap)
    }

    /// Beginnings of the long gaps of each exchange.
    fn long_gaps(mut tracker: Tracker) -> Vec<Vec<u64>> {
        let gaps = |what: &What| match what {
            What::Exchange(seen) => {
                let kept = seen.long_gaps.as_ref().map_or(&[][..], |gaps| &gaps.kept);
                Some(kept.iter().map(|gap| gap.from_ns).collect())
            }
            _ => None,
        };
        tracker.observations().filter_map(|one| gaps(&one.what)).collect()
    }

    #[test]
    fn a_long_gap_is_of_the_response_in_which_it_was() {
        let mut tracker = following();
        // One before the response began, at 110, and one of a request whose report was lost.
        for event in [long_gap(1, 109), long_gap(1, 110), answered(1), long_gap(2, 210)] {
            tracker.take(&event);
        }
        for event in [answered(3), long_gap(4, 410), long_gap(4, 415), answered(4), answered(5)] {
            tracker.take(&event);
        }
        assert_eq!(long_gaps(tracker), [vec![110], vec![], vec![410, 415], vec![]]);
    }

    #[test]
    fn without_reads_nobody_says_whose_doing_a_gap_was() {
        let mut tracker = following().with_reads(false);
        for event in [long_gap(1, 110), answered(1)] {
            tracker.take(&event);
        }
        assert_eq!(long_gaps(tracker), [Vec::<u64>::new()]);
    }
}
