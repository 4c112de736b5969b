//! What arrived first, piece by piece.

use da_ebpf_common::arrival::{Arrival, FirstArrivals};

/// Times that differ by less are the same: what keeps a process or a packet waiting on a busy host.
pub const PRECISION_NS: u64 = 1_000_000;
/// The tickets of one server differ by so much: the encoding of a number.
const ALIKE_BYTES: u32 = 2;
/// A record that is as long as a record may be, which no ticket fills: RFC 8446 §5.1.
const FULL_BYTES: u32 = 1 << 14;
/// `HTTP/1.1 100 Continue`, two line ends, and what a record adds, also where Java pads it: it precedes the
/// response as well.
const CONTINUE_RECORD_BYTES: [u32; 2] = [25 + 22, 25 + 22 + 16];
/// A KeyUpdate (RFC 8446 §4.6.3) in a record: a response does not begin with five bytes.
const KEY_UPDATE_RECORD_BYTES: u32 = 5 + 22;

/// What may be the beginning of the response: a record, or an arrival whose records were not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// When it came, ns; 0 where that was before the arrivals that were kept.
    pub at_ns: u64,
    /// How long it is.
    pub bytes: u32,
    /// It could answer the request.
    pub answers: bool,
    /// It is a record.
    pub is_record: bool,
}

impl Piece {
    /// No handshake message that a server sends is so long.
    pub fn is_full(&self) -> bool {
        self.is_record && self.bytes >= FULL_BYTES
    }

    /// It is as long as leave to go on.
    pub fn is_continue(&self) -> bool {
        self.is_record && CONTINUE_RECORD_BYTES.contains(&self.bytes)
    }
}

/// What came, in order: each record, and where these were not read, each arrival. Key updates are left out.
pub fn pieces(first: &FirstArrivals) -> Vec<Piece> {
    // Bytes behind the beginning of the first arrival; a record may have come before.
    let mut from = 0;
    if first.records.count > 0 {
        from = first.records.from_bytes.wrapping_sub(first.from_bytes).cast_signed();
    }
    // What came before the first record that was kept may be the response as well.
    let mut pieces = unread(first, 0, from);
    for bytes in first.records.lengths().iter().copied().map(u32::from) {
        let (at_ns, answers) = match arrival_of(first, from) {
            Some((arrival, _)) => (arrival.at_ns, arrival.acknowledges(first.request_end)),
            None if from < 0 => (0, false),
            None => return pieces, // it came after those that were kept
        };
        if bytes != KEY_UPDATE_RECORD_BYTES {
            pieces.push(Piece { at_ns, bytes, answers, is_record: true });
        }
        from += bytes.cast_signed();
    }
    pieces.append(&mut unread(first, from.max(0), i32::MAX));
    pieces
}

/// The arrivals between two offsets, whose records were not read.
fn unread(first: &FirstArrivals, from: i32, to: i32) -> Vec<Piece> {
    let (mut pieces, mut from) = (Vec::new(), from);
    while from < to
        && let Some((arrival, end)) = arrival_of(first, from)
    {
        let (at_ns, answers) = (arrival.at_ns, arrival.acknowledges(first.request_end));
        let end = end.min(to);
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

/// How many can't answer the request, the others being behind them: nothing answers it before what does not.
pub fn certain(pieces: &[Piece]) -> usize {
    pieces.iter().rposition(|piece| !piece.answers).map_or(0, |last| last + 1)
}

/// Whether two lengths may be those of one server's tickets.
pub fn are_alike(one: u32, other: u32) -> bool {
    one.abs_diff(other) <= ALIKE_BYTES
}

/// Whether each came right after the one before.
pub fn came_at_once(pieces: &[Piece]) -> bool {
    pieces.windows(2).all(|two| two[1].at_ns.saturating_sub(two[0].at_ns) <= PRECISION_NS)
}
