//! What can happen in the middle of a system call: its descriptor changes, a signal comes, the
//! connection breaks.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use da_server::kernel::{Hooks, Unlisted};
use rustix::event::epoll;
use rustix::net::sockopt::set_socket_linger;

use crate::lab::{Lab, endpoint, hooks};
use crate::syscalls::{Client, NAME, calls, request, serve, wait_for};

/// How long the server keeps a client waiting: long enough for something to happen meanwhile.
const DELAY: Duration = Duration::from_millis(400);

#[test]
fn a_descriptor_that_changes_its_meaning_within_a_call_changes_nothing() {
    let Some(lab) = Lab::open(&[endpoint("syscalls", NAME)], Unlisted::Drop) else { return };
    let other = "other.syscalls.kernel.test";
    let unlisted = Client::connect(serve(request(other).len(), Duration::ZERO), other);
    let mut client = Client::connect(serve(request(NAME).len(), DELAY), NAME);
    client.send();
    let mut descriptor = OwnedFd::from(client.socket);
    let number = descriptor.as_raw_fd();
    let reading = std::thread::spawn(move || {
        // SAFETY: the number stays open until the thread has been joined, whatever it leads to.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::read(descriptor, &mut [0; 1024]).expect("reads")
    });
    std::thread::sleep(DELAY / 2);
    rustix::io::dup2(&unlisted.socket, &mut descriptor).expect("duplicated");
    assert!(reading.join().expect("ends") > 0, "the response");
    rustix::io::write(&descriptor, &request(other)).expect("writes");
    rustix::io::read(&descriptor, &mut [0; 1024]).expect("reads");
    let (count, seconds) = wait_for(&lab, "read", 1);
    assert_eq!(count, 1.0, "the read that began before");
    assert!(seconds > 0.5 * DELAY.as_secs_f64(), "{seconds} s");
    assert_eq!(calls(&lab, "write").0, 0.0, "writes on what the descriptor leads to now");
}

extern "C" fn nothing(_signal: libc::c_int) {}

/// Has SIGUSR1 do nothing but interrupt, after which the kernel begins most calls again.
fn handle_signal() {
    // SAFETY: all zeroes are a value of the type: no handler, no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the pointer is to a value of the type, alive for the call; the handler does nothing,
    // which it may at any time.
    let failed = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
}

fn interrupt<T>(thread: &JoinHandle<T>) {
    // SAFETY: the thread has not been joined, so its handle is valid.
    let failed = unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGUSR1) };
    assert_eq!(failed, 0);
}

#[test]
fn a_call_that_a_signal_interrupts_counts_each_time_and_a_wait_does_not() {
    let Some(lab) = Lab::open(&[endpoint("syscalls", NAME)], Unlisted::Drop) else { return };
    handle_signal();
    let at = serve(request(NAME).len(), DELAY);
    let mut client = Client::connect(at, NAME);
    client.send();
    let reading = std::thread::spawn(move || {
        client.receive();
        client
    });
    std::thread::sleep(DELAY / 2);
    interrupt(&reading);
    let mut client = reading.join().expect("reads");
    let measured = client.reading.as_secs_f64();
    let (count, seconds) = wait_for(&lab, "recvfrom", client.reads + 1);
    // The older hooks do not see reads that find nothing.
    let parts = client.reads + u32::from(hooks() == Hooks::Newest);
    assert_eq!(count, f64::from(parts), "reads by the client's count: {}", client.reads);
    assert!(seconds <= measured, "{seconds} s, {measured} s by the client's clock");

    client.send();
    let waiting = std::thread::spawn(move || {
        let waits = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
        let readable = epoll::EventFlags::IN;
        epoll::add(&waits, &client.socket, epoll::EventData::new_u64(0), readable).expect("added");
        let mut events = [epoll::Event { flags: readable, data: epoll::EventData::new_u64(0) }];
        let interrupted = epoll::wait(&waits, &mut events, None);
        client.receive();
        (interrupted, client.reads)
    });
    std::thread::sleep(DELAY / 2);
    interrupt(&waiting);
    let (interrupted, reads) = waiting.join().expect("waits");
    assert_eq!(interrupted, Err(rustix::io::Errno::INTR));
    let parts = f64::from(parts + reads - 1);
    assert_eq!(wait_for(&lab, "recvfrom", parts as u32).0, parts, "reads");
    assert_eq!(calls(&lab, "epoll_pwait").0, 0.0, "waits that were interrupted");
}

#[test]
fn the_call_in_which_a_connection_breaks_is_not_counted() {
    let Some(lab) = Lab::open(&[endpoint("syscalls", NAME)], Unlisted::Drop) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let mut client = Client::connect(at, NAME);
    let (mut accepted, _) = listener.accept().expect("a client");
    client.send();
    accepted.read_exact(&mut vec![0; request(NAME).len()]).expect("the request");
    accepted.write_all(b"x").expect("writes");
    client.socket.read_exact(&mut [0]).expect("reads");
    assert_eq!(wait_for(&lab, "recvfrom", 1).0, 1.0, "the read before");
    let reading = std::thread::spawn(move || client.socket.read(&mut [0]));
    std::thread::sleep(DELAY / 2);
    set_socket_linger(&accepted, Some(Duration::ZERO)).expect("set");
    drop(accepted);
    let broken = reading.join().expect("ends").expect_err("a reset");
    assert_eq!(broken.kind(), ErrorKind::ConnectionReset);
    let resets = "digital_actors_socket_resets_total{direction=\"received\",kind=\"llm\",provider=\"syscalls\"}";
    let deadline = Instant::now() + Duration::from_secs(60);
    while lab.value(resets) == 0.0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(lab.value(resets), 1.0, "resets");
    assert_eq!(calls(&lab, "recvfrom").0, 1.0, "the read before, and no other");
}
