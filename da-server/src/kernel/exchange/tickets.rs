//! Session tickets of a TLS 1.3 server, told from the first response.
//!
//! A server sends them after the client's Finished (RFC 8446 §4.6.1), encrypted as the response is,
//! and where the response is expected: taking the first arrival for the response is wrong on most
//! fresh connections. But a server's tickets are always of one size, and that size can be learned
//! from the connections on which they came when tickets must come: within a round trip and a half
//! of Finished, or the time of a handshake and a half where that took longer. From then on the
//! response begins with the first byte beyond that size.

use da_ebpf_common::arrival::{Arrival, FirstArrivals};

/// Distinct sizes remembered.
const MAX_SIZES: usize = 16;
/// Connections looked at before it is believed that a server sends no tickets.
const ENOUGH: u32 = 3;
/// Connections that must agree on a size before it is believed.
const AGREEING: u32 = 2;
/// One in so many must have shown tickets of one size in time; fewer are accidents of timing.
const REGULAR: u32 = 5;
/// While one in so many has, what is just as long may be tickets that come late.
const RARE: u32 = 20;
/// Tickets of one server differ by a few bytes from one connection to the next.
const SAME_BYTES: u64 = 16;
/// Those of one connection do not, beyond the encoding of a number.
const ALIKE_BYTES: u64 = 2;
/// A response, with its status line and record header, is longer than that.
const SLACK_BYTES: u64 = 64;

/// Where the first response on a connection began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseStart {
    /// With the arrival at that time, ns.
    At(u64),
    /// Nothing arrived.
    Nowhere,
    /// Nothing but tickets arrived, or a short response that always looks the same.
    Tickets,
    /// It can't be told.
    Doubtful,
}

/// The tickets of one endpoint, for full or for resumed handshakes: servers send fewer on those.
#[derive(Debug, Default)]
pub struct Tickets {
    /// Sizes of what came in time for tickets, and how often; 0 where nothing did.
    sizes: Vec<(u64, u32)>,
    seen: u32,
}

impl Tickets {
    /// Finds the response among the first arrivals of a connection, and learns from them.
    pub fn response_start(&mut self, first: &FirstArrivals, request_last_ns: u64) -> ResponseStart {
        let count = usize::try_from(first.count).unwrap_or(usize::MAX).min(first.arrivals.len());
        let arrivals = &first.arrivals[..count];
        let Some(earliest) = arrivals.first() else { return ResponseStart::Nowhere };
        // A busy server, or one behind a proxy, took its time over the handshake as well.
        let handshake_ns = first.finished_ns.saturating_sub(first.hello_ns);
        let patience_ns = first.finished_ns + handshake_ns + handshake_ns / 2;
        let expected_until_ns = first.tickets_until_ns.max(patience_ns);
        let in_time = earliest.at_ns < expected_until_ns || earliest.at_ns <= request_last_ns;
        let group_bytes =
            if in_time { leading_group_bytes(arrivals, expected_until_ns) } else { 0 };
        self.learn(group_bytes);
        let Some(tickets_bytes) = self.tickets_bytes() else { return ResponseStart::Doubtful };
        // What was learned may be a part of this server's tickets, or these a part of what was.
        let fits = group_bytes == 0
            || group_bytes.abs_diff(tickets_bytes) <= SAME_BYTES
            || group_bytes > tickets_bytes && !alike(tickets_bytes, group_bytes);
        if tickets_bytes != 0 && !fits {
            return ResponseStart::Doubtful;
        }

        if tickets_bytes == 0 && self.came_in_time(earliest.bytes) {
            return ResponseStart::Doubtful;
        }

        let mut arrived_bytes = 0;
        let start = arrivals.iter().find(|arrival| {
            arrived_bytes += arrival.bytes;
            tickets_bytes == 0 || arrived_bytes > tickets_bytes + SLACK_BYTES
        });
        match start {
            // No answer comes before the question is complete: these are tickets of another size.
            Some(start) if start.at_ns <= request_last_ns => ResponseStart::Doubtful,
            Some(start) => ResponseStart::At(start.at_ns),
            None => ResponseStart::Tickets,
        }
    }

    fn learn(&mut self, bytes: u64) {
        self.seen = self.seen.saturating_add(1);
        let near = |known: u64| known.abs_diff(bytes) <= SAME_BYTES && (known == 0) == (bytes == 0);
        if let Some((_, times)) = self.sizes.iter_mut().find(|(known, _)| near(*known)) {
            *times = times.saturating_add(1);
        } else if self.sizes.len() < MAX_SIZES {
            self.sizes.push((bytes, 1));
        }
    }

    /// Whether something of that size has come in time for tickets, if too rarely to be believed.
    fn came_in_time(&self, bytes: u64) -> bool {
        let same = |(known, times): &(u64, u32)| {
            *known > 0
                && known.abs_diff(bytes) <= SAME_BYTES
                && times.saturating_mul(RARE) >= self.seen
        };
        self.sizes.iter().any(same)
    }

    /// Size of this server's tickets, 0 if it sends none; none while that is not known.
    fn tickets_bytes(&self) -> Option<u64> {
        let sized = self.sizes.iter().filter(|(bytes, _)| *bytes > 0);
        let most = sized.max_by_key(|(_, times)| *times);
        match most {
            Some((bytes, times)) if times.saturating_mul(REGULAR) >= self.seen => {
                (*times >= AGREEING).then_some(*bytes)
            }
            _ => (self.seen >= ENOUGH).then_some(0),
        }
    }
}

/// Bytes of the first arrival and of those right after it that look like more of the same: a
/// server's tickets are alike, and come at once, one by one, or in between. One that is late is taken
/// for a ticket only if it is just as long as the first.
fn leading_group_bytes(arrivals: &[Arrival], tickets_until_ns: u64) -> u64 {
    let Some(first) = arrivals.first() else { return 0 };
    let more_of_the_same = |arrival: &&Arrival| {
        if arrival.at_ns < tickets_until_ns {
            alike(first.bytes, arrival.bytes)
        } else {
            first.bytes.abs_diff(arrival.bytes) <= ALIKE_BYTES
        }
    };
    first.bytes
        + arrivals[1..].iter().take_while(more_of_the_same).map(|one| one.bytes).sum::<u64>()
}

/// Whether one is a small multiple of the other.
fn alike(one: u64, other: u64) -> bool {
    let (small, large) = (one.min(other).max(1), one.max(other));
    let times = (large + ALIKE_BYTES) / small;
    large.abs_diff(times * small) <= times * ALIKE_BYTES && times <= 8
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    /// Tickets are expected until 1,000; the request was complete at 100.
    fn start(tickets: &mut Tickets, arrivals: &[(u64, u64)]) -> ResponseStart {
        let mut first = FirstArrivals::new_zeroed();
        (first.hello_ns, first.finished_ns, first.tickets_until_ns) = (20, 90, 1_000);
        first.count = arrivals.len() as u64;
        for (slot, (at_ns, bytes)) in first.arrivals.iter_mut().zip(arrivals) {
            *slot = Arrival { at_ns: *at_ns, bytes: *bytes };
        }
        tickets.response_start(&first, 100)
    }

    /// Knows tickets of 500 bytes.
    fn learned() -> Tickets {
        let mut tickets = Tickets::default();
        let usual = [(200, 500), (9_000, 300)];
        assert_eq!(start(&mut tickets, &usual), ResponseStart::Doubtful);
        for _ in 0..4 {
            assert_eq!(start(&mut tickets, &usual), ResponseStart::At(9_000));
        }
        tickets
    }

    #[test]
    fn late_tickets_are_known_by_their_size() {
        let late = [(2_000, 500), (9_000, 300)];
        assert_eq!(start(&mut learned(), &late), ResponseStart::At(9_000));
    }

    #[test]
    fn a_response_among_the_tickets_is_found_behind_them() {
        let mut tickets = learned();
        assert_eq!(start(&mut tickets, &[(200, 500), (300, 300)]), ResponseStart::At(300));
        assert_eq!(start(&mut tickets, &[(250, 800), (5_000, 90)]), ResponseStart::At(250));
    }

    #[test]
    fn tickets_that_come_one_by_one_or_in_between() {
        let mut tickets = Tickets::default();
        let one_by_one = [(200, 125), (210, 125), (220, 125), (230, 125), (9_000, 300)];
        let in_between = [(200, 125), (210, 375), (9_000, 300)];
        start(&mut tickets, &one_by_one);
        for arrivals in [&one_by_one[..], &in_between, &[(200, 500), (9_000, 300)]] {
            assert_eq!(start(&mut tickets, arrivals), ResponseStart::At(9_000), "{arrivals:?}");
        }
    }

    #[test]
    fn a_server_without_tickets_is_believed_after_a_few_connections() {
        let mut tickets = Tickets::default();
        let plain = [(9_000, 300), (9_500, 300)];
        assert_eq!(start(&mut tickets, &plain), ResponseStart::Doubtful);
        assert_eq!(start(&mut tickets, &plain), ResponseStart::Doubtful);
        assert_eq!(start(&mut tickets, &plain), ResponseStart::At(9_000));
    }

    #[test]
    fn a_slow_handshake_makes_for_late_tickets() {
        let mut tickets = Tickets::default();
        let mut first = FirstArrivals::new_zeroed();
        // A proxy near by connects at once, and the server is 40 µs away from it.
        (first.hello_ns, first.finished_ns, first.tickets_until_ns) = (10, 40_000, 41_000);
        first.count = 2;
        first.arrivals[0] = Arrival { at_ns: 80_000, bytes: 500 };
        first.arrivals[1] = Arrival { at_ns: 300_000, bytes: 2_000 };
        tickets.response_start(&first, 40_100);
        assert_eq!(tickets.response_start(&first, 40_100), ResponseStart::At(300_000));
    }

    #[test]
    fn a_single_accident_of_timing_changes_nothing() {
        let mut tickets = learned();
        start(&mut tickets, &[(200, 250), (9_000, 300)]);
        assert_eq!(start(&mut tickets, &[(200, 500), (9_000, 300)]), ResponseStart::At(9_000));
    }

    #[test]
    fn what_came_in_time_once_is_doubted_when_it_is_late() {
        let mut tickets = Tickets::default();
        // A busy server: its tickets come too late but for the first connection.
        start(&mut tickets, &[(200, 346), (9_000, 900)]);
        for _ in 0..RARE - 1 {
            let late = start(&mut tickets, &[(5_000, 346), (9_000, 900)]);
            assert_eq!(late, ResponseStart::Doubtful);
        }
        // By now that one was an accident: an answer that is always of this size has come too soon.
        let usual = start(&mut tickets, &[(5_000, 346), (9_000, 900)]);
        assert_eq!(usual, ResponseStart::At(5_000));
        let other = start(&mut tickets, &[(5_000, 700)]);
        assert_eq!(other, ResponseStart::At(5_000));
    }

    #[test]
    fn a_ticket_that_comes_late_is_one_of_them() {
        let mut tickets = Tickets::default();
        let late = [(200, 250), (3_000, 250), (9_000, 300)];
        assert_eq!(start(&mut tickets, &late), ResponseStart::Doubtful);
        assert_eq!(start(&mut tickets, &late), ResponseStart::At(9_000));
        assert_eq!(start(&mut tickets, &[(200, 500), (9_000, 300)]), ResponseStart::At(9_000));
    }

    #[test]
    fn a_part_of_the_tickets_is_not_taken_for_all() {
        let mut tickets = Tickets::default();
        // The second ticket comes together with the response.
        start(&mut tickets, &[(200, 250), (9_000, 550)]);
        start(&mut tickets, &[(200, 250), (9_000, 550)]);
        let usual = [(200, 500), (9_000, 300)];
        assert_eq!(start(&mut tickets, &usual), ResponseStart::Doubtful);
        for _ in 0..3 {
            assert_eq!(start(&mut tickets, &usual), ResponseStart::At(9_000));
        }
        let part = [(200, 250), (9_000, 350), (9_500, 300)];
        assert_eq!(start(&mut tickets, &part), ResponseStart::Doubtful);
    }

    #[test]
    fn nothing_is_no_response_and_nothing_but_tickets_is_doubtful() {
        assert_eq!(start(&mut learned(), &[]), ResponseStart::Nowhere);
        assert_eq!(start(&mut learned(), &[(200, 500)]), ResponseStart::Tickets);
    }

    #[test]
    fn an_answer_before_the_question_is_none() {
        let mut tickets = learned();
        assert_eq!(start(&mut tickets, &[(50, 900), (9_000, 300)]), ResponseStart::Doubtful);
    }
}
