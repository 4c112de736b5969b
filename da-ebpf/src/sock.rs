//! Reads fields of a `struct sock`.

use aya_ebpf::Global;
use da_ebpf_common::connection::Peers;

use crate::layout;

/// `AF_INET6`, include/linux/socket.h.
const AF_INET6: u16 = 10;

/// States in which the peer's FIN has been received (TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING), as a
/// set of bits: include/net/tcp_states.h.
const PEER_IS_DONE: u32 = 1 << 6 | 1 << 8 | 1 << 9 | 1 << 11;

/// A socket that a tracepoint handed to the program.
#[derive(Clone, Copy)]
pub struct Sock(u64);

impl Sock {
    /// From a tracepoint's `struct sock *` argument.
    pub fn from_argument(pointer: u64) -> Self {
        Self(pointer)
    }

    /// Key of the `CONNECTIONS` map.
    pub fn key(self) -> u64 {
        self.0
    }

    /// `sk_protocol`.
    pub fn protocol(self) -> u16 {
        self.read(&layout::SK_PROTOCOL)
    }

    /// `sk_err`, a positive errno.
    pub fn error(self) -> u32 {
        self.read(&layout::SK_ERR)
    }

    /// Payload bytes that arrived in order since the connect. The kernel counts the peer's FIN as
    /// one of them; the state tells that it has come.
    pub fn payload_bytes_received(self) -> u64 {
        let state: u8 = self.read(&layout::SKC_STATE);
        let bytes: u64 = self.read(&layout::TCP_BYTES_RECEIVED);
        bytes.saturating_sub(u64::from(PEER_IS_DONE >> state & 1))
    }

    /// Bytes the peer has acknowledged; the SYN counts as one.
    pub fn bytes_acked(self) -> u64 {
        self.read(&layout::TCP_BYTES_ACKED)
    }

    /// `tcp_sock.copied_seq`: sequence number of the first byte that no process has read.
    pub fn copied_sequence(self) -> u32 {
        self.read(&layout::TCP_COPIED_SEQ)
    }

    /// `tcp_sock.srtt_us`: smoothed round-trip time, in eighths of a µs.
    pub fn srtt_eighths_us(self) -> u32 {
        self.read(&layout::TCP_SRTT_US)
    }

    /// `tcp_sock.total_retrans`: segments sent again since the connect.
    pub fn retransmits(self) -> u32 {
        self.read(&layout::TCP_TOTAL_RETRANS)
    }

    /// Fills the addresses and ports in; the local ones are unset until the connect has begun.
    ///
    /// # Safety
    /// `peers` is part of a record from `connection::find`.
    pub unsafe fn read_peers(self, peers: *mut Peers) {
        let family = self.read(&layout::SKC_FAMILY);
        // SAFETY: the caller's promise.
        unsafe {
            (*peers).family = family;
            (*peers).local_port = self.read(&layout::SKC_NUM);
            (*peers).remote_port = u16::from_be(self.read(&layout::SKC_DPORT));
            if family == AF_INET6 {
                (*peers).local_address = self.read(&layout::SKC_V6_RCV_SADDR);
                (*peers).remote_address = self.read(&layout::SKC_V6_DADDR);
            } else {
                let local: [u8; 4] = self.read(&layout::SKC_RCV_SADDR);
                let remote: [u8; 4] = self.read(&layout::SKC_DADDR);
                let (to_local, to_remote) =
                    (&raw mut (*peers).local_address, &raw mut (*peers).remote_address);
                to_local.cast::<[u8; 4]>().write(local);
                to_remote.cast::<[u8; 4]>().write(remote);
            }
        }
    }

    fn read<T: Default>(self, offset: &Global<u32>) -> T {
        layout::read(self.0, offset)
    }
}
