//! The client's first bytes, and the end of the TLS handshake.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{connection::Peers, event::Header};

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
