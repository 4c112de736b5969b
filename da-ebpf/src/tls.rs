//! The client's first bytes, and when its TLS handshake is done.
//!
//! Nothing is decrypted: record headers (RFC 8446 §5.1) are in the clear, and their types and order
//! tell which handshake it is and where it ends.

use aya_ebpf::EbpfContext;
use aya_log_ebpf::debug;
use core::ptr;
use da_ebpf_common::{
    MAX_FIRST_BYTES,
    connection::{Connection, Phase, flags},
    event::Kind,
    head::is_http2_frame,
    tls::{FirstBytes, Handshake, RECORD_HEADER_BYTES},
};

use crate::{
    event, flight, pickup, records, redaction, request, send_buffer,
    sizes::{ALERT, record_overhead_bytes},
    sock::Sock,
    table::establish_unseen,
};

/// Content types of TLS records: RFC 8446 §5.1, RFC 5246 §6.2.1.
const CHANGE_CIPHER_SPEC: u8 = 0x14;
const HANDSHAKE: u8 = 0x16;
const APPLICATION_DATA: u8 = 0x17;
/// First byte of a handshake message: RFC 8446 §4.
const CLIENT_HELLO: u8 = 1;
/// A Finished is far below, a ClientHello far above.
const SMALLEST_HELLO_BYTES: u32 = 100;
/// EndOfEarlyData, RFC 8446 §4.5: header 5, message header 4, content type 1, tag 16; Java pads by 16.
const LARGEST_END_OF_EARLY_DATA_BYTES: u32 = 5 + 4 + 1 + 16 + 16;
/// Of HTTP/2's connection preface, with every setting that RFCs 9113, 8441 and 9218 know and more.
const LARGEST_PREFACE_BYTES: u64 = 128;

/// The first send of a connection, or the first one after a proxy's CONNECT.
///
/// # Safety
/// `connection` points to a live map value, and the caller runs in the send hook.
#[inline(always)]
pub unsafe fn first(
    ctx: &impl EbpfContext,
    sock: impl Sock,
    connection: *mut Connection,
    bytes: u64,
    now_ns: u64,
) {
    let Some(scratch) = send_buffer::scratch() else { return };
    // SAFETY: `scratch` is this run's alone, see `send_buffer::scratch`; the rest is the caller's
    // promise.
    unsafe {
        establish_unseen(sock, connection);
        let captured = send_buffer::copy(sock, scratch, bytes);
        let payload = &(*scratch).payload;
        let earlier = (*connection).flags;
        // Not its very first bytes, where the report of these is lost, or nobody saw them.
        let midway = earlier & (flags::PRE_EXISTING | flags::FIRST_BYTES_LOST) != 0;
        let mut proxied = false;
        let mut request = true;
        let mut told = Told::Head;
        let mut http2 = 0;
        if captured == 0 {
            (*connection).flags |= flags::UNREADABLE;
            debug!(ctx, "first bytes of pid {} out of reach", (*connection).peers.pid);
        } else if midway && captured > 5 && is_record(payload) && !is_hello(payload, captured) {
            if payload[0] == ALERT && earlier & flags::TLS != 0 {
                return; // the handshake has failed
            }
            (*connection).flags |= flags::TLS | flags::TLS_UNDER_WAY;
            request = payload[0] == APPLICATION_DATA;
            told = Told::Nothing;
        } else if is_hello(payload, captured) {
            let early = u32::from(brings_early_data(payload, captured)) * flags::EARLY_DATA;
            (*connection).flags |= flags::TLS | early;
            (*connection).hello_ns = now_ns;
            records::begin(connection, pickup::read_bytes(sock, connection));
            told = Told::Record;
        } else if captured > 1 && is_record(payload) && payload[0] == HANDSHAKE {
            // It is another protocol, or there is too little of it to tell.
            (*connection).flags |= flags::UNREADABLE;
            told = Told::Nothing;
        } else {
            proxied = captured >= 8 && starts_with_connect(payload);
            if proxied {
                // Its answer is none to what comes through the tunnel.
                (*connection).hello_ns = now_ns;
            }
            if midway && captured >= 9 && begins_frame(payload) {
                told = Told::Nothing;
                http2 = flags::HTTP2_FRAME;
            }
        }
        let captured = match told {
            Told::Nothing => 0,
            Told::Record => {
                let length = u16::from_be_bytes([payload[3], payload[4]]);
                at_most(captured, RECORD_HEADER_BYTES + u32::from(length))
            }
            Told::Head => redaction::redact(scratch, captured),
        };
        let report = ptr::addr_of_mut!((*scratch).event);
        (*report).header = event::header::<FirstBytes>(sock, connection, Kind::FirstBytes);
        (*report).peers = (*connection).peers;
        (*report).established_ns = (*connection).established_ns;
        (*report).sent_ns = now_ns;
        (*report).flags = (*connection).flags | http2;
        (*report).captured_bytes = captured;
        (*report).sent_bytes = bytes;
        // The mask changes nothing, but the verifier can follow it.
        let length = size_of::<FirstBytes>() + (captured as usize & (2 * MAX_FIRST_BYTES - 1));
        (*report).header.length = length as u32;
        if !event::emit_bytes(core::slice::from_raw_parts(scratch.cast::<u8>(), length)) {
            // The next send tries again: else da-server would never hear whose this is.
            (*connection).flags |= flags::FIRST_BYTES_LOST;
            return;
        }
        if proxied || !request {
            return;
        }
        if (*connection).flags & (flags::TLS | flags::TLS_UNDER_WAY) == flags::TLS {
            (*connection).phase = Phase::Handshake as u32;
        } else {
            (*connection).phase = Phase::Open as u32;
            request::request(sock, connection, bytes, now_ns);
        }
    }
}

/// What da-server is told of a first send: no more than it needs to tell whose connection it is.
#[derive(Clone, Copy)]
enum Told {
    /// Nothing: it is encrypted, or names nobody.
    Nothing,
    /// The first TLS record: a ClientHello.
    Record,
    /// What is in the head of an HTTP request.
    Head,
}

#[inline(always)]
fn at_most(bytes: u32, most: u32) -> u32 {
    if bytes < most { bytes } else { most }
}

/// Whether an HTTP/2 frame may begin here.
#[inline(always)]
fn begins_frame(payload: &[u8; MAX_FIRST_BYTES]) -> bool {
    is_http2_frame(&[
        payload[0], payload[1], payload[2], payload[3], payload[4], payload[5], payload[6],
        payload[7], payload[8],
    ])
}

/// A TLS record, of any version: RFC 8446 §5.1.
#[inline(always)]
fn is_record(payload: &[u8; MAX_FIRST_BYTES]) -> bool {
    payload[0] >= CHANGE_CIPHER_SPEC && payload[0] <= APPLICATION_DATA && payload[1] == 3
}

/// A TLS record that begins with a ClientHello, which names its own version as well: RFC 8446 §4.1.2.
#[inline(always)]
fn is_hello(payload: &[u8; MAX_FIRST_BYTES], captured: u32) -> bool {
    captured >= 10
        && is_record(payload)
        && payload[0] == HANDSHAKE
        && payload[5] == CLIENT_HELLO
        && payload[9] == 3
}

/// Whether there is application data behind a ClientHello: 0-RTT, RFC 8446 §4.2.10, where a ChangeCipherSpec of six
/// bytes may go before it (§D.4).
#[inline(never)]
fn brings_early_data(payload: &[u8; MAX_FIRST_BYTES], captured: u32) -> bool {
    let byte = |at: u32| {
        let inside = u8::from(at < captured && at < MAX_FIRST_BYTES as u32);
        payload[at as usize & (MAX_FIRST_BYTES - 1)] * inside
    };
    let hello_end = RECORD_HEADER_BYTES + u32::from(u16::from_be_bytes([payload[3], payload[4]]));
    let changes = byte(hello_end) == CHANGE_CIPHER_SPEC;
    byte(hello_end + 6 * u32::from(changes)) == APPLICATION_DATA
}

/// `CONNECT host:443`: what follows is another protocol's first send.
#[inline(always)]
fn starts_with_connect(payload: &[u8; MAX_FIRST_BYTES]) -> bool {
    u64::from_be_bytes([
        payload[0], payload[1], payload[2], payload[3], payload[4], payload[5], payload[6],
        payload[7],
    ]) == u64::from_be_bytes(*b"CONNECT ")
}

/// Looks at the first record of the current send, which begins the first request.
///
/// # Safety
/// As for [`handshake`].
#[inline(always)]
pub unsafe fn read_first_record(sock: impl Sock, connection: *mut Connection) {
    let Some(scratch) = send_buffer::scratch() else { return };
    // SAFETY: `scratch` is this run's alone, see `send_buffer::scratch`; the rest is the caller's
    // promise.
    unsafe {
        if (*connection).flags & flags::TLS != 0
            && send_buffer::copy(sock, scratch, RECORD_HEADER_BYTES.into()) == RECORD_HEADER_BYTES
        {
            let payload = &(*scratch).payload;
            let length = u16::from_be_bytes([payload[3], payload[4]]);
            note_first_record(connection, RECORD_HEADER_BYTES + u32::from(length));
        }
    }
}

/// Notes whether the record that begins the first request may be HTTP/2's connection preface.
///
/// # Safety
/// As for [`handshake`].
#[inline(always)]
unsafe fn note_first_record(connection: *mut Connection, bytes: u32) {
    // SAFETY: the caller's promise; the send hook is the only writer of the flags.
    unsafe {
        let earlier = (*connection).flags;
        let plain_bytes = u64::from(bytes).saturating_sub(record_overhead_bytes(earlier));
        let with_nonce = earlier & flags::TLS13 == 0;
        if is_preface(plain_bytes) || with_nonce && is_preface(plain_bytes.saturating_sub(8)) {
            (*connection).flags = earlier | flags::HTTP2_PREFACE;
        }
    }
}

/// Whether HTTP/2's connection preface (RFC 9113 §3.4) can be so long: 24 bytes, alone or with a
/// SETTINGS frame of 9 bytes and 6 for each setting, and that alone or with a WINDOW_UPDATE of 13.
#[inline(always)]
fn is_preface(bytes: u64) -> bool {
    let with_settings = bytes >= 33 && bytes % 6 == 33 % 6;
    let with_window_update = bytes >= 46 && bytes % 6 == 46 % 6;
    bytes == 24 || bytes <= LARGEST_PREFACE_BYTES && (with_settings || with_window_update)
}

/// A send before the handshake is done.
///
/// # Safety
/// `connection` points to a live map value, and the caller runs in the send hook.
#[inline(always)]
pub unsafe fn handshake(
    ctx: &impl EbpfContext,
    sock: impl Sock,
    connection: *mut Connection,
    bytes: u64,
    now_ns: u64,
) {
    let Some(scratch) = send_buffer::scratch() else { return };
    // SAFETY: `scratch` is this run's alone, see `send_buffer::scratch`.
    let flight = unsafe {
        let captured = send_buffer::copy(sock, scratch, bytes);
        flight::read(scratch, captured);
        &(*scratch).flight
    };
    // SAFETY: the caller's promise; the send hook is the only writer of these fields.
    unsafe {
        let earlier = (*connection).flags;
        let [first, second, third, ..] = flight.types;
        let finished12 = first == CHANGE_CIPHER_SPEC && second == HANDSHAKE;
        let application = flight.has_application_data != 0;
        if application && (*connection).last_arrival_ns == 0 {
            // 0-RTT: the handshake goes on behind the early data.
            (*connection).flags = earlier | flags::EARLY_DATA;
            return;
        }
        let done_ns = if earlier & flags::TLS12_FULL != 0 || application && first == HANDSHAKE {
            if !application {
                return; // the rest of a full handshake's flight, in a write of its own
            }
            // TLS 1.2, and this is the request: the server's Finished was the last to arrive, or
            // (False Start) has not arrived yet.
            (*connection).flags = earlier | flags::TLS12_FULL;
            let arrived_ns = (*connection).last_arrival_ns;
            if arrived_ns > (*connection).flight_ns { arrived_ns } else { now_ns }
        } else if finished12 && third == APPLICATION_DATA {
            // TLS 1.2 resumed, the request in the same write.
            (*connection).flags = earlier | flags::TLS12_RESUMED;
            done(sock, connection, now_ns);
            note_first_record(connection, flight.ends[2] - flight.ends[1]);
            return request::request(sock, connection, bytes - u64::from(flight.ends[1]), now_ns);
        } else if application {
            let (finished_end, early) = (flight.finished_end, earlier & flags::EARLY_DATA != 0);
            if finished_end == 0 {
                // An alert: the client does not like what the server has said. Or the end of early data in a
                // send of its own, before the Finished.
                let ends_early = early && flight.end <= LARGEST_END_OF_EARLY_DATA_BYTES;
                if flight.has_alert == 0 && !ends_early {
                    hide_finished(connection, now_ns);
                }
                return;
            }
            finished13(sock, connection, now_ns);
            if early {
                // The first request went ahead: it counts from here on, and nothing on this connection has a time.
                request::request(sock, connection, bytes, now_ns);
            } else if bytes > u64::from(finished_end) {
                let record_bytes = flight.request_record_end.saturating_sub(finished_end);
                note_first_record(connection, record_bytes);
                let request_bytes = bytes - u64::from(finished_end);
                request::request(sock, connection, request_bytes, now_ns);
            }
            return;
        } else if first == HANDSHAKE {
            if (*connection).last_arrival_ns == 0 {
                return; // the rest of the ClientHello, in a record and a write of its own
            }
            if flight.firsts[0] == CLIENT_HELLO {
                (*connection).flags = earlier | flags::HELLO_RETRY;
            } else {
                (*connection).flags = earlier | flags::TLS12_FULL;
                (*connection).flight_ns = now_ns;
            }
            return;
        } else if finished12 {
            if flight.firsts[1] == CLIENT_HELLO
                && flight.ends[1] - flight.ends[0] > SMALLEST_HELLO_BYTES
            {
                (*connection).flags = earlier | flags::HELLO_RETRY;
                return;
            }
            (*connection).flags = earlier | flags::TLS12_RESUMED;
            now_ns
        } else {
            debug!(ctx, "handshake send of pid {} told nothing", (*connection).peers.pid);
            return;
        };
        done(sock, connection, done_ns);
        if application {
            note_first_record(connection, flight.ends[0]);
            request::request(sock, connection, bytes, now_ns);
        }
    }
}

/// TLS 1.3: the flight shows something before the client's Finished (a certificate, or the end of early data), and no
/// Finished behind it. That is in the same record,
/// or beyond what was captured, or in a send to come: where the handshake ends and the first request begins does
/// not show, and nothing on this connection has a time.
///
/// # Safety
/// As for [`handshake`].
#[inline(always)]
unsafe fn hide_finished(connection: *mut Connection, now_ns: u64) {
    // SAFETY: the caller's promise; the send hook is the only writer of these fields.
    unsafe {
        (*connection).flags |= flags::TLS13 | flags::UNREADABLE;
        (*connection).flight_ns = now_ns;
        (*connection).phase = Phase::Open as u32;
    }
}

/// TLS 1.3: the client's Finished is sent, in a record of application data.
///
/// # Safety
/// As for [`handshake`].
#[inline(always)]
unsafe fn finished13(sock: impl Sock, connection: *mut Connection, now_ns: u64) {
    // SAFETY: the caller's promise; the send hook is the only writer of these fields.
    unsafe {
        (*connection).flags |= flags::TLS13;
        (*connection).flight_ns = now_ns;
        done(sock, connection, now_ns);
    }
}

/// # Safety
/// As for [`handshake`].
#[inline(always)]
unsafe fn done(sock: impl Sock, connection: *mut Connection, done_ns: u64) {
    // SAFETY: the caller's promise; the send hook is the only writer of these fields.
    unsafe {
        (*connection).phase = Phase::Open as u32;
        event::emit(|| Handshake {
            header: event::header::<Handshake>(sock, connection, Kind::Handshake),
            hello_ns: (*connection).hello_ns,
            done_ns,
            flags: (*connection).flags,
            reserved: 0,
        });
    }
}
