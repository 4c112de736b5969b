//! Session tickets of a TLS 1.3 server, told from the first response.
//!
//! A server sends them after the client's Finished (RFC 8446 §4.6.1), encrypted as the response is, and
//! where the response is expected. What tells them apart:
//!
//! 1. A server answers a request that its TCP has, so the segment that brings the answer acknowledges
//!    all of it: whatever came in one that does not is no answer.
//! 2. A ticket and the response never share a record (RFC 8446 §5.1), so the response begins with a
//!    record, and the records' lengths are in the clear.
//! 3. The tickets of one connection are of one length. So behind a ticket that is certain by 1 the first record
//!    of another length begins the response. One of the same length is a ticket if it came right after the
//!    certain one; later, it may be either.
//! 4. Where none is certain, two or more short records of one length, one right after the other, are tickets.
//!    So is one as long as a ticket that was certain on another connection to this server, as long as no
//!    response there was seen to begin with a record of nearly that length.
//! 5. Any other record may be a ticket, a part of one, or the response, up to the first that is longer than any
//!    ticket. Where all of these came at once, as exactly as times are, each is right; else nobody knows.
//! 6. A single record that nothing follows is the response if the server closed. If the client left, or went on
//!    (be it to the rest of this request), it may be a ticket.

mod pieces;
#[cfg(test)]
mod tests;

use da_ebpf_common::arrival::FirstArrivals;
use da_ebpf_common::exchange::End;

pub use self::pieces::PRECISION_NS;
use self::pieces::{Piece, are_alike, came_at_once, certain, pieces};

/// Records that are cut to fit into a segment, and so are of one length whatever they carry, are no
/// shorter: crypto/tls begins with 1,208 bytes.
const LEAST_CUT_BYTES: u32 = 1_200;
/// Lengths remembered of a server.
const MAX_LENGTHS: usize = 8;
/// The first records of one server's responses differ by less, as far as their headers do: where one of them is
/// so close to a ticket's length, another may be as long.
const LEAST_APART_BYTES: u32 = 64;

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
    /// A response has begun with a record of nearly such a length, so that it tells nothing.
    are_like_responses: bool,
}

impl Tickets {
    /// Finds the response among what came first, and learns from what was certainly none. `number` and `end` are
    /// the exchange's: its number, and what ended it, an [`End`].
    pub fn response_start(
        &mut self,
        first: &FirstArrivals,
        number: u64,
        end: u32,
    ) -> ResponseStart {
        let pieces = pieces(first);
        let (certain, rest) = pieces.split_at(certain(&pieces));
        let goes_on = end == End::NextRequest as u32;
        let own = lengths(certain);
        let one_length = own.iter().all(|bytes| are_alike(*bytes, own[0]));
        // Behind an earlier exchange of which nothing is known, its response is among them.
        if number == 1 && one_length {
            own.iter().for_each(|bytes| self.learn(*bytes));
        }
        if rest.is_empty() {
            let halved = goes_on && !certain.is_empty();
            return if halved { ResponseStart::NotYet } else { ResponseStart::Nowhere };
        }
        if !one_length {
            return ResponseStart::Doubtful; // they are not all tickets
        }
        let is_own =
            |piece: &&Piece| piece.is_record && own.iter().any(|own| are_alike(*own, piece.bytes));
        let tickets = match rest.iter().take_while(is_own).count() {
            0 if own.is_empty() => {
                match rest.iter().take_while(|piece| self.has_shown(piece)).count() {
                    0 => leading_alike(rest),
                    shown => shown,
                }
            }
            own => own,
        };
        if !came_at_once(&pieces[certain.len().saturating_sub(1)..certain.len() + tickets]) {
            return ResponseStart::Doubtful; // the response may look like a ticket
        }
        let told_apart = tickets > 0 || !own.is_empty();
        if let ([_, ..], Some(start)) = (&own[..], rest.get(tickets)) {
            self.has_responded(start);
        }
        let closed = [End::ClosedByPeer, End::Silence].iter().any(|closed| *closed as u32 == end);
        match &rest[tickets..] {
            [] if goes_on => ResponseStart::NotYet,
            [] => ResponseStart::Doubtful,
            // Whatever else came in the same arrival.
            [only] if goes_on && only.is_continue() => ResponseStart::NotYet,
            [ticket, last] if goes_on && !told_apart && !ticket.is_full() && last.is_continue() => {
                ResponseStart::NotYet
            }
            [start, ..] if told_apart && start.is_record => ResponseStart::At(start.at_ns),
            [only] if !closed && !only.is_full() => ResponseStart::Doubtful,
            any => start_of_any(any),
        }
    }

    /// Whether all that has come may be tickets, so that the response may be still on its way.
    pub fn may_be_all(first: &FirstArrivals) -> bool {
        let pieces = pieces(first);
        let (certain, rest) = pieces.split_at(certain(&pieces));
        let own = lengths(certain);
        let Some(group) = rest.first() else { return true };
        let is_ticket = own.is_empty() || own.iter().any(|own| are_alike(*own, group.bytes));
        is_ticket && rest.iter().all(|piece| are_alike(piece.bytes, group.bytes))
    }

    /// Whether all that has come is known to be tickets, so that there is no response yet.
    pub fn are_all(&self, first: &FirstArrivals) -> bool {
        let pieces = pieces(first);
        let (certain, rest) = pieces.split_at(certain(&pieces));
        let own = lengths(certain);
        match own.first() {
            Some(own) => rest.iter().all(|piece| piece.is_record && are_alike(*own, piece.bytes)),
            None if rest.iter().all(|piece| self.has_shown(piece)) => true,
            None => leading_alike(rest) == rest.len(),
        }
    }

    fn has_shown(&self, piece: &Piece) -> bool {
        let is_shown = self.lengths.iter().any(|bytes| are_alike(*bytes, piece.bytes));
        piece.is_record && is_shown && !self.are_like_responses
    }

    /// A response has begun with this, which is no ticket.
    fn has_responded(&mut self, start: &Piece) {
        let is_near = |bytes: &u32| bytes.abs_diff(start.bytes) < LEAST_APART_BYTES;
        self.are_like_responses |= self.lengths.iter().any(is_near);
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

/// Lengths of tickets.
fn lengths(tickets: &[Piece]) -> Vec<u32> {
    let records = tickets.iter().filter(|piece| piece.is_record && !piece.is_continue());
    records.map(|piece| piece.bytes).collect()
}

/// How many at the beginning look like tickets of one server: several short records of one length.
fn leading_alike(pieces: &[Piece]) -> usize {
    let Some(first) = pieces.first() else { return 0 };
    let alike = |piece: &&Piece| piece.is_record && are_alike(piece.bytes, first.bytes);
    let count = pieces.iter().take_while(alike).count();
    if count > 1 && first.bytes < LEAST_CUT_BYTES { count } else { 0 }
}

/// The response begins with one of these, and no later than with one that is longer than any ticket.
fn start_of_any(pieces: &[Piece]) -> ResponseStart {
    let latest = pieces.iter().find(|piece| piece.is_full()).or(pieces.last());
    match (pieces.first(), latest) {
        (Some(first), Some(latest)) if latest.at_ns.saturating_sub(first.at_ns) <= PRECISION_NS => {
            ResponseStart::At(first.at_ns)
        }
        (None, _) => ResponseStart::Nowhere,
        _ => ResponseStart::Doubtful,
    }
}
