//! DNS queries that a process sends, and their answers: RFC 1035 §4.1, over UDP to port 53.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::peers::Peers;

/// The port of DNS servers.
pub const PORT: u16 = 53;

/// Bytes of a message's header: RFC 1035 §4.1.1.
pub const HEADER_BYTES: usize = 12;

/// Bytes of a query that are kept: its header, the longest name, type and class.
pub const MAX_QUESTION_BYTES: usize = HEADER_BYTES + 255 + 4 + 1;

/// Bytes of an answer that are looked at: the addresses of a host come first, and few answers are longer.
pub const MAX_ANSWER_BYTES: usize = 1024;

/// Queries without an answer that are remembered at once.
pub const MAX_QUERIES: u32 = 2048;

/// Size of the ring buffer of answers, bytes: of more than come between two looks at it the rest is counted as lost,
/// which bounds what a busy resolver on this host can cost.
pub const ANSWERS_BYTES: u32 = 64 << 10;

/// What has no answer by then counts as unanswered, ns: the C library asks again after 5 s, and the answer to that is one.
pub const UNANSWERED_NS: u64 = 10_000_000_000;

/// Key of the `DNS_QUERIES` map: the answer to a query carries its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct QueryId {
    /// Address of the `struct sock` that it was sent on.
    pub sock: u64,
    /// The number in its header.
    pub number: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}

/// Value of the `DNS_QUERIES` map: a query that has no answer yet.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Query {
    /// Who asks whom.
    pub peers: Peers,
    /// When its first send returned, ns.
    pub sent_ns: u64,
    /// Bytes of `message` that are filled.
    pub bytes: u64,
    /// How it begins: its header and its question.
    pub message: [u8; MAX_QUESTION_BYTES],
}

const _: () = assert!(size_of::<Query>() == 72 + 16 + MAX_QUESTION_BYTES);
const _: () = assert!(MAX_QUESTION_BYTES.is_multiple_of(8));

/// An answer that was read. In the ring buffer the message follows, the first `captured_bytes` of it.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Answer {
    /// Who asked whom.
    pub peers: Peers,
    /// When the query's first send returned, ns.
    pub sent_ns: u64,
    /// When the read of the answer returned, ns.
    pub read_ns: u64,
    /// Bytes that follow, at most [`MAX_ANSWER_BYTES`].
    pub captured_bytes: u64,
}

const _: () = assert!(size_of::<Answer>() == 72 + 24);

/// What a message's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageHeader {
    /// The number that a query and its answer share.
    pub number: u16,
    /// It is an answer.
    pub answers: bool,
    /// That says what there is: NOERROR or NXDOMAIN.
    pub is_final: bool,
}

impl MessageHeader {
    /// What these bytes say; none if they begin no standard query with one question, nor the answer to one.
    #[inline(always)]
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        const ANSWER: u8 = 0x80;
        const OPCODE: u8 = 0x78;
        let [high, low, flags, code, questions_high, questions_low, ..] = *bytes;
        let is_one = flags & OPCODE == 0 && questions_high == 0 && questions_low == 1;
        let answers = flags & ANSWER != 0;
        let is_final = matches!(code & 0xf, 0 | 3);
        is_one.then_some(Self { number: u16::from_be_bytes([high, low]), answers, is_final })
    }
}

#[cfg(feature = "user")]
// SAFETY: `QueryId` is `repr(C)`, integers without padding, any bit pattern is a value, and `Copy`.
unsafe impl aya::Pod for QueryId {}

#[cfg(feature = "user")]
// SAFETY: `Query` is `repr(C)`, integers and byte arrays without padding, any bit pattern is a value, and `Copy`.
unsafe impl aya::Pod for Query {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_queries_from_answers_and_from_anything_else() {
        let read = |flags, questions| {
            MessageHeader::read(&[0x12, 0x34, flags, 0, 0, questions, 0, 0, 0, 0, 0, 0])
        };
        let (query, answer) = (Some((0x1234, false)), Some((0x1234, true)));
        let parts = |header: Option<MessageHeader>| header.map(|one| (one.number, one.answers));
        assert_eq!(parts(read(0x01, 1)), query, "recursion desired");
        assert_eq!(parts(read(0x81, 1)), answer);
        assert_eq!(parts(read(0x83, 1)), answer, "truncated");
        for other in [read(0x01, 0), read(0x01, 2), read(0x28, 1), read(0x10, 1)] {
            assert_eq!(parts(other), None, "no question, two, an update, a status request");
        }
    }
}
