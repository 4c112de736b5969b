use da_ebpf_common::arrival::Arrival;
use zerocopy::FromZeros;

use super::*;

const MS: u64 = 1_000_000;
const LATE: u64 = 300 * MS;
const REQUEST_END: u32 = 900;
/// `HTTP/1.1 100 Continue` in a record.
const CONTINUE_BYTES: u32 = 47;

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
    tickets.response_start(&first(came), 1, End::ClosedByPeer as u32)
}

fn fresh(came: &[Came]) -> ResponseStart {
    closed(&mut Tickets::default(), came)
}

#[test]
fn what_does_not_acknowledge_the_request_is_no_answer() {
    assert_eq!(fresh(&[(1, 250, false), (LATE, 700, true)]), ResponseStart::At(LATE));
    assert_eq!(fresh(&[(1, 250, false), (2, 250, false)]), ResponseStart::Nowhere);
    // The second ticket of that connection comes late enough to acknowledge it.
    let halved = [(1, 250, false), (2, 251, true), (LATE, 700, true), (LATE + MS, 90, true)];
    assert_eq!(fresh(&halved), ResponseStart::At(LATE));
}

#[test]
fn several_records_of_one_length_are_tickets() {
    let two = [(1, 250, true), (9, 252, true), (LATE, 700, true), (2 * LATE, 90, true)];
    assert_eq!(fresh(&two), ResponseStart::At(LATE));
    // Long ones may have been cut to fit into a segment.
    let cut = [(1, 1_391, true), (9, 1_391, true), (MS, 700, true)];
    assert_eq!(fresh(&cut), ResponseStart::At(1), "each is right");
    let later = [(1, 1_391, true), (LATE, 1_391, true), (2 * LATE, 700, true)];
    assert_eq!(fresh(&later), ResponseStart::Doubtful);
    // One of these may be the response.
    let apart = [(1, 250, true), (LATE, 250, true), (2 * LATE, 700, true)];
    assert_eq!(fresh(&apart), ResponseStart::Doubtful);
}

#[test]
fn a_response_as_long_as_a_ticket_is_not_taken_for_one() {
    // Its head, and its first token much later.
    let certain = [(1, 255, false), (LATE, 256, true), (8 * LATE, 90, true)];
    assert_eq!(fresh(&certain), ResponseStart::Doubtful);
    let one = [(1, 255, true), (LATE, 256, true), (8 * LATE, 90, true)];
    assert_eq!(fresh(&one), ResponseStart::Doubtful);
    // Of a server whose responses begin with a record of nearly that length.
    let mut tickets = Tickets::default();
    assert_eq!(closed(&mut tickets, &[(1, 255, false), (2, 300, true)]), ResponseStart::At(2));
    let shown = [(LATE, 256, true), (8 * LATE, 90, true)];
    assert_eq!(closed(&mut tickets, &shown), ResponseStart::Doubtful);
    assert_eq!(closed(&mut tickets, &shown[..1]), ResponseStart::At(LATE), "the server closed");
}

#[test]
fn a_ticket_is_known_by_what_another_connection_to_its_server_has_shown() {
    let one = [(1, 250, true), (LATE, 700, true)];
    assert_eq!(fresh(&one), ResponseStart::Doubtful);
    let mut tickets = Tickets::default();
    assert_eq!(closed(&mut tickets, &[(1, 251, false), (2, 690, true)]), ResponseStart::At(2));
    assert_eq!(closed(&mut tickets, &one), ResponseStart::At(LATE));
    // The second of them may be the response.
    let two = [(1, 250, true), (LATE, 250, true), (2 * LATE, 700, true)];
    assert_eq!(closed(&mut tickets, &two), ResponseStart::Doubtful);
    // From now on a response is known to be as long.
    assert_eq!(closed(&mut tickets, &[(1, 251, false), (2, 310, true)]), ResponseStart::At(2));
    assert_eq!(closed(&mut tickets, &one), ResponseStart::Doubtful);
}

#[test]
fn what_comes_between_two_writes_is_a_ticket_where_the_server_has_shown_one_of_that_length() {
    let mut tickets = Tickets::default();
    let goes_on = |tickets: &mut Tickets, number, came: &[Came]| {
        tickets.response_start(&first(came), number, End::NextRequest as u32)
    };
    let lone = [(1, 250, true)];
    assert_eq!(goes_on(&mut tickets, 1, &lone), ResponseStart::Doubtful);
    // Behind an exchange of which nothing is known it was perhaps that one's response.
    goes_on(&mut tickets, 2, &[(1, 250, false), (LATE, 700, true)]);
    assert_eq!(goes_on(&mut tickets, 1, &lone), ResponseStart::Doubtful);
    // They are not all tickets.
    let unlike = [(1, 250, false), (2, 300, false), (LATE, 700, true)];
    assert_eq!(goes_on(&mut tickets, 1, &unlike), ResponseStart::Doubtful);
    assert_eq!(goes_on(&mut tickets, 1, &lone), ResponseStart::Doubtful);
    goes_on(&mut tickets, 1, &[(1, 251, false), (LATE, 700, true)]);
    assert_eq!(goes_on(&mut tickets, 1, &lone), ResponseStart::NotYet);
    assert_eq!(goes_on(&mut tickets, 1, &[(1, 400, true)]), ResponseStart::Doubtful);
}

#[test]
fn what_was_taken_for_tickets_is_not_learned_from_the_rest_of_the_request() {
    let mut tickets = Tickets::default();
    let two = first(&[(1, 250, true), (2, 250, true)]);
    let start = tickets.response_start(&two, 1, End::NextRequest as u32);
    assert_eq!(start, ResponseStart::NotYet);
    let mut rest = unread(&[(LATE, 700, true)]);
    (rest.records.count, rest.records.from_bytes) = (3, 3_500);
    rest.records.lengths[..3].copy_from_slice(&[250, 250, 700]);
    let start = tickets.response_start(&rest, 2, End::NextRequest as u32);
    assert_eq!(start, ResponseStart::At(LATE));
    let lone = tickets.response_start(&first(&[(1, 250, true)]), 1, End::NextRequest as u32);
    assert_eq!(lone, ResponseStart::Doubtful);
}

#[test]
fn other_messages_behind_the_handshake_begin_no_response() {
    // A key update, behind a ticket that is certain, behind one that is not, and by itself.
    assert_eq!(
        fresh(&[(1, 250, false), (2, 27, true), (LATE, 700, true)]),
        ResponseStart::At(LATE)
    );
    assert_eq!(fresh(&[(1, 250, true), (2, 27, true), (LATE, 700, true)]), ResponseStart::Doubtful);
    assert_eq!(fresh(&[(1, 27, true), (LATE, 700, true)]), ResponseStart::At(LATE));
    // A ticket in two records, or one and a request for a certificate.
    let two = [(1, 16_000, true), (2, 900, true), (LATE, 700, true)];
    assert_eq!(fresh(&two), ResponseStart::Doubtful);
    // What is longer than any ticket is the response, or a part of it.
    let full = [(1, 300, true), (2, 16_406, true), (LATE, 700, true)];
    assert_eq!(fresh(&full), ResponseStart::At(1));
    assert_eq!(fresh(&[(1, 300, true), (LATE, 16_406, true)]), ResponseStart::Doubtful);
}

#[test]
fn either_is_right_where_both_came_at_once() {
    assert_eq!(fresh(&[(5, 250, true), (5 + MS, 700, true)]), ResponseStart::At(5));
    assert_eq!(fresh(&[(5, 250, true), (6 + MS, 700, true)]), ResponseStart::Doubtful);
    assert_eq!(fresh(&[(5, 16_406, true), (9 * MS, 16_406, true)]), ResponseStart::At(5));
}

#[test]
fn what_nothing_follows_is_the_response_if_the_server_closed() {
    let only = first(&[(5, 250, true)]);
    let start = |end| Tickets::default().response_start(&only, 1, end as u32);
    for end in [End::ClosedByPeer, End::Silence] {
        assert_eq!(start(end), ResponseStart::At(5), "{end:?}");
    }
    // It went on, perhaps to the rest of its request.
    for end in [End::NextRequest, End::Closed, End::Aborted] {
        assert_eq!(start(end), ResponseStart::Doubtful, "{end:?}");
    }
    let full = first(&[(5, 16_406, true)]);
    let start_of_full = Tickets::default().response_start(&full, 1, End::NextRequest as u32);
    assert_eq!(start_of_full, ResponseStart::At(5));
    let tickets = first(&[(5, 250, true), (6, 250, true)]);
    let start = |end| Tickets::default().response_start(&tickets, 1, end as u32);
    assert_eq!(start(End::NextRequest), ResponseStart::NotYet);
    assert_eq!(start(End::ClosedByPeer), ResponseStart::Doubtful);
    assert!(Tickets::may_be_all(&only) && Tickets::may_be_all(&tickets));
    let answered = first(&[(5, 250, false), (6, 700, true)]);
    assert!(!Tickets::may_be_all(&answered));
}

#[test]
fn leave_to_go_on_is_no_response_also_where_it_comes_in_one_arrival_with_tickets() {
    let start =
        |first: &FirstArrivals, end| Tickets::default().response_start(first, 1, end as u32);
    let mut shared = unread(&[(5, 250 + 250 + CONTINUE_BYTES, true)]);
    (shared.records.count, shared.records.from_bytes) = (3, 4_000);
    shared.records.lengths[..3].copy_from_slice(&[250, 250, CONTINUE_BYTES as u16]);
    assert_eq!(start(&shared, End::NextRequest), ResponseStart::NotYet);
    assert_eq!(start(&shared, End::ClosedByPeer), ResponseStart::At(5));
    let mut single = unread(&[(5, 250 + CONTINUE_BYTES, true)]);
    (single.records.count, single.records.from_bytes) = (2, 4_000);
    for bytes in [CONTINUE_BYTES as u16, CONTINUE_BYTES as u16 + 16] {
        single.records.lengths[..2].copy_from_slice(&[250, bytes]);
        single.arrivals[0].bytes = 250 + u32::from(bytes);
        assert_eq!(start(&single, End::NextRequest), ResponseStart::NotYet, "{bytes}");
        assert_eq!(start(&single, End::ClosedByPeer), ResponseStart::At(5), "{bytes}");
    }
    let alone = first(&[(5, CONTINUE_BYTES, true)]);
    assert_eq!(start(&alone, End::NextRequest), ResponseStart::NotYet);
    let answered = first(&[(5, CONTINUE_BYTES, true), (6, 700, true)]);
    assert_eq!(start(&answered, End::NextRequest), ResponseStart::At(5));
}

#[test]
fn what_nobody_has_read_is_told_by_its_arrivals() {
    let start = |came: &[Came]| {
        Tickets::default().response_start(&unread(came), 1, End::ClosedByPeer as u32)
    };
    assert_eq!(start(&[(5, 250, false), (9 * MS, 700, true)]), ResponseStart::At(9 * MS));
    assert_eq!(start(&[(5, 250, true), (6, 700, true)]), ResponseStart::At(5));
    assert_eq!(start(&[(5, 250, true), (9 * MS, 700, true)]), ResponseStart::Doubtful);
}

#[test]
fn records_share_arrivals_and_reach_over_them() {
    let mut shared = unread(&[(1, 500, true), (LATE, 1_000, true), (2 * LATE, 1_000, true)]);
    (shared.records.count, shared.records.from_bytes) = (3, 4_000);
    shared.records.lengths[..3].copy_from_slice(&[250, 250, 2_000]);
    let start = Tickets::default().response_start(&shared, 1, End::ClosedByPeer as u32);
    assert_eq!(start, ResponseStart::At(LATE));
    // A ticket that came with the server's Finished was read after the client's.
    let mut before = unread(&[(LATE, 700, true), (2 * LATE, 700, true)]);
    (before.records.count, before.records.from_bytes) = (3, 3_750);
    before.records.lengths[..3].copy_from_slice(&[250, 700, 700]);
    let start = Tickets::default().response_start(&before, 1, End::ClosedByPeer as u32);
    assert_eq!(start, ResponseStart::At(LATE));
    // So long after it nothing like it is certainly another one.
    before.arrivals[0].bytes = 250;
    before.records.lengths[1] = 250;
    let start = Tickets::default().response_start(&before, 1, End::ClosedByPeer as u32);
    assert_eq!(start, ResponseStart::Doubtful);
}

#[test]
fn what_came_before_the_records_that_were_read_may_be_the_response() {
    let mut late = unread(&[(1, 700, true), (LATE, 250, true), (2 * LATE, 400, true)]);
    (late.records.count, late.records.from_bytes) = (2, 4_700);
    late.records.lengths[..2].copy_from_slice(&[250, 400]);
    let start = Tickets::default().response_start(&late, 1, End::ClosedByPeer as u32);
    assert_eq!(start, ResponseStart::Doubtful);
    late.arrivals[1].at_ns = 2;
    late.arrivals[2].at_ns = 3;
    let start = Tickets::default().response_start(&late, 1, End::ClosedByPeer as u32);
    assert_eq!(start, ResponseStart::At(1));
}

#[test]
fn nothing_is_no_response() {
    assert_eq!(fresh(&[]), ResponseStart::Nowhere);
}
