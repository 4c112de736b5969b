//! A segment that is about to be taken in: `struct sk_buff` with its `struct tcp_skb_cb`.

use crate::{layout, sock::Sock};

/// `TCPHDR_FIN`, include/net/tcp.h.
const FIN: u8 = 1;

/// How its connection stands once it is taken in.
pub struct Segment {
    /// Payload bytes received in order since the connect.
    pub received_bytes: u64,
    /// Bytes the peer has acknowledged; the SYN counts as one.
    pub acked_bytes: u64,
}

impl Segment {
    /// The segment that the kernel hands to an established socket, or nothing where it brings no
    /// payload that is next in order. What an earlier one brought out of order counts with the next
    /// arrival.
    #[inline(always)]
    pub fn next_of(sock: impl Sock, buffer: u64) -> Option<Self> {
        let control = buffer + u64::from(layout::SKB_CONTROL.load());
        let fin = layout::read::<u8>(control, &layout::SEGMENT_FLAGS) & FIN;
        let from: u32 = layout::read(control, &layout::SEGMENT_SEQUENCE);
        let to: u32 = layout::read(control, &layout::SEGMENT_END_SEQUENCE);
        let next = sock.next_sequence();
        let behind = from.wrapping_sub(next).cast_signed();
        let bytes = to.wrapping_sub(u32::from(fin)).wrapping_sub(next).cast_signed();
        if behind > 0 || bytes <= 0 {
            return None;
        }
        let acked: u32 = layout::read(control, &layout::SEGMENT_ACKED_SEQUENCE);
        let newly_acked = acked.wrapping_sub(sock.unacked_sequence()).cast_signed();
        let newly_acked = if newly_acked > 0 { newly_acked } else { 0 };
        Some(Self {
            received_bytes: sock.payload_bytes_received() + bytes as u64,
            acked_bytes: sock.bytes_acked() + newly_acked as u64,
        })
    }
}
