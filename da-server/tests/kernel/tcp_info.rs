//! What the kernel tells a socket's owner of its connection.

use std::mem::zeroed;
use std::net::TcpStream;
use std::os::fd::AsRawFd;

/// `TCP_INFO` of a socket, as of now.
pub fn of(socket: &TcpStream) -> libc::tcp_info {
    // SAFETY: `tcp_info` is made of integers: zeroes are a value.
    let mut info: libc::tcp_info = unsafe { zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the socket is open, and the kernel writes at most `length` bytes into `info`.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    assert_eq!(failed, 0, "TCP_INFO");
    info
}

/// A counter of this thread's network by its name in RFC 1213's `tcp` group: `/proc/net/snmp`.
pub fn counter(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").expect("counters");
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (rows.next().expect("names"), rows.next().expect("values"));
    let mut columns = names.split(' ').zip(values.split(' '));
    let (_, value) = columns.find(|(column, _)| *column == name).expect("a column");
    value.parse().expect("a number")
}
