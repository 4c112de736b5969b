//! Reads fields of a `struct sock`.

use core::ffi::c_void;

use aya_ebpf::{Global, helpers::bpf_skc_to_tcp_sock};
use da_ebpf_common::peers::Peers;

use crate::layout;

/// include/linux/socket.h.
const AF_INET: u16 = 2;
pub const AF_INET6: u16 = 10;
/// `IPPROTO_TCP`; the tracepoints also speak of SCTP and DCCP.
const IPPROTO_TCP: u16 = 6;
/// `IPPROTO_UDP`.
const IPPROTO_UDP: u16 = 17;

/// `SOCK_DONE`, include/net/sock.h: number of the bit of `skc_flags` that the peer's FIN sets.
const SOCK_DONE: u64 = 1;

/// TCP_CLOSE, as a set of bits: include/net/tcp_states.h.
const CLOSED: u32 = 1 << 7;

/// States in which this side's FIN has been queued (FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING).
const THIS_SIDE_IS_DONE: u32 = 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11;

/// States of a connection with two ends: ESTABLISHED, CLOSE_WAIT and those above.
const TWO_ENDED: u32 = 1 << 1 | 1 << 8 | THIS_SIDE_IS_DONE;

/// These, and SYN_SENT.
const UNDER_WAY: u32 = 1 << 2 | TWO_ENDED;

/// Times that counters which belong together are read, until they hold still.
const MAX_READS: u32 = 4;

/// A socket that a tracepoint handed to the program.
///
/// Each of the two ways to know one is a type of its own: were it a pointer that may be null, the verifier
/// would follow whatever is behind a read twice.
pub trait Sock: Copy {
    /// Key of the `CONNECTIONS` map: its address.
    fn key(self) -> u64;

    /// A number that is a field of its own.
    fn load<T: Default + Copy>(self, offset: &Global<u32>) -> T;

    /// Inode number of its network namespace; 0 where the kernel knows of none.
    fn network(self) -> u32;

    /// Whether it speaks TCP.
    fn is_tcp(self) -> bool {
        self.load::<u16>(&layout::SK_PROTOCOL) == IPPROTO_TCP
    }

    /// Whether it speaks UDP.
    fn is_udp(self) -> bool {
        self.load::<u16>(&layout::SK_PROTOCOL) == IPPROTO_UDP
    }

    /// Whether it is a TCP connection that was begun by this side and has not ended.
    ///
    /// An accepted socket is a copy of its listener (`sk_clone` in net/core/sock.c), backlog
    /// included; a socket that never listened has none. Where a listener's backlog is 0 its copies
    /// pass as well: da-server finds that their address is nobody's.
    fn is_connecting_side(self) -> bool {
        let family: u16 = self.load(&layout::SKC_FAMILY);
        let backlog: u32 = self.load(&layout::SK_MAX_ACK_BACKLOG);
        (family == AF_INET || family == AF_INET6)
            && self.is_tcp()
            && self.is_in(UNDER_WAY)
            && backlog == 0
    }

    fn acknowledged(self) -> (u64, u32) {
        (self.bytes_acked(), self.load(&layout::TCP_SND_UNA))
    }

    fn is_in(self, states: u32) -> bool {
        states >> self.load::<u8>(&layout::SKC_STATE) & 1 != 0
    }

    /// Whether it is a connection with two ends.
    fn is_established(self) -> bool {
        self.is_in(TWO_ENDED)
    }

    /// Whether its state is CLOSE.
    fn is_closed(self) -> bool {
        self.is_in(CLOSED)
    }

    /// `sk_err`, a positive errno.
    fn error(self) -> u32 {
        self.load(&layout::SK_ERR)
    }

    /// Whether the process has closed it, or a half of it.
    fn is_shut_down(self) -> bool {
        self.load::<u8>(&layout::SK_SHUTDOWN) != 0
    }

    /// `tcp_sock.segs_out`: segments handed to the network since the connect.
    fn segments_sent(self) -> u32 {
        self.load(&layout::TCP_SEGS_OUT)
    }

    /// Payload bytes that arrived in order since the connect. The kernel counts the peer's FIN as
    /// one of them.
    fn payload_bytes_received(self) -> u64 {
        let bytes: u64 = self.load(&layout::TCP_BYTES_RECEIVED);
        bytes.saturating_sub(self.peer_is_done().into())
    }

    /// Whether the peer's FIN has come.
    fn peer_is_done(self) -> bool {
        let flags: u64 = self.load(&layout::SKC_FLAGS);
        flags >> SOCK_DONE & 1 != 0
    }

    /// Payload bytes handed to the kernel since the connect: those acknowledged and those on their
    /// way. The kernel counts the SYN as one of them, and the FIN once it is queued.
    fn payload_bytes_sent(self) -> u64 {
        let mut acked = self.acknowledged();
        let mut write_seq = 0;
        // Acknowledgements may come meanwhile; what is read has to be of one moment.
        for _ in 0..MAX_READS {
            write_seq = self.load(&layout::TCP_WRITE_SEQ);
            let again = self.acknowledged();
            if again == acked {
                break;
            }
            acked = again;
        }
        let (bytes_acked, snd_una) = acked;
        let bytes = bytes_acked + u64::from(u32::wrapping_sub(write_seq, snd_una));
        bytes.saturating_sub(1 + u64::from(self.is_in(THIS_SIDE_IS_DONE)))
    }

    /// Bytes the peer has acknowledged; the SYN counts as one.
    fn bytes_acked(self) -> u64 {
        self.load(&layout::TCP_BYTES_ACKED)
    }

    /// `tcp_sock.copied_seq`: sequence number of the first byte that no process has read.
    fn copied_sequence(self) -> u32 {
        self.load(&layout::TCP_COPIED_SEQ)
    }

    /// `tcp_sock.copied_seq` as it was when nothing had been read yet.
    fn first_sequence(self) -> u32 {
        let mut received: u64 = self.load(&layout::TCP_BYTES_RECEIVED);
        let mut next: u32 = 0;
        // As above.
        for _ in 0..MAX_READS {
            next = self.load(&layout::TCP_RCV_NXT);
            let again = self.load(&layout::TCP_BYTES_RECEIVED);
            if again == received {
                break;
            }
            received = again;
        }
        next.wrapping_sub(received as u32)
    }

    /// `tcp_sock.srtt_us`: smoothed round-trip time, in eighths of a µs.
    fn srtt_eighths_us(self) -> u32 {
        self.load(&layout::TCP_SRTT_US)
    }

    /// `tcp_sock.rtt_min.s[0].v`: the least round-trip time of the last minutes, µs; all ones where there is none.
    fn least_rtt_us(self) -> u32 {
        self.load(&layout::TCP_RTT_MIN)
    }

    /// `tcp_sock.total_retrans`: segments sent again since the connect.
    fn retransmits(self) -> u32 {
        self.load(&layout::TCP_TOTAL_RETRANS)
    }

    /// `tcp_sock.rcv_ooopack`: segments that came out of order since the connect.
    fn out_of_order(self) -> u32 {
        self.load(&layout::TCP_RCV_OOOPACK)
    }

    /// `tcp_sock.rcv_nxt`: the sequence number that is expected next.
    fn next_sequence(self) -> u32 {
        self.load(&layout::TCP_RCV_NXT)
    }

    /// The sequence number behind the receive window: the peer may send up to there.
    fn window_end(self) -> u32 {
        let from: u32 = self.load(&layout::TCP_RCV_WUP);
        from.wrapping_add(self.load(&layout::TCP_RCV_WND))
    }

    /// `tcp_sock.snd_una`: the first sequence number that is not acknowledged.
    fn unacked_sequence(self) -> u32 {
        self.load(&layout::TCP_SND_UNA)
    }

    /// Local and remote port; the local one is 0 until the connect has begun.
    fn ports(self) -> (u16, u16) {
        (self.load(&layout::SKC_NUM), u16::from_be(self.load(&layout::SKC_DPORT)))
    }

    /// Fills the addresses and ports in; the local ones are unset until the connect has begun.
    ///
    /// # Safety
    /// `peers` is part of a record from `table::find`.
    unsafe fn read_peers(self, peers: *mut Peers) {
        let family = self.load(&layout::SKC_FAMILY);
        // SAFETY: the caller's promise.
        unsafe {
            (*peers).family = family;
            (*peers).network = self.network();
            ((*peers).local_port, (*peers).remote_port) = self.ports();
            let (local, remote) =
                (&raw mut (*peers).local_address, &raw mut (*peers).remote_address);
            if family == AF_INET6 {
                local.write(layout::read(self.key(), &layout::SKC_V6_RCV_SADDR));
                remote.write(layout::read(self.key(), &layout::SKC_V6_DADDR));
            } else {
                // It may be written over another connection's, of the other family.
                local.write([0; 16]);
                remote.write([0; 16]);
                local.cast::<u32>().write(self.load(&layout::SKC_RCV_SADDR));
                remote.cast::<u32>().write(self.load(&layout::SKC_DADDR));
            }
        }
    }
}

/// One that is known by its address: its fields are read by a helper, at 40 ns each.
#[derive(Clone, Copy)]
pub struct RawSock(u64);

impl RawSock {
    /// From a tracepoint's `struct sock *` argument.
    pub fn from_argument(pointer: u64) -> Self {
        Self(pointer)
    }

    /// The protocol's side of a `struct socket *`, which is the file's side.
    pub fn of_socket(pointer: u64) -> Self {
        Self(layout::read(pointer, &layout::SOCKET_SK))
    }
}

impl Sock for RawSock {
    #[inline(always)]
    fn key(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn load<T: Default + Copy>(self, offset: &Global<u32>) -> T {
        layout::read(self.0, offset)
    }

    fn network(self) -> u32 {
        if layout::SKC_NET.load() == 0 {
            return 0;
        }
        layout::read(self.load(&layout::SKC_NET), &layout::NET_INUM)
    }
}

/// One that the verifier knows as a `struct tcp_sock`, or as a `struct sock`: its fields are read by plain loads, at
/// next to nothing.
#[derive(Clone, Copy)]
pub struct TypedSock(*const u8);

impl TypedSock {
    /// From a pointer that the verifier knows as one to a `struct sock`, an argument of a BTF tracepoint. The verifier
    /// refuses to have fields of TCP's read.
    #[inline(always)]
    pub fn of_any(pointer: *mut c_void) -> Self {
        Self(pointer.cast_const().cast())
    }

    /// The same, with the fields of TCP's; nothing where the socket does not speak TCP.
    #[inline(always)]
    pub fn of_tcp(pointer: *mut c_void) -> Option<Self> {
        // SAFETY: the verifier lets only such a pointer pass; the helper returns it or null.
        let sock = unsafe { bpf_skc_to_tcp_sock(pointer) };
        (!sock.is_null()).then_some(Self(sock.cast_const().cast()))
    }
}

impl Sock for TypedSock {
    #[inline(always)]
    fn key(self) -> u64 {
        self.0 as u64
    }

    #[inline(always)]
    fn load<T: Default + Copy>(self, offset: &Global<u32>) -> T {
        // SAFETY: the verifier holds the load against the kernel's own type: a field of that size is
        // there. Volatile, because the kernel writes it meanwhile.
        unsafe { self.0.add(offset.load() as usize).cast::<T>().read_volatile() }
    }

    fn network(self) -> u32 {
        if layout::SKC_NET.load() == 0 {
            return 0;
        }
        // SAFETY: as in `load`; what the first one loads is a pointer that the verifier knows as one to a
        // `struct net`, which outlives its sockets.
        unsafe {
            let net = self.0.add(layout::SKC_NET.load() as usize).cast::<*const u8>();
            net.read_volatile().add(layout::NET_INUM.load() as usize).cast::<u32>().read_volatile()
        }
    }
}
