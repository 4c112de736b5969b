//! What happens at the bounds: a ring that nobody empties, two views at once, and many one after the
//! other. A full map is among the outcomes, a crowd of connections has its own file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use aya::maps::loaded_maps;
use aya::programs::loaded_programs;
use da_server::kernel::{KernelConfig, Unlisted};

use crate::lab::{Lab, config, endpoint};
use crate::plain;
use crate::tcp_info;
use crate::turns::alone;

const NAME: &str = "bounds.kernel.test";

/// `count` connections with one exchange each.
fn talk(to: SocketAddr, count: usize) {
    for _ in 0..count {
        plain::exchange(&mut TcpStream::connect(to).expect("connects"), NAME);
    }
}

/// Sum of a family's series with `label`.
fn sum(lab: &Lab, family: &str, label: &str) -> u64 {
    let prefix = format!("digital_actors_{family}{{");
    let text = lab.metrics();
    let lines = text.lines().filter_map(|line| line.strip_prefix(&prefix));
    let values = lines.filter(|line| line.contains(label));
    values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

/// Exchanges of an endpoint once there are `expected`, or after 10 s.
fn exchanges(lab: &Lab, endpoint: &str, expected: u64) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(10);
    let label = format!("provider=\"{endpoint}\"");
    loop {
        let seen = sum(lab, "socket_exchanges_total", &label);
        if seen >= expected || Instant::now() > deadline {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Three events a connection: first bytes, exchange, close; of one whose first bytes are lost there is no
/// exchange to tell of. Whatever else connects on this host meanwhile adds as many of its own, or fewer.
#[test]
fn a_ring_that_nobody_empties_loses_by_the_count() {
    let _alone = alone();
    const CONNECTIONS: usize = 1_000;
    const MOST: u64 = 3 * CONNECTIONS as u64;
    let config = KernelConfig { ring_bytes: 64 << 10, ..config() };
    let watched = [endpoint("bounds", NAME)];
    let to = plain::serve("127.0.0.1:0");
    let before = tcp_info::counter("ActiveOpens");
    let Some(lab) = Lab::late(&config, &watched, || talk(to, CONNECTIONS)) else { return };
    let lost = || sum(&lab, "ebpf_lost_total", "reason=\"ring_full\"");
    // Older connections are looked for once the ring is read.
    let delivered = || {
        let older = sum(&lab, "ebpf_events_total", "event=\"existing\"");
        sum(&lab, "ebpf_events_total", "") - older
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while delivered() + lost() < MOST && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    let all = delivered() + lost();
    let others = tcp_info::counter("ActiveOpens") - before - CONNECTIONS as u64;
    let begun = sum(&lab, "ebpf_events_total", "event=\"first_bytes\"");
    let emitted = 2 * CONNECTIONS as u64 + begun.min(CONNECTIONS as u64);
    println!(
        "{emitted} events emitted, and those of {others} other connections: {} delivered, {} lost",
        delivered(),
        lost()
    );
    assert!(delivered() > 0 && lost() > emitted / 2, "the ring was not full");
    assert!(all + others >= emitted, "events are missing and nobody says so");
    assert!(all <= emitted + 3 * others, "more than were emitted");
    // Once it is read again, all is there.
    let before = sum(&lab, "socket_exchanges_total", "");
    talk(to, 100);
    let after = exchanges(&lab, "bounds", before + 100);
    assert_eq!(after - before, 100, "exchanges once the ring was emptied");
}

#[test]
fn two_views_at_once_both_count_everything() {
    let _alone = alone();
    const EXCHANGES: u64 = 500;
    let Some(one) = Lab::open(&[endpoint("one", NAME)], Unlisted::Drop) else { return };
    let two = one.beside(&[endpoint("two", NAME)]);
    let to = plain::serve("127.0.0.1:0");
    talk(to, EXCHANGES as usize);
    for (lab, name) in [(&one, "one"), (&two, "two")] {
        let label = format!("provider=\"{name}\"");
        assert_eq!(exchanges(lab, name, EXCHANGES), EXCHANGES, "{name}");
        let of = |family| sum(lab, family, &label);
        assert_eq!(of("socket_connections_total"), EXCHANGES, "{name}");
        assert_eq!(of("socket_first_byte_seconds_count"), EXCHANGES, "{name}");
        assert_eq!(of("socket_sent_bytes_total"), EXCHANGES * plain::request(NAME).len() as u64);
        assert_eq!(of("socket_received_bytes_total"), EXCHANGES * plain::RESPONSE.len() as u64);
        let lost = lab.losses_but("early_calls_full");
        assert!(lost.is_empty(), "{name}: {lost:?}");
    }
    // One goes; the other goes on.
    drop(one.close());
    talk(to, 10);
    assert_eq!(exchanges(&two, "two", EXCHANGES + 10), EXCHANGES + 10);
}

/// Programs and maps that the kernel holds for the whole host, by their numbers, with their names. A link
/// that were left behind would hold its program.
fn held() -> [BTreeMap<u32, Vec<u8>>; 2] {
    let programs = loaded_programs().filter_map(Result::ok);
    let maps = loaded_maps().filter_map(Result::ok);
    [
        programs.map(|one| (one.id(), one.name().to_owned())).collect(),
        maps.map(|one| (one.id(), one.name().to_owned())).collect(),
    ]
}

/// How many of `now` were not there `before`, and are called as one of `ours`: others of this host load
/// programs too.
fn more(
    now: &BTreeMap<u32, Vec<u8>>,
    before: &BTreeMap<u32, Vec<u8>>,
    ours: &BTreeSet<&[u8]>,
) -> usize {
    let new = now.iter().filter(|(id, _)| !before.contains_key(id));
    new.filter(|(_, name)| ours.contains(name.as_slice())).count()
}

/// Descriptors of this process that lead to programs, maps or links. Other tests that wait for their
/// turn have descriptors of their own, but none of these.
fn descriptors() -> usize {
    let all = fs::read_dir("/proc/self/fd").expect("a folder").filter_map(Result::ok);
    let targets = all.filter_map(|one| fs::read_link(one.path()).ok());
    targets.filter(|target| target.to_string_lossy().contains("bpf")).count()
}

#[test]
fn views_that_come_and_go_leave_nothing_behind() {
    let _alone = alone();
    const TIMES: usize = 12;
    let watched = [endpoint("bounds", NAME)];
    let without = held();
    let Some(first) = Lab::open(&watched, Unlisted::Drop) else { return };
    let (before, open_before) = (held(), descriptors());
    let ours = [0, 1].map(|kind| {
        let new = before[kind].iter().filter(|(id, _)| !without[kind].contains_key(id));
        new.map(|(_, name)| name.as_slice()).collect::<BTreeSet<_>>()
    });
    let mut most = 0;
    for _ in 0..TIMES {
        let view = first.beside(&watched);
        most = most.max(more(&held()[0], &before[0], &ours[0]));
        drop(view.close());
    }
    // The kernel frees some of it once nobody can be using it any more.
    let deadline = Instant::now() + Duration::from_secs(10);
    let left = || {
        let now = held();
        [0, 1].map(|kind| more(&now[kind], &before[kind], &ours[kind]))
    };
    while left() != [0; 2] && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    let counts = before.each_ref().map(BTreeMap::len);
    println!(
        "{TIMES} times: programs and maps before {counts:?}, at most {most} programs more \
         meanwhile, left over {:?}; descriptors {open_before} → {}",
        left(),
        descriptors()
    );
    assert!(most > 0, "it was never loaded");
    assert_eq!(left(), [0; 2], "programs and maps that were left behind");
    // The first view lets go of what it needed to find older connections.
    assert!(descriptors() <= open_before, "descriptors that were left behind");
}
