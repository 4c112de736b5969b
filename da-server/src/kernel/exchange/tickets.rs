//! Session tickets of a TLS 1.3 server, told from the first response.
//!
//! A server sends them after the client's Finished (RFC 8446 §4.6.1), encrypted as the response is, and
//! where the response is expected. What tells them apart:
//!
//! 1. A server answers a request that its TCP has, so the segment that brings the answer acknowledges
//!    all of it: whatever came in one that does not is no answer.
//! 2. A ticket and the response never share a record (RFC 8446 §5.1), so the response begins with a
//!    record, and the records' lengths are in the clear.
//! 3. The tickets of one connection are of one length. So the first record that is longer or shorter
//!    than a ticket by 1 begins the response.
//! 4. Two or more short records of one length, one right after the other, are tickets, and so is
//!    a first record as long as one that 1 has shown to be a ticket of this very server.
//! 5. Any other first record may be the only ticket or the response: where the next one came with it, as
//!    exactly as times are, either is right, and where it came later, nobody knows.
//! 6. What is followed by nothing is the response if the client went on to another request or the server
//!    closed, and may be a ticket if the client left.

use da_ebpf_common::arrival::{Arrival, FirstArrivals};
use da_ebpf_common::exchange::End;

/// Times that differ by less are the same: what keeps a process or a packet waiting on a busy host.
pub const PRECISION_NS: u64 = 1_000_000;
/// The tickets of one server differ by so much: the encoding of a number.
const ALIKE_BYTES: u32 = 2;
/// Records that are cut to fit into a segment, and so are of one length whatever they carry, are no
/// shorter: crypto/tls begins with 1,208 bytes.
const LEAST_CUT_BYTES: u32 = 1_200;
/// A record that is as long as a record may be, which no ticket fills: RFC 8446 §5.1.
const FULL_BYTES: u32 = 1 << 14;
/// `HTTP/1.1 100 Continue`, two line ends, and what a record adds: it precedes the response as well.
const CONTINUE_RECORD_BYTES: u32 = 25 + 22;
/// Lengths remembered of a server.
const MAX_LENGTHS: usize = 8;

/// Where the first response on a connection began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseStart {
    /// With the arrival at that time, ns.
    At(u64),
    /// Nothing arrived, or nothing that could answer.
    Nowhere,
    /// Nothing but tickets and leave to go on arrived, and the client went on.
    NotYet,
    /// It can't be told.
    Doubtful,
}

/// Lengths of the records that were certainly tickets of one server.
#[derive(Debug, Default)]
pub struct Tickets {
    lengths: Vec<u32>,
}

/// What may be the beginning of the response: a record, or an arrival whose records were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    at_ns: u64,
    bytes: u32,
    /// It could answer the request.
    answers: bool,
    /// It is a record.
    is_record: bool,
}

impl Tickets {
    /// Finds the response among what came first, and learns from what was certainly none. `end`: what
    /// ended the exchange, an [`End`].
    pub fn response_start(&mut self, first: &FirstArrivals, end: u32) -> ResponseStart {
        let pieces = pieces(first);
        let (certain, rest) = split(&pieces);
        let goes_on = end == End::NextRequest as u32;
        if rest.is_empty() {
            let halved = goes_on && !certain.is_empty();
            return if halved { ResponseStart::NotYet } else { ResponseStart::Nowhere };
        }
        let own = lengths(certain);
        own.iter().for_each(|bytes| self.learn(*bytes));
        let known = |piece: &&Piece| {
            let known = if own.is_empty() { &self.lengths } else { &own };
            piece.is_record && known.iter().any(|bytes| are_alike(*bytes, piece.bytes))
        };
        let tickets = match rest.iter().take_while(known).count() {
            0 if own.is_empty() => leading_alike(rest),
            known => known,
        };
        if !came_at_once(&rest[..tickets]) {
            return ResponseStart::Doubtful; // the response may look like a ticket
        }
        let answered = [End::NextRequest, End::ClosedByPeer, End::Silence];
        let answered = answered.iter().any(|answered| *answered as u32 == end);
        let told_apart = tickets > 0 || !own.is_empty();
        match &rest[tickets..] {
            [] if goes_on => ResponseStart::NotYet,
            [] => ResponseStart::Doubtful,
            // Whatever else came in the same arrival.
            [only] if goes_on && only.is_record && only.bytes == CONTINUE_RECORD_BYTES => {
                ResponseStart::NotYet
            }
            [start, ..] if start.is_record && (told_apart || start.bytes >= FULL_BYTES) => {
                ResponseStart::At(start.at_ns)
            }
            [_] if !answered => ResponseStart::Doubtful,
            [start, next, ..] if start.is_record && next.is_record => {
                start_of_any(&[*start, *next])
            }
            any => start_of_any(any),
        }
    }

    /// Whether all that has come may be tickets, so that the response may be still on its way.
    pub fn may_be_all(&self, first: &FirstArrivals) -> bool {
        let pieces = pieces(first);
        let (certain, rest) = split(&pieces);
        let own = lengths(certain);
        let Some(group) = rest.first() else { return true };
        let is_ticket = own.is_empty() || own.iter().any(|own| are_alike(*own, group.bytes));
        is_ticket && rest.iter().all(|piece| are_alike(piece.bytes, group.bytes))
    }

    fn learn(&mut self, bytes: u32) {
        if self.lengths.iter().any(|known| are_alike(*known, bytes)) {
            return;
        }
        if self.lengths.len() == MAX_LENGTHS {
            self.lengths.remove(0);
        }
        self.lengths.push(bytes);
    }
}

/// What came, in order: each record, and where these were not read, each arrival.
fn pieces(first: &FirstArrivals) -> Vec<Piece> {
    let mut pieces = Vec::new();
    // Bytes behind the beginning of the first arrival; a record may have come before.
    let mut from = 0;
    if first.records.count > 0 {
        from = first.records.from_bytes.wrapping_sub(first.from_bytes).cast_signed();
    }
    for bytes in first.records.lengths().iter().copied().map(u32::from) {
        match arrival_of(first, from) {
            Some((arrival, _)) => {
                let (at_ns, answers) = (arrival.at_ns, arrival.acknowledges(first.request_end));
                pieces.push(Piece { at_ns, bytes, answers, is_record: true });
            }
            None if from < 0 => {
                pieces.push(Piece { at_ns: 0, bytes, answers: false, is_record: true });
            }
            None => return pieces, // it came after those that were kept
        }
        from += bytes.cast_signed();
    }
    from = from.max(0);
    while let Some((arrival, end)) = arrival_of(first, from) {
        let (at_ns, answers) = (arrival.at_ns, arrival.acknowledges(first.request_end));
        let bytes = (end - from).unsigned_abs();
        pieces.push(Piece { at_ns, bytes, answers, is_record: false });
        from = end;
    }
    pieces
}

/// The arrival that brought the byte at `offset`, and the offset behind it.
fn arrival_of(first: &FirstArrivals, offset: i32) -> Option<(&Arrival, i32)> {
    let mut end = 0_i32;
    first.kept().iter().find_map(|arrival| {
        let from = end;
        end = end.saturating_add_unsigned(arrival.bytes);
        (from..end).contains(&offset).then_some((arrival, end))
    })
}

/// Those that can't answer the request, and the others. Nothing answers it after what does not.
fn split(pieces: &[Piece]) -> (&[Piece], &[Piece]) {
    let certain = pieces.iter().rposition(|piece| !piece.answers).map_or(0, |last| last + 1);
    pieces.split_at(certain)
}

/// Lengths of tickets.
fn lengths(tickets: &[Piece]) -> Vec<u32> {
    let records = tickets.iter().filter(|piece| piece.is_record).map(|piece| piece.bytes);
    records.filter(|bytes| *bytes != CONTINUE_RECORD_BYTES).collect()
}

/// How many at the beginning look like tickets of one server: several short records of one length.
fn leading_alike(pieces: &[Piece]) -> usize {
    let Some(first) = pieces.first() else { return 0 };
    let alike = |piece: &&Piece| piece.is_record && are_alike(piece.bytes, first.bytes);
    let count = pieces.iter().take_while(alike).count();
    if count > 1 && first.bytes < LEAST_CUT_BYTES { count } else { 0 }
}

fn are_alike(one: u32, other: u32) -> bool {
    one.abs_diff(other) <= ALIKE_BYTES
}

/// Whether each came right after the one before.
fn came_at_once(pieces: &[Piece]) -> bool {
    pieces.windows(2).all(|two| two[1].at_ns.saturating_sub(two[0].at_ns) <= PRECISION_NS)
}

/// The response begins with one of these.
fn start_of_any(pieces: &[Piece]) -> ResponseStart {
    match pieces {
        [first, .., last] if last.at_ns.saturating_sub(first.at_ns) > PRECISION_NS => {
            ResponseStart::Doubtful
        }
        [first, ..] => ResponseStart::At(first.at_ns),
        [] => ResponseStart::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    const MS: u64 = 1_000_000;
    const REQUEST_END: u32 = 900;

    /// A record: when it came, its length, and whether its segment acknowledges the request.
    type Came = (u64, u32, bool);

    /// Each record came in an arrival of its own, and was read.
    fn first(came: &[Came]) -> FirstArrivals {
        let mut first = unread(came);
        (first.records.count, first.records.from_bytes) = (came.len() as u16, first.from_bytes);
        for (length, (_, bytes, _)) in first.records.lengths.iter_mut().zip(came) {
            *length = *bytes as u16;
        }
        first
    }

    /// The same, if nobody has read them.
    fn unread(came: &[Came]) -> FirstArrivals {
        let mut first = FirstArrivals::new_zeroed();
        (first.finished_ns, first.request_end, first.from_bytes) = (1, REQUEST_END, 4_000);
        first.count = came.len() as u64;
        for (slot, (at_ns, bytes, answers)) in first.arrivals.iter_mut().zip(came) {
            let acked_bytes = if *answers { REQUEST_END } else { 80 };
            *slot = Arrival { at_ns: *at_ns, bytes: *bytes, acked_bytes };
        }
        first
    }

    fn closed(tickets: &mut Tickets, came: &[Came]) -> ResponseStart {
        tickets.response_start(&first(came), End::ClosedByPeer as u32)
    }

    fn fresh(came: &[Came]) -> ResponseStart {
        closed(&mut Tickets::default(), came)
    }

    #[test]
    fn what_does_not_acknowledge_the_request_is_no_answer() {
        let late = 300 * MS;
        assert_eq!(fresh(&[(1, 250, false), (late, 700, true)]), ResponseStart::At(late));
        assert_eq!(fresh(&[(1, 250, false), (2, 250, false)]), ResponseStart::Nowhere);
        // The second ticket of that connection comes late enough to acknowledge it.
        let halved = [(1, 250, false), (2, 251, true), (late, 700, true), (late + MS, 90, true)];
        assert_eq!(fresh(&halved), ResponseStart::At(late));
    }

    #[test]
    fn several_records_of_one_length_are_tickets() {
        let late = 300 * MS;
        let two = [(1, 250, true), (9, 252, true), (late, 700, true), (2 * late, 90, true)];
        assert_eq!(fresh(&two), ResponseStart::At(late));
        // Long ones may have been cut to fit into a segment.
        let cut = [(1, 1_391, true), (9, 1_391, true), (late, 700, true)];
        assert_eq!(fresh(&cut), ResponseStart::At(1), "either is right");
        let later = [(1, 1_391, true), (late, 1_391, true), (2 * late, 700, true)];
        assert_eq!(fresh(&later), ResponseStart::Doubtful);
        // One of these may be the response.
        let apart = [(1, 250, true), (late, 250, true), (2 * late, 700, true)];
        assert_eq!(fresh(&apart), ResponseStart::Doubtful);
    }

    #[test]
    fn a_single_record_is_a_ticket_where_the_server_has_shown_one_of_that_length() {
        let late = 300 * MS;
        let unsure = [(1, 250, true), (late, 700, true)];
        let mut tickets = Tickets::default();
        assert_eq!(closed(&mut tickets, &unsure), ResponseStart::Doubtful);
        assert_eq!(closed(&mut tickets, &[(1, 251, false), (2, 700, true)]), ResponseStart::At(2));
        assert_eq!(closed(&mut tickets, &unsure), ResponseStart::At(late));
        // It never shows that a record of another length is none.
        let other = [(1, 400, true), (late, 700, true)];
        assert_eq!(closed(&mut tickets, &other), ResponseStart::Doubtful);
    }

    #[test]
    fn either_is_right_where_both_came_at_once() {
        assert_eq!(fresh(&[(5, 250, true), (5 + MS, 700, true)]), ResponseStart::At(5));
        assert_eq!(fresh(&[(5, 250, true), (6 + MS, 700, true)]), ResponseStart::Doubtful);
        assert_eq!(fresh(&[(5, 16_406, true), (9 * MS, 16_406, true)]), ResponseStart::At(5));
    }

    #[test]
    fn what_nothing_follows_is_the_response_unless_the_client_left() {
        let only = first(&[(5, 250, true)]);
        let start = |end| Tickets::default().response_start(&only, end as u32);
        for end in [End::NextRequest, End::ClosedByPeer, End::Silence] {
            assert_eq!(start(end), ResponseStart::At(5), "{end:?}");
        }
        for end in [End::Closed, End::Aborted] {
            assert_eq!(start(end), ResponseStart::Doubtful, "{end:?}");
        }
        let tickets = first(&[(5, 250, true), (6, 250, true)]);
        let start = |end| Tickets::default().response_start(&tickets, end as u32);
        assert_eq!(start(End::NextRequest), ResponseStart::NotYet);
        assert_eq!(start(End::ClosedByPeer), ResponseStart::Doubtful);
        assert!(Tickets::default().may_be_all(&only) && Tickets::default().may_be_all(&tickets));
        let answered = first(&[(5, 250, false), (6, 700, true)]);
        assert!(!Tickets::default().may_be_all(&answered));
    }

    #[test]
    fn leave_to_go_on_is_no_response_also_where_it_comes_in_one_arrival_with_tickets() {
        let start =
            |first: &FirstArrivals, end| Tickets::default().response_start(first, end as u32);
        let mut shared = unread(&[(5, 250 + 250 + CONTINUE_RECORD_BYTES, true)]);
        (shared.records.count, shared.records.from_bytes) = (3, 4_000);
        shared.records.lengths[..3].copy_from_slice(&[250, 250, CONTINUE_RECORD_BYTES as u16]);
        assert_eq!(start(&shared, End::NextRequest), ResponseStart::NotYet);
        assert_eq!(start(&shared, End::ClosedByPeer), ResponseStart::At(5));
        let alone = first(&[(5, CONTINUE_RECORD_BYTES, true)]);
        assert_eq!(start(&alone, End::NextRequest), ResponseStart::NotYet);
        let answered = first(&[(5, CONTINUE_RECORD_BYTES, true), (6, 700, true)]);
        assert_eq!(start(&answered, End::NextRequest), ResponseStart::At(5));
    }

    #[test]
    fn what_nobody_has_read_is_told_by_its_arrivals() {
        let start = |came: &[Came]| {
            Tickets::default().response_start(&unread(came), End::ClosedByPeer as u32)
        };
        assert_eq!(start(&[(5, 250, false), (9 * MS, 700, true)]), ResponseStart::At(9 * MS));
        assert_eq!(start(&[(5, 250, true), (6, 700, true)]), ResponseStart::At(5));
        assert_eq!(start(&[(5, 250, true), (9 * MS, 700, true)]), ResponseStart::Doubtful);
    }

    #[test]
    fn records_share_arrivals_and_reach_over_them() {
        let late = 300 * MS;
        let mut shared = unread(&[(1, 500, true), (late, 1_000, true), (2 * late, 1_000, true)]);
        (shared.records.count, shared.records.from_bytes) = (3, 4_000);
        shared.records.lengths[..3].copy_from_slice(&[250, 250, 2_000]);
        let start = Tickets::default().response_start(&shared, End::ClosedByPeer as u32);
        assert_eq!(start, ResponseStart::At(late));
        // A ticket that came with the server's Finished was read after the client's.
        let mut before = unread(&[(late, 250, true), (2 * late, 700, true)]);
        (before.records.count, before.records.from_bytes) = (3, 3_750);
        before.records.lengths[..3].copy_from_slice(&[250, 250, 700]);
        let start = Tickets::default().response_start(&before, End::ClosedByPeer as u32);
        assert_eq!(start, ResponseStart::At(2 * late));
    }

    #[test]
    fn nothing_is_no_response() {
        assert_eq!(fresh(&[]), ResponseStart::Nowhere);
    }
}
