//! The two ends of a connection.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Who is connected to whom, fixed once the connection is established.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Peers {
    /// Local address in network order; an IPv4 address fills the first four bytes.
    pub local_address: [u8; 16],
    /// Remote address in network order; an IPv4 address fills the first four bytes.
    pub remote_address: [u8; 16],
    /// Local port, host order.
    pub local_port: u16,
    /// Remote port, host order.
    pub remote_port: u16,
    /// `AF_INET` or `AF_INET6`; the addresses of an `AF_INET6` socket may be v4-mapped.
    pub family: u16,
    /// Keeps the layout free of padding.
    pub reserved: u16,
    /// Process that called connect (thread group id in the initial PID namespace).
    pub pid: u32,
    /// Its thread that did, in the initial PID namespace too.
    pub thread: u32,
    /// That process's name, zero-padded: the one of its first thread, whichever one connected.
    pub command: [u8; 16],
    /// Inode number of the socket's network namespace: the same address is another host in another one.
    /// 0 where the kernel knows of none.
    pub network: u32,
    /// Keeps the layout free of padding.
    pub reserved_too: u32,
}

const _: () = assert!(size_of::<Peers>() == 72);
