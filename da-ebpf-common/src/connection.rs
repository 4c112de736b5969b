//! The record kept per connection, and the event that ends it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::arrival::Arrivals;
use crate::event::Header;
use crate::peers::Peers;
use crate::pickup::{Pickups, Unread};
use crate::tls::Records;

/// How far a connection has got, as seen from what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// Nothing was sent yet, or only a proxy's CONNECT.
    Fresh = 0,
    /// The ClientHello was sent; the handshake is not finished.
    Handshake = 1,
    /// Whatever is sent now belongs to requests.
    Open = 2,
}

/// [`Connection::flags`]: facts about a connection that never become untrue.
pub mod flags {
    /// The client's first bytes were a TLS record.
    pub const TLS: u32 = 1;
    /// TLS 1.3.
    pub const TLS13: u32 = 1 << 1;
    /// TLS 1.2 with a full handshake: it ends when the server's Finished arrives.
    pub const TLS12_FULL: u32 = 1 << 2;
    /// TLS 1.2 resumed: it ends with the client's Finished.
    pub const TLS12_RESUMED: u32 = 1 << 3;
    /// A second ClientHello followed a HelloRetryRequest.
    pub const HELLO_RETRY: u32 = 1 << 4;
    /// Application data was sent before anything arrived (0-RTT).
    pub const EARLY_DATA: u32 = 1 << 5;
    /// A send's buffer was out of reach (io_uring, sendfile, a 32-bit process): TLS and names unknown.
    pub const UNREADABLE: u32 = 1 << 6;
    /// A send had exactly the size of an HTTP/2 SETTINGS acknowledgement.
    pub const HTTP2_CONTROL: u32 = 1 << 7;
    /// The peer broke the connection off by a reset.
    pub const RESET_RECEIVED: u32 = 1 << 8;
    /// This side broke it off by a reset.
    pub const RESET_SENT: u32 = 1 << 9;
    /// It is older than the programs: what came before is unknown.
    pub const PRE_EXISTING: u32 = 1 << 10;
    /// TLS whose handshake was not seen: version and ALPN are unknown.
    pub const TLS_UNDER_WAY: u32 = 1 << 11;
    /// The first TLS record of the first request had a size that an HTTP/2 connection preface has.
    pub const HTTP2_PREFACE: u32 = 1 << 12;
    /// Bytes were sent in no hook's sight.
    pub const UNSEEN_SEND: u32 = 1 << 13;
    /// The connect failed before anything was sent: there was no local port for it.
    pub const NO_LOCAL_PORT: u32 = 1 << 14;
    /// The report of the first bytes did not get through: what is reported as such came later.
    pub const FIRST_BYTES_LOST: u32 = 1 << 15;
    /// When it connected was not seen: it is followed from its first send on, or the kernel skipped the run
    /// that would have noted it. [`Connection::established_ns`](super::Connection::established_ns) is that of
    /// the first send, or of CLOSE.
    pub const UNSEEN_CONNECT: u32 = 1 << 16;
    /// By then something had arrived, be it a part of the answer to that send.
    pub const UNSEEN_ARRIVAL: u32 = 1 << 17;
    /// Of an exchange alone: something was read of which nobody saw when it had arrived. See
    /// [`Pickups::skipped_arrivals`](crate::pickup::Pickups::skipped_arrivals).
    pub const SKIPPED_ARRIVAL: u32 = 1 << 18;
    /// Of a report of first bytes alone: they may be an HTTP/2 frame's, of a connection whose beginning was not
    /// seen.
    pub const HTTP2_FRAME: u32 = 1 << 19;
    /// The peer was the first to close its half.
    pub const CLOSED_BY_PEER: u32 = 1 << 20;
}

/// Requests begun and payload bytes sent, both modulo 2³², in one word: the arrival hook, which runs
/// at the same time as the send hook on another CPU, reads both as of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Number of the current request.
    pub request: u32,
    /// Payload bytes handed to the kernel.
    pub sent_bytes: u32,
}

impl Progress {
    /// As [`Connection::progress`] holds it.
    pub fn to_word(self) -> u64 {
        u64::from(self.request) << 32 | u64::from(self.sent_bytes)
    }

    /// From [`Connection::progress`].
    pub fn from_word(word: u64) -> Self {
        Self { request: (word >> 32) as u32, sent_bytes: word as u32 }
    }

    /// Whether the peer has acknowledged more than was counted as sent: then it answers a send whose
    /// hook has not run yet. `bytes_acked` counts the SYN and, if sent, the FIN as one byte each.
    pub fn is_outrun_by(self, bytes_acked: u64) -> bool {
        let beyond = (bytes_acked as u32).wrapping_sub(self.sent_bytes).wrapping_sub(2);
        beyond.cast_signed() > 0
    }
}

/// Value of the `CONNECTIONS` map; its key is the address of the `struct sock`.
///
/// There is no lock: tracing programs may not take one. No field has two writers at a time: before
/// anything is sent the state hook (or for an older connection the iterator, of a record that is in
/// no map yet) writes it; then the send hook, in the sender. From `received_bytes` on the fields
/// belong to what arrives, which is noted under the socket's lock by whoever comes first: the arrival
/// hook, the state hook at CLOSE, and on older kernels the hook of reads. `pickups`, `records`
/// and what says so belong to the receive hook; where records begin, the send hook says with the ClientHello,
/// when there is nothing to read. What the arrival hook needs of the send hook it takes from `progress`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Connection {
    /// SYN_SENT, ns.
    pub born_ns: u64,
    /// Address of its `struct sock`: the key of the map.
    pub sock: u64,
    /// ESTABLISHED, ns.
    pub established_ns: u64,
    /// When either side first closed its half, ns; written by the state hook.
    pub half_closed_ns: u64,
    /// See [`Peers`].
    pub peers: Peers,
    /// A [`Phase`].
    pub phase: u32,
    /// See [`flags`].
    pub flags: u32,
    /// When the send of the ClientHello returned, ns.
    pub hello_ns: u64,
    /// When the send of the client's last handshake flight returned, ns.
    pub flight_ns: u64,
    /// Requests begun so far; the current one's number.
    pub request: u64,
    /// When the first send of the current request returned, ns.
    pub request_first_ns: u64,
    /// When the last send of the current request returned, ns.
    pub request_last_ns: u64,
    /// Bytes of the current request.
    pub request_bytes: u64,
    /// Payload bytes handed to the kernel since the connect.
    pub sent_bytes: u64,
    /// A [`Progress`].
    pub progress: u64,
    /// `tcp_sock.copied_seq` when nothing had been read yet.
    pub first_sequence: u32,
    /// [`flags::RESET_RECEIVED`] or [`flags::RESET_SENT`]; written by the reset hooks alone, one at
    /// a time: see there.
    pub resets: u32,
    /// Payload bytes received, as of the last arrival.
    pub received_bytes: u64,
    /// Last arrival of payload, ns.
    pub last_arrival_ns: u64,
    /// `tcp_sock.srtt_us` as of then: smoothed round-trip time, in eighths of a µs.
    pub srtt_eighths_us: u32,
    /// `tcp_sock.total_retrans` as of then: segments sent again since the connect.
    pub retransmits: u32,
    /// `tcp_sock.rtt_min` as of then: least round-trip time of the last minutes, µs; all ones where there is none.
    pub least_rtt_us: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
    /// How long the receive window was used up in all by the last arrival that counts in a response, ns.
    pub closed_by_arrival_ns: u64,
    /// `tcp_sock.rcv_ooopack` as of then: segments that came out of order since the connect.
    pub out_of_order: u32,
    /// Not 0 if it was the peer that first closed its half; written by the state hook.
    pub half_closed_by_peer: u32,
    /// What arrived in answer to even and odd requests. Two slots, because the answer to a request
    /// can arrive before its send hook has run and closed the exchange before it.
    pub arrivals: [Arrivals; 2],
    /// What came into an empty receive buffer and has not been taken by a read that has returned.
    /// Two, because the next bytes can arrive before a read's hook.
    pub unread: [Unread; 2],
    /// Reads during even and odd requests.
    pub pickups: [Pickups; 2],
    /// When something used the receive window up, ns: the peer can send no more then. Written by what
    /// arrives, and only once the time before is over.
    pub window_full_ns: u64,
    /// The same of the time that was over last, since somebody read; written by the receive hook.
    pub window_read_ns: u64,
    /// How long it was used up in all until it was last opened again, ns; written by the receive hook.
    pub window_closed_ns: u64,
    /// When a read last returned that left nothing unread, ns; written by the receive hook.
    pub emptied_ns: u64,
    /// Address of the `struct task_struct` of the thread that has sent or read last: another one's, once that has
    /// ended. Written whole, by the hooks of both sends and reads: either may be the last.
    pub user: u64,
    /// Payload bytes read, modulo 2³², as of the last read that has returned; written by the
    /// receive hook alone.
    pub read_bytes: u32,
    /// Thread that sent the first bytes of the request; 0 where that is not known.
    pub request_thread: u32,
    /// Payload bytes handed to the kernel up to the end of the current request, modulo 2³².
    pub request_end: u32,
    /// The peer's TLS records, as they are read.
    pub records: Records,
    /// How it ends; written by the state hook at CLOSE.
    pub ending: Ending,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ending {
    /// An [`crate::exchange::End`].
    pub how: u32,
    /// See [`Closed::errno`].
    pub errno: u32,
    /// What it adds to the [`flags`].
    pub flags: u32,
    /// Keeps the layout free of padding.
    pub reserved: u32,
}

const _: () = assert!(
    size_of::<Connection>()
        == 8 * 26
            + 72
            + 2 * (size_of::<Arrivals>() + size_of::<Unread>() + size_of::<Pickups>())
            + 4
            + size_of::<Records>()
            + size_of::<Ending>()
);

/// The connection reached CLOSE, or never got as far as ESTABLISHED.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Closed {
    /// Begins every event.
    pub header: Header,
    /// See [`Peers`]; the local side is unset where the connect failed.
    pub peers: Peers,
    /// ESTABLISHED, ns; 0 where the connect failed.
    pub established_ns: u64,
    /// When either side first closed its half, ns; 0 where it came to CLOSE without.
    pub half_closed_ns: u64,
    /// CLOSE, ns.
    pub closed_ns: u64,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// A [`Phase`].
    pub phase: u32,
    /// See [`flags`].
    pub flags: u32,
    /// `sk->sk_err`: the positive errno the socket died of, 0 for an orderly end.
    pub errno: u32,
    /// `tcp_sock.total_retrans`: segments sent again since the connect.
    pub retransmits: u32,
}

const _: () = assert!(size_of::<Closed>() == 24 + 72 + 40 + 16);

#[cfg(feature = "user")]
// SAFETY: `Connection` is `repr(C)`, made of integers and byte arrays only (zerocopy's `FromBytes`
// proves that every bit pattern is a value), and `Copy`.
unsafe impl aya::Pod for Connection {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_outrun_by_acknowledgements_of_what_was_not_counted() {
        let progress = Progress { request: 7, sent_bytes: u32::MAX - 1 };
        assert_eq!(Progress::from_word(progress.to_word()), progress);
        let sent = u64::from(u32::MAX - 1);
        assert!(!progress.is_outrun_by(sent + 1), "the SYN");
        assert!(!progress.is_outrun_by(sent + 2), "the SYN and the FIN");
        assert!(progress.is_outrun_by(sent + 1 + 40), "the next request, past 4 GiB");
        assert!(!progress.is_outrun_by(sent - 500), "bytes in flight");
    }
}
