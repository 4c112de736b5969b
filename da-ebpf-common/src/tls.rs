//! The client's first bytes, and the end of the TLS handshake.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{MAX_FIRST_BYTES, connection::Peers, event::Header};

/// The first thing the client sent: what the connection is attributed by.
///
/// The ring buffer holds it only up to the end of the payload: [`Header::length`].
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
    /// Bytes of `payload` that are set.
    pub captured_bytes: u32,
    /// Bytes the send handed to the kernel; more than were captured if it was long.
    pub sent_bytes: u64,
    /// ClientHello, HTTP request head or whatever else was sent first.
    pub payload: [u8; MAX_FIRST_BYTES],
}

impl FirstBytes {
    /// Bytes before the payload.
    pub const HEAD_BYTES: usize = size_of::<Self>() - MAX_FIRST_BYTES;
}

const _: () = assert!(FirstBytes::HEAD_BYTES == 24 + 64 + 32);

/// The TLS handshake is done on the client's side.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Handshake {
    /// Begins every event.
    pub header: Header,
    /// ClientHello handed to the kernel, ns.
    pub hello_ns: u64,
    /// Handshake done, ns.
    pub done_ns: u64,
    /// See [`crate::connection::flags`].
    pub flags: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Handshake>() == 48);
