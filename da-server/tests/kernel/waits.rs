//! Waits for sockets: for which connection they count, and how long they last.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use da_server::kernel::Unlisted;
use rustix::event::{Timespec, epoll};

use crate::lab::{Lab, endpoint};
use crate::syscalls::{Client, DELAY, NAME, RESPONSE, calls, request, serve, wait_for};

pub const READABLE: epoll::EventFlags = epoll::EventFlags::IN;
pub const EXCHANGES: u32 = 10;

/// An epoll that says when `socket` can be read.
pub fn epoll_of(socket: &TcpStream) -> OwnedFd {
    let waits = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    epoll::add(&waits, socket, epoll::EventData::new_u64(0), READABLE).expect("added");
    waits
}

/// One wait; whether it ended with something to read.
pub fn wait(waits: &OwnedFd, most: Duration) -> bool {
    let timeout = Timespec::try_from(most).expect("short");
    let mut events = [epoll::Event { flags: READABLE, data: epoll::EventData::new_u64(0) }];
    epoll::wait(waits, &mut events, Some(&timeout)).expect("waits") > 0
}

#[test]
fn a_wait_for_something_else_counts_nowhere() {
    let Some(lab) = Lab::open(&[endpoint("syscalls", NAME)], Unlisted::Drop) else { return };
    let mut client = Client::connect(serve(request(NAME).len(), Duration::ZERO), NAME);
    client.send();
    client.receive();
    wait_for(&lab, "recvfrom", client.reads);

    // A player, whose connection was accepted; what it says makes this thread call the endpoint.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut player =
        TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
    let (mut accepted, _) = listener.accept().expect("a player");
    let waits = epoll_of(&accepted);
    for _ in 0..EXCHANGES {
        player.write_all(b"x").expect("writes");
        assert!(wait(&waits, Duration::from_secs(5)), "the player has written");
        accepted.read_exact(&mut [0]).expect("reads");
        client.send();
        client.receive();
    }
    let waits_of_endpoint = || calls(&lab, "epoll_pwait").0;
    assert_eq!(wait_for(&lab, "sendto", EXCHANGES + 1).0, f64::from(EXCHANGES + 1), "sends");
    assert_eq!(waits_of_endpoint(), 0.0, "waits for the player");

    // Nor is it the endpoint's where nothing is read between it and the send.
    player.write_all(b"x").expect("writes");
    assert!(wait(&waits, Duration::from_secs(5)), "the player has written");
    client.send();
    client.receive();
    wait_for(&lab, "sendto", EXCHANGES + 2);
    assert_eq!(waits_of_endpoint(), 0.0, "waits before a send");

    // What arrives while a caller is waited for is not what was waited for.
    let callers = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    epoll::add(&callers, &listener, epoll::EventData::new_u64(0), READABLE).expect("added");
    let _caller = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
    client.send();
    assert!(wait(&callers, Duration::from_secs(5)), "a caller");
    listener.accept().expect("a caller");
    client.receive();
    wait_for(&lab, "sendto", EXCHANGES + 3);
    assert_eq!(waits_of_endpoint(), 0.0, "waits for a caller");
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
}

#[test]
fn only_a_wait_that_found_something_counts_and_only_for_a_read_that_does() {
    let Some(lab) = Lab::open(&[endpoint("syscalls", NAME)], Unlisted::Drop) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = Client::connect(listener.local_addr().expect("an address"), NAME);
    let (mut server, _) = listener.accept().expect("a client");
    server.set_nodelay(true).expect("no delay");
    let mut answer = || {
        server.read_exact(&mut request(NAME)).expect("reads");
        server.write_all(RESPONSE).expect("writes");
    };
    let waits_of_endpoint = || calls(&lab, "epoll_pwait").0;

    // A wait that times out, and then a read.
    let waits = epoll_of(&client.socket);
    client.send();
    assert!(!wait(&waits, DELAY / 10), "nothing has arrived yet");
    answer();
    client.receive();
    wait_for(&lab, "recvfrom", client.reads);
    assert_eq!(waits_of_endpoint(), 0.0, "waits that timed out");

    // Something else is there, and then a read that finds nothing.
    let (mut signal, other) = std::io::pipe().map(|(read, write)| (write, read)).expect("a pipe");
    signal.write_all(b"x").expect("writes");
    let signals = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    epoll::add(&signals, &other, epoll::EventData::new_u64(0), READABLE).expect("added");
    client.socket.set_nonblocking(true).expect("non-blocking");
    assert!(wait(&signals, Duration::from_secs(5)), "a signal");
    client.socket.read(&mut [0]).expect_err("nothing has arrived");
    client.send();
    answer();
    assert!(wait(&waits, Duration::from_secs(5)), "the response");
    client.receive();
    // With older hooks a read that finds nothing is not seen.
    wait_for(&lab, "recvfrom", client.reads);
    let (count, seconds) = calls(&lab, "epoll_pwait");
    assert_eq!(count, 1.0, "the wait that found the response, and no other");
    assert!(seconds > 0.0);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
}
