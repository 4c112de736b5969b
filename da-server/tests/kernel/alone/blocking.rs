//! System calls that block: they last as long as they block, and nothing is kept of them afterwards.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use da_server::kernel::Unlisted;
use rustix::event::epoll;

use super::judged::judge;
use crate::lab::{Lab, endpoint};
use crate::syscalls::{Client, DELAY, NAME, calls, request, serve, wait_for};
use crate::turns::{alone, undisturbed};
use crate::waits::{EXCHANGES, READABLE, epoll_of, wait};

#[test]
fn blocking_calls_are_counted_one_by_one_and_last_as_long_as_they_block() {
    let _alone = undisturbed();
    judge("receives", || {
        let Some(lab) = Lab::open(&[endpoint("syscalls", NAME)], Unlisted::Drop) else {
            return true; // it has said that it was skipped
        };
        calls_last_as_long_as_they_block(&lab)
    });
}

fn calls_last_as_long_as_they_block(lab: &Lab) -> bool {
    let at = serve(request(NAME).len(), DELAY);
    let (mut sends, mut reads, mut reading) = (0, 0, Duration::ZERO);
    // Of the first two connections all calls are over before it is known whose they are; the third
    // goes on when it is known.
    for exchanges in [1, 1, 20] {
        let mut client = Client::connect(at, NAME);
        for _ in 0..exchanges {
            client.send();
            client.receive();
        }
        sends += exchanges;
        reads += client.reads;
        reading += client.reading;
    }
    let (count, seconds) = wait_for(lab, "recvfrom", reads);
    assert_eq!(count, f64::from(reads), "receives");
    let measured = reading.as_secs_f64();
    println!("{reads} receives: {seconds:.6} s, by the client's clock {measured:.6} s");
    assert!(seconds <= measured, "{seconds} s of receives, {measured} s by the client's clock");
    assert_eq!(calls(lab, "sendto").0, f64::from(sends), "sends");
    assert_eq!(calls(lab, "connect").0, 3.0, "connects");
    let text = lab.metrics();
    let names =
        text.lines().filter(|line| line.starts_with("digital_actors_syscall_seconds_count"));
    assert_eq!(names.count(), 3, "no other call has been made\n{text}");
    let slow = "digital_actors_syscall_seconds_bucket{kind=\"llm\",provider=\"syscalls\",syscall=\"recvfrom\",le=\"0.025\"}";
    let short = lab.value(slow);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());

    // Other processes of this host may connect meanwhile, but not all the time.
    for map in ["early_calls", "processes"] {
        let entries = || lab.value(&format!("digital_actors_ebpf_map_entries{{map=\"{map}\"}}"));
        let deadline = Instant::now() + Duration::from_secs(10);
        while entries() > 0.0 {
            assert!(Instant::now() < deadline, "{map}: {} are left", entries());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    // The client's clock also sees what is around a call, and it may lose the CPU there; or before
    // one, and waits less than the server's delay.
    let blocked = f64::from(sends) * DELAY.as_secs_f64();
    println!("{short} receives below 25 ms, {blocked:.3} s of delays");
    seconds > 0.9 * measured && seconds > 0.8 * blocked && short < f64::from(reads) / 4.0
}

#[test]
fn a_wait_counts_for_the_connection_that_is_read_next() {
    let _alone = undisturbed();
    judge("waits", || {
        let Some(lab) = Lab::open(&[endpoint("syscalls", NAME)], Unlisted::Drop) else {
            return true; // it has said that it was skipped
        };
        waits_last_as_long_as_they_block(&lab)
    });
}

fn waits_last_as_long_as_they_block(lab: &Lab) -> bool {
    let mut client = Client::connect(serve(request(NAME).len(), DELAY), NAME);
    client.socket.set_nonblocking(true).expect("non-blocking");
    let waits = epoll_of(&client.socket);
    let mut waiting = Duration::ZERO;
    for _ in 0..EXCHANGES {
        client.send();
        // The first one ends without anything to read, and is followed by another wait.
        for most in [DELAY / 10, Duration::from_secs(5)] {
            let began = Instant::now();
            if wait(&waits, most) {
                waiting += began.elapsed();
            }
        }
        client.receive();
    }
    let (count, seconds) = wait_for(lab, "epoll_pwait", EXCHANGES);
    let (reads, reading) = calls(lab, "recvfrom");
    let measured = waiting.as_secs_f64();
    println!(
        "{EXCHANGES} waits: {seconds:.6} s, by the client's clock {measured:.6} s, \
         {reads} reads: {reading:.6} s"
    );
    assert_eq!(count, f64::from(EXCHANGES), "one wait for each read");
    assert_eq!(reads, f64::from(client.reads), "reads");
    assert!(seconds <= measured, "{seconds} s of waits, {measured} s by the client's clock");
    // The client's clock also sees what is around a call, and it may lose the CPU there.
    seconds > 0.9 * measured && reading < 0.1 * seconds
}

#[test]
fn a_wait_before_a_time_in_which_nobody_looked_counts_nowhere() {
    let _alone = alone();
    let Some(lab) = Lab::open(&[endpoint("syscalls", NAME)], Unlisted::Drop) else { return };
    let at = serve(request(NAME).len(), Duration::ZERO);
    let (mut other, mut signal) = std::io::pipe().expect("a pipe");
    signal.write_all(b"x").expect("writes");
    let signals = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
    epoll::add(&signals, &other, epoll::EventData::new_u64(0), READABLE).expect("added");
    let (forgotten, hears_forgotten) = channel();
    let (has_read, hears_read) = channel();
    let (hand_over, handed) = channel::<Client>();
    let thread = std::thread::spawn(move || {
        let mut first = Client::connect(at, NAME);
        first.send();
        first.receive();
        // The last call of this thread that is timed: without a connection the process soon is of no
        // interest.
        assert!(wait(&signals, Duration::from_secs(5)), "a signal");
        let reads = first.reads;
        drop(first);
        hears_forgotten.recv().expect("forgotten");
        other.read_exact(&mut [0]).expect("a signal");
        has_read.send(()).expect("somebody listens");
        // Another thread connects and sends; the next call that is timed here is the read.
        let mut client = handed.recv().expect("a connection");
        client.receive();
        reads + client.reads
    });
    for timed in [true, false] {
        let entries = || lab.value("digital_actors_ebpf_map_entries{map=\"processes\"}");
        let deadline = Instant::now() + Duration::from_secs(20);
        while (entries() > 0.0) != timed {
            assert!(Instant::now() < deadline, "{} processes are timed", entries());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    forgotten.send(()).expect("somebody listens");
    hears_read.recv().expect("read"); // or else the signal's read is the next call
    let mut client = Client::connect(at, NAME);
    client.send();
    hand_over.send(client).expect("somebody listens");
    let reads = thread.join().expect("reads");
    assert_eq!(wait_for(&lab, "recvfrom", reads).0, f64::from(reads), "reads");
    assert_eq!(calls(&lab, "epoll_pwait").0, 0.0, "waits");
}
