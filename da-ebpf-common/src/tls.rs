//! The client's first bytes, and the end of the TLS handshake.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{event::Header, peers::Peers};

/// The first thing the client sent: what the connection is attributed by. In the ring buffer so much of
/// the bytes follows as tells the name, `captured_bytes` of them: a ClientHello, or of an HTTP/1 request
/// the method, what of the target names a host, the version, and the headers `Host` and `Upgrade`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FirstBytes {
    /// Begins every event.
    pub header: Header,
    /// See [`Peers`].
    pub peers: Peers,
    /// ESTABLISHED, ns.
    pub established_ns: u64,
    /// When the send returned, ns.
    pub sent_ns: u64,
    /// See [`crate::connection::flags`].
    pub flags: u32,
    /// Bytes that follow, at most [`crate::MAX_FIRST_BYTES`].
    pub captured_bytes: u32,
    /// Bytes the send handed to the kernel; more than were captured if it was long.
    pub sent_bytes: u64,
}

const _: () = assert!(size_of::<FirstBytes>() == 24 + 72 + 32);

/// The TLS handshake is done on the client's side.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Handshake {
    /// Begins every event.
    pub header: Header,
    /// When the send of the ClientHello returned, ns.
    pub hello_ns: u64,
    /// Handshake done, ns.
    pub done_ns: u64,
    /// See [`crate::connection::flags`].
    pub flags: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Handshake>() == 48);

/// Records of the peer that are kept; a power of two.
pub const MAX_RECORDS: usize = 8;
/// Type, version, length: RFC 8446 §5.1.
pub const RECORD_HEADER_BYTES: u32 = 5;
/// The most that a record's header may say: RFC 5246 §6.2.3. In TLS 1.3 it is less.
const MAX_RECORD_BYTES: u64 = (1 << 14) + 2_048;

/// The peer's TLS records as a process reads them: where the next one begins, and how long those are
/// that it has read since it sent its Finished. They say where session tickets end: a handshake message
/// and application data never share a record (RFC 8446 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Records {
    /// Payload bytes received before the first that is kept, modulo 2³².
    pub from_bytes: u32,
    /// Payload bytes received before the next one, modulo 2³².
    pub next_bytes: u32,
    /// What the latest read has brought of that one's header, if not all of it; never reported.
    pub cut: u32,
    /// Tells what was at the beginning of the latest read's buffer from anything else; kept on older kernels
    /// only, and never reported.
    pub sample: u32,
    /// How far this goes: one of [`walk`].
    pub walk: u8,
    /// Whether the latest read has filled its buffer; kept on older kernels only.
    pub is_filled: u8,
    /// Those that are kept.
    pub count: u16,
    /// How long these are, header included.
    pub lengths: [u16; MAX_RECORDS],
}

const _: () = assert!(size_of::<Records>() == 36);

/// [`Records::walk`].
pub mod walk {
    /// No ClientHello has been sent.
    pub const OFF: u8 = 0;
    /// Every record is followed to the next.
    pub const ON: u8 = 1;
    /// There are enough, or there was one that could not be read.
    pub const OVER: u8 = 2;
}

impl Records {
    /// Lengths of those that are kept.
    pub fn lengths(&self) -> &[u16] {
        &self.lengths[..usize::from(self.count).min(MAX_RECORDS)]
    }
}

/// How long the record of a header is, header included; none if it is none. The header's five bytes
/// are the lowest ones of the number.
#[inline(always)]
pub fn record_bytes(header: u64) -> Option<u32> {
    let (kind, version, length) = (header >> 32, header >> 16 & 0xffff, header & 0xffff);
    // Change of cipher to application data, in TLS 1.0 to 1.3.
    let is_record = (0x14..=0x17).contains(&kind) && (0x0301..=0x0304).contains(&version);
    (is_record && length <= MAX_RECORD_BYTES).then_some(RECORD_HEADER_BYTES + length as u32)
}

/// How long a client's Finished is in a record of TLS 1.3 of its own: header 5, message header 4, a hash of 32
/// or 48, content type 1, tag 16; Java pads it by 16 more.
pub const FINISHED_RECORD_BYTES: [u32; 3] = [58, 74, 90];

/// Whether a record of TLS 1.3 has the length of an alert: two bytes, in a record of its own (RFC 8446 §5.1);
/// Java pads it.
#[inline(always)]
pub fn is_alert13(record_bytes: u32) -> bool {
    record_bytes == 24 || record_bytes == 24 + 16
}

/// Whether a record has the length of a client's Finished. Nothing that goes before it in a flight has: a
/// Certificate or its end of early data is shorter where it is empty and longer where it is not, and so is a
/// CertificateVerify.
#[inline(always)]
pub fn is_finished(record_bytes: u32) -> bool {
    // One comparison, not three: the verifier follows each.
    let [shortest, .., longest] = FINISHED_RECORD_BYTES;
    let step = (longest - shortest) / 2;
    record_bytes.wrapping_sub(shortest).rotate_right(step.ilog2()) < 3
}

/// The header of which `cut` is the first `cut_bytes`, less than five; `rest` begins with the others.
#[inline(always)]
pub fn joined(cut: u32, cut_bytes: u32, rest: u64) -> u64 {
    let missing_bytes = RECORD_HEADER_BYTES - cut_bytes;
    u64::from(cut) << (8 * missing_bytes) | rest >> (8 * cut_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: u64 = 0x17_0303_0102;

    #[test]
    fn a_header_says_how_long_its_record_is() {
        assert_eq!(record_bytes(HEADER), Some(5 + 0x102));
        assert_eq!(record_bytes(0x16_0301_0200), Some(5 + 0x200));
        for strange in [0x18_0303_0102, 0x13_0303_0102, 0x17_0203_0102, 0x17_0303_ffff] {
            assert_eq!(record_bytes(strange), None, "{strange:x}");
        }
    }

    #[test]
    fn a_finished_is_known_by_the_length_of_its_record() {
        for bytes in 0..=20_000 {
            assert_eq!(is_finished(bytes), FINISHED_RECORD_BYTES.contains(&bytes), "{bytes}");
        }
        // No certificate, in two paddings; a signature by Ed25519, by ECDSA and by RSA.
        for before in [26, 30, 42, 46, 94, 110, 101, 117, 286] {
            assert!(!is_finished(before) && !is_alert13(before), "{before}");
        }
    }

    #[test]
    fn a_header_that_two_reads_have_brought_is_put_together() {
        assert_eq!(joined(0, 0, HEADER), HEADER);
        for cut_bytes in 1..5 {
            let cut = (HEADER >> (8 * (5 - cut_bytes))) as u32;
            // The rest, and then what comes behind it.
            let rest = HEADER << (8 * cut_bytes) & 0xff_ffff_ffff | 0x7f;
            assert_eq!(joined(cut, cut_bytes, rest), HEADER, "{cut_bytes}");
        }
    }
}
