//! The bounds of the syscall tier: connections that keep silent, and more of them than may be timed.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use da_ebpf_common::syscall::MAX_EARLY;
use da_server::kernel::{KernelConfig, Unlisted};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::lab::{Lab, config, endpoint};
use crate::syscalls::{Client, NAME, calls, request, serve, wait_for};
use crate::turns::alone;

/// What was lost for a reason.
fn lost(lab: &Lab, reason: &str) -> f64 {
    lab.value(&format!("digital_actors_ebpf_lost_total{{reason=\"{reason}\"}}"))
}

/// As many descriptors as the limit may be raised to.
fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("raised");
}

#[test]
fn connections_that_keep_silent_leave_room_for_others() {
    let _alone = alone();
    let Some(lab) = Lab::open(&[endpoint("syscalls", NAME)], Unlisted::Drop) else { return };
    raise_descriptor_limit();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    rustix::net::listen(&listener, 4096).expect("room for those that nobody accepts");
    let to = listener.local_addr().expect("an address");
    let connect = |_| TcpStream::connect(to).expect("connects");
    let silent: Vec<_> = (0..MAX_EARLY).map(connect).collect();

    let left = || lab.value("digital_actors_ebpf_map_entries{map=\"early_calls\"}");
    let deadline = Instant::now() + Duration::from_secs(20);
    while (lost(&lab, "early_calls_evicted") == 0.0 || left() > f64::from(MAX_EARLY / 2))
        && Instant::now() < deadline
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(200)); // they are counted one by one
    let (evicted, refused) = (lost(&lab, "early_calls_evicted"), lost(&lab, "early_calls_full"));
    let young = left();
    println!("{MAX_EARLY} silent connections: {evicted} evicted, {refused} refused, {young} left");
    let mut client = Client::connect(serve(request(NAME).len(), Duration::ZERO), NAME);
    client.send();
    client.receive();
    assert_eq!(wait_for(&lab, "connect", 1).0, 1.0, "the connect before the verdict");
    assert!(evicted + refused + young >= f64::from(MAX_EARLY), "some are gone and nobody says so");
    assert!(young <= f64::from(MAX_EARLY / 2), "too many are left");
    drop(silent);
}

/// A connection that closes makes room some milliseconds later than one that comes may take its place
/// in the record of all connections.
#[test]
fn a_connection_beyond_those_that_can_be_timed_is_counted_for_what_it_is() {
    let _alone = alone();
    const MOST: u32 = 4;
    let config = KernelConfig { max_connections: MOST, ..config() };
    let watched = [endpoint("syscalls", NAME)];
    let Some(lab) = Lab::with(&config, &watched, Unlisted::Drop) else { return };
    let at = serve(request(NAME).len(), Duration::ZERO);
    let found = (1..=50).any(|time| {
        println!("time {time} of 50 at most");
        for _ in 0..2 {
            for _ in 0..MOST {
                let mut client = Client::connect(at, NAME);
                client.send();
                client.receive();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        lost(&lab, "timed_connections_full") > 0.0
    });
    assert_eq!(lost(&lab, "series_full"), 0.0, "there is one series");
    assert!(found, "all were timed: {:?}", lab.losses());
    // Once they are closed others are timed again.
    let before = calls(&lab, "sendto").0;
    let mut client = Client::connect(at, NAME);
    client.send();
    client.receive();
    let deadline = Instant::now() + Duration::from_secs(60);
    while calls(&lab, "sendto").0 == before && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(calls(&lab, "sendto").0, before + 1.0, "sends");
}
