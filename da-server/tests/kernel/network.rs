//! What the network does to a connection: segments lost and sent again, resets, round trips.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use da_server::kernel::Unlisted;

use crate::calls::line::can_be_lossy;
use crate::lab::{Lab, endpoint};
use crate::tcp_info;

const NAME: &str = "network.kernel.test";

/// `before`: labels whose names come before `kind`, as the exposition sorts them.
fn series(family: &str, before: &str) -> String {
    format!("digital_actors_{family}{{{before}kind=\"llm\",provider=\"network\"}}")
}

fn request() -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n\r\n").into_bytes()
}

/// Does something in a network namespace of its own, whose loopback device is up.
pub fn in_own_network<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    let within = || {
        // SAFETY: the call takes no memory; the namespace it makes is this thread's, and of those it
        // starts.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "a network of its own");
        run("ip link set lo up");
        what()
    };
    std::thread::scope(|scope| scope.spawn(within).join()).expect("the other network")
}

/// Runs a program in this thread's network namespace.
fn run(line: &str) {
    let mut words = line.split(' ');
    let program = words.next().expect("a program");
    let status = Command::new(program).args(words).status();
    assert!(status.is_ok_and(|status| status.success()), "{line}");
}

/// What the kernel tells the socket's owner, `struct tcp_info`: retransmitted segments in all, and the
/// smoothed round-trip time, µs.
fn tcp_info(socket: &TcpStream) -> (u64, u64) {
    let info = tcp_info::of(socket);
    (info.tcpi_total_retrans.into(), info.tcpi_rtt.into())
}

#[test]
fn segments_that_are_sent_again() {
    if !can_be_lossy() {
        return;
    }
    let Some(mut lab) = Lab::open(&[endpoint("network", NAME)], Unlisted::Drop) else { return };
    let lossy = std::thread::spawn(|| {
        // SAFETY: the call takes no memory; the namespace it makes is this thread's, and of those it
        // starts.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "a network of its own");
        // Segments of the usual size, many to a packet: what is lost is many of them.
        run("ip link set lo mtu 1500 up");
        run("nft add table ip loss");
        run("nft add chain ip loss input { type filter hook input priority 0 ; }");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().expect("a client");
            std::io::copy(&mut peer, &mut std::io::sink()).expect("reads");
        });
        let mut socket = TcpStream::connect(at).expect("connects");
        socket.write_all(&request()).expect("writes");
        // From here on one packet in ten to the server is lost.
        run(&format!(
            "nft add rule ip loss input tcp dport {} numgen inc mod 10 0 drop",
            at.port()
        ));
        for _ in 0..100 {
            socket.write_all(&[b'x'; 40_000]).expect("writes");
            std::thread::sleep(Duration::from_millis(1));
        }
        // Until all that is lost has been sent again.
        run("nft flush chain ip loss input");
        socket.shutdown(std::net::Shutdown::Write).expect("half closed");
        assert_eq!(socket.read(&mut [0; 1]).expect("the server closes"), 0);
        let info = tcp_info(&socket);
        drop(socket);
        server.join().expect("the server");
        info
    });
    let (retransmits, _) = lossy.join().expect("the lossy network");
    lab.wait_closed(1);
    assert!(retransmits > 0, "nothing was lost");
    let counted = lab.value(&series("socket_retransmits_total", ""));
    println!("{retransmits} segments sent again, {counted} counted");
    assert_eq!(counted, retransmits as f64);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
}

#[test]
fn round_trips_are_the_kernels_own() {
    let Some(mut lab) = Lab::open(&[endpoint("network", NAME)], Unlisted::Drop) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut socket =
        TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
    let (mut peer, _) = listener.accept().expect("a client");
    socket.write_all(&request()).expect("writes");
    assert_ne!(peer.read(&mut [0; 512]).expect("reads"), 0);
    peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("writes");
    assert_ne!(socket.read(&mut [0; 512]).expect("reads"), 0);
    let (_, rtt_us) = tcp_info(&socket);
    // The next request ends the first exchange; nobody is heard of in between.
    socket.write_all(&request()).expect("writes");
    let count = series("socket_rtt_seconds_count", "");
    let deadline = Instant::now() + Duration::from_secs(60);
    while lab.value(&count) < 1.0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let seen_us = lab.value(&series("socket_rtt_seconds_sum", "")) * 1e6;
    assert_eq!(lab.value(&count), 1.0);
    // TCP_INFO tells whole µs; the second request itself may already be acknowledged.
    assert!(seen_us > 0.0, "no round trip");
    let (_, later_us) = tcp_info(&socket);
    let told = [rtt_us as f64, later_us as f64];
    assert!(told.iter().any(|us| (us - seen_us).abs() <= 1.0), "{seen_us} µs, TCP_INFO {told:?}");
    drop((socket, peer));
    lab.wait_closed(1);
}

#[test]
fn resets_by_either_side() {
    let Some(mut lab) = Lab::open(&[endpoint("network", NAME)], Unlisted::Drop) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let pair = || {
        let mut socket = TcpStream::connect(at).expect("connects");
        let (mut peer, _) = listener.accept().expect("a client");
        socket.write_all(&request()).expect("writes");
        assert_ne!(peer.read(&mut [0; 512]).expect("reads"), 0);
        (socket, peer)
    };
    for _ in 0..3 {
        // The server leaves with something unread: it sends a reset.
        let (mut socket, peer) = pair();
        socket.write_all(b"more").expect("writes");
        while peer.peek(&mut [0; 4]).expect("peeks") == 0 {}
        drop(peer);
        let error = socket.read(&mut [0; 1]).expect_err("reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    for _ in 0..2 {
        // The client does.
        let (socket, mut peer) = pair();
        peer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("writes");
        while socket.peek(&mut [0; 4]).expect("peeks") == 0 {}
        drop(socket);
        let error = peer.read(&mut [0; 1]).expect_err("reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    // Both leave in order.
    let (mut socket, peer) = pair();
    drop(peer);
    assert_eq!(socket.read(&mut [0; 1]).expect("the server closes"), 0);
    drop(socket);
    lab.wait_closed(6);
    let resets = |direction: &str| {
        lab.value(&series("socket_resets_total", &format!("direction=\"{direction}\",")))
    };
    assert_eq!((resets("received"), resets("sent")), (3.0, 2.0));
    let open = lab.value(&series("socket_open_connections", ""));
    let lifetimes = lab.value(&series("socket_lifetime_seconds_count", ""));
    let reuse = lab.value(&series("socket_exchanges_per_connection_sum", ""));
    assert_eq!((open, lifetimes, reuse), (0.0, 6.0, 6.0));
}
