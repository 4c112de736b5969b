//! What sends and arrivals of a certain length can be, on a connection of which the flags are known.

use da_ebpf_common::connection::{Connection, flags};

use crate::{send_buffer, sock::Sock};

/// Content type of a TLS alert: RFC 8446 §5.1, RFC 5246 §6.2.1.
pub const ALERT: u8 = 0x15;
/// Header, initialization vector, the alert, MAC and padding of the largest CBC suite.
pub const LARGEST_ALERT_BYTES: u64 = 5 + 16 + 2 + 48 + 16;

/// Least a TLS record is longer than its plaintext: RFC 8446 §5.2 (header 5, content type 1, tag
/// 16); RFC 7905 for TLS 1.2 with ChaCha20 (header 5, tag 16), whose other suites take more.
#[inline(always)]
pub fn record_overhead_bytes(connection_flags: u32) -> u64 {
    if connection_flags & flags::TLS13 != 0 {
        22
    } else if connection_flags & flags::TLS != 0 {
        21
    } else {
        0
    }
}

/// Java's own TLS pads each record of TLS 1.3 with so many zeros (`sun.security.ssl.OutputRecord`), as
/// RFC 8446 §5.4 allows.
const JAVA_PADDING_BYTES: u64 = 16;
/// AES-GCM in TLS 1.2 takes so much more than the least overhead: RFC 5288 §3.
const NONCE_BYTES: u64 = 8;

/// An HTTP/2 SETTINGS acknowledgement is a bare frame header of 9 bytes: RFC 9113 §4.1.
#[inline(always)]
pub fn is_settings_ack(connection_flags: u32, bytes: u64) -> bool {
    let least = 9 + record_overhead_bytes(connection_flags);
    let may_be_more = match connection_flags & flags::TLS13 {
        0 => NONCE_BYTES,
        _ => JAVA_PADDING_BYTES,
    };
    bytes == least || bytes == least + may_be_more
}

/// `GET / HTTP/1.1`, `host: a` and three line ends, in one record. A key update (5 bytes, the longest
/// that is none) is shorter with Java's padding as well. 1 where the protocol is not known to be TLS.
#[inline(always)]
pub fn smallest_request_bytes(connection_flags: u32) -> u64 {
    match record_overhead_bytes(connection_flags) {
        0 => 1,
        overhead => 27 + overhead,
    }
}

/// A close alert is two bytes, in a record of its own: RFC 8446 §6.1.
#[inline(always)]
pub fn is_close_alert(connection_flags: u32, bytes: u64) -> bool {
    let least = 2 + record_overhead_bytes(connection_flags);
    connection_flags & flags::TLS != 0
        && (bytes == least || connection_flags & flags::TLS13 == 0 && bytes == least + 8)
}

/// Whether a short send on a TLS 1.2 connection is an alert, whose type is in the clear there (in
/// TLS 1.3 it is not, but then its length tells).
///
/// # Safety
/// `connection` is from `table::find`, and the caller runs in the send hook.
#[inline(always)]
pub unsafe fn is_alert(sock: impl Sock, connection: *const Connection, bytes: u64) -> bool {
    // SAFETY: the caller's promise.
    let connection_flags = unsafe { (*connection).flags };
    if connection_flags & flags::TLS == 0
        || connection_flags & flags::TLS13 != 0
        || bytes > LARGEST_ALERT_BYTES
    {
        return false;
    }
    let Some(scratch) = send_buffer::scratch() else { return false };
    // SAFETY: `scratch` is this run's alone, see `send_buffer::scratch`.
    unsafe { send_buffer::copy(sock, scratch, 1) == 1 && (*scratch).payload[0] == ALERT }
}
