//! Pauses put into responses one by one, each of which must be told with its cause.

mod readers;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Child;
use std::time::Duration;

use da_server::kernel::{GapCause, Hooks, KernelConfig, SeenExchange, Unlisted, What};
use da_testkit::programs::are_there;
use tempfile::TempDir;

use self::readers::{Reader, Readers};
use crate::calls::line::{Line, Network, can_be_lossy};
use crate::lab::{self, Lab, endpoint, endpoint_at};
use crate::plain;

/// What makes networks, and loses packets between them.
/// Addresses that nobody outside the test's own networks has: RFC 5737.
const HERE: &str = "192.0.2.1";
/// One for each test, because no two watch the same.
const THERE: &str = "192.0.2.2";
const THERE_TOO: &str = "192.0.2.3";
const PORT: u16 = 80;
const PROVIDER: &str = "gap-causes";
/// Of each reader and cause, the first of which counts for nothing: with it a runtime starts, and reads late.
const REQUESTS: usize = 5;
/// From how long on a gap is told.
const LONG_GAP_MS: u32 = 400;
/// A piece that was lost is there again after a round trip and a few pieces more.
const LOSSY_ROUND_TRIP: Duration = Duration::from_millis(400);
/// For how long a client that is the cause reads nothing: longer than its response pauses.
const NOT_READ_MS: u64 = 1_500;

/// So small that a response can use its window up.
const RECEIVE_BUFFER_BYTES: u32 = 65_536;

/// Requests over a network that loses one packet of so many.
const LOSSY_REQUESTS: usize = 2;
const LOST_OF: u32 = 33;

/// What injects one cause.
struct Injection {
    round_trip: Duration,
    stop_ms: u64,
}

impl Injection {
    fn of(cause: GapCause) -> Self {
        let (round_trip, stop_ms) = match cause {
            GapCause::Provider => (Duration::ZERO, 0),
            GapCause::Network => (LOSSY_ROUND_TRIP, 0),
            GapCause::Window | GapCause::Client => (Duration::ZERO, NOT_READ_MS),
        };
        Self { round_trip, stop_ms }
    }
}

/// How often which cause was named, by the one that was injected.
type Confusion = BTreeMap<GapCause, BTreeMap<Option<GapCause>, usize>>;

/// The cause of the longest gap, if there was a long one.
fn named(exchange: &SeenExchange) -> Option<GapCause> {
    let gaps = exchange.long_gaps.as_ref()?.kept.iter();
    gaps.max_by_key(|gap| gap.to_ns - gap.from_ns).map(|gap| gap.cause)
}

fn print(title: &str, confusion: &Confusion) {
    println!(
        "{title:<14} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "provider", "network", "window", "client", "none"
    );
    for (injected, named) in confusion {
        let causes = GapCause::ALL.into_iter().map(Some).chain([None]);
        let counts: Vec<_> = causes
            .map(|cause| format!("{:>9}", named.get(&cause).copied().unwrap_or_default()))
            .collect();
        println!("{:<14} {}", injected.as_str(), counts.join(" "));
    }
}

/// A server behind a line, and the readers on the other side of it.
struct Stage {
    at: &'static str,
    readers: Readers,
    line: Line,
    here: Network,
    _there: Network,
    _programs: TempDir,
}

impl Stage {
    /// The server has this address.
    fn set(at: &'static str) -> Self {
        let programs = tempfile::tempdir().expect("a folder");
        let readers = Readers::build(programs.path());
        let (here, there) = (Network::new(), Network::new());
        here.limit_receive_buffers(RECEIVE_BUFFER_BYTES);
        let line = Line::between((&here, HERE), (&there, at));
        let listener = there.run(async move { TcpListener::bind((at, PORT)) }).expect("a port");
        let losses = line.losses();
        std::thread::spawn(move || server::serve(&listener, &losses));
        Self { at, readers, line, here, _there: there, _programs: programs }
    }

    fn start(
        &self,
        lab: &mut Lab,
        reader: Reader,
        (path, stop_ms, requests): (&str, u64, usize),
    ) -> Child {
        let mut command = self.readers.command(reader, self.at, path, stop_ms, requests);
        let child = self.here.run(async move { command.spawn() }).expect("a reader");
        lab.follow(child.id());
        child
    }
}

/// What watches the server at that address.
fn lab(host: &str) -> Option<Lab> {
    let at: SocketAddr = format!("{host}:{PORT}").parse().expect("an address");
    let watched = [endpoint_at(PROVIDER, host, at)];
    let config = KernelConfig { long_gap_ms: LONG_GAP_MS, ..lab::config() };
    (can_be_lossy() && are_there(readers::NEEDED))
        .then(|| Lab::with(&config, &watched, Unlisted::Drop))
        .flatten()
}

#[test]
fn every_long_gap_is_told_with_what_caused_it() {
    let Some(mut lab) = lab(THERE) else { return };
    let stage = Stage::set(THERE);
    let mut who = BTreeMap::new();
    for round_trip in [Duration::ZERO, LOSSY_ROUND_TRIP] {
        stage.line.set_round_trip(round_trip);
        let mut started = Vec::new();
        for cause in GapCause::ALL {
            let injection = Injection::of(cause);
            if injection.round_trip != round_trip {
                continue;
            }
            let path = format!("/{}", cause.as_str());
            for reader in Reader::ALL {
                let asked = (&*path, injection.stop_ms, REQUESTS);
                let child = stage.start(&mut lab, reader, asked);
                who.insert(child.id(), (reader, cause));
                started.push(child);
            }
        }
        for mut child in started {
            let status = Child::wait(&mut child).expect("it ends");
            assert!(status.success(), "{:?}", who[&child.id()]);
        }
    }
    lab.wait_closed(who.len() * REQUESTS);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());

    let mut by_reader: BTreeMap<&str, Confusion> = BTreeMap::new();
    let (mut right, mut all, mut blamed) = (0, 0, 0);
    let mut begun = BTreeSet::new();
    for one in lab.close() {
        let (Some((reader, cause)), What::Exchange(exchange)) = (who.get(&one.pid), &one.what)
        else {
            continue;
        };
        if begun.insert(one.pid) {
            continue;
        }
        let named = named(exchange);
        all += 1;
        right += usize::from(named == Some(*cause));
        let is_ours = matches!(cause, GapCause::Window | GapCause::Client);
        blamed += usize::from(is_ours && named == Some(GapCause::Provider));
        let confusion = by_reader.entry(reader.as_str()).or_default();
        *confusion.entry(*cause).or_default().entry(named).or_default() += 1;
        if named != Some(*cause) {
            println!("{} {}: {exchange:?}", reader.as_str(), cause.as_str());
        }
    }
    for (reader, confusion) in &by_reader {
        print(reader, confusion);
    }
    assert_eq!(all, who.len() * (REQUESTS - 1), "an exchange for each request");
    assert_eq!(blamed, 0, "what was this side's was blamed on the provider");
    assert!(right * 100 >= all * 95, "{right} of {all} causes are right");
}

#[test]
fn long_gaps_of_a_stream_that_loses_packets_are_never_the_clients() {
    let Some(mut lab) = lab(THERE_TOO) else { return };
    let stage = Stage::set(THERE_TOO);
    stage.line.set_round_trip(LOSSY_ROUND_TRIP);
    stage.here.lose_every(LOST_OF);
    let mut child = stage.start(&mut lab, Reader::Go, ("/lossy", 0, LOSSY_REQUESTS));
    assert!(child.wait().expect("it ends").success());
    lab.wait_closed(LOSSY_REQUESTS);
    let exchanges = lab.close().into_iter().filter_map(|one| match one.what {
        What::Exchange(exchange) => Some(exchange),
        _ => None,
    });
    let gaps = exchanges.filter_map(|exchange| exchange.long_gaps).flat_map(|gaps| gaps.kept);
    let gaps: Vec<_> = gaps.collect();
    let of = |cause| gaps.iter().filter(|gap| gap.cause == cause).count();
    let named = GapCause::ALL.map(|cause| (cause.as_str(), of(cause)));
    println!("long gaps: {named:?}");
    assert!(of(GapCause::Network) >= 3, "{gaps:?}");
    // Of a flight that is lost as a whole, and of a congestion window that is small since then, nothing shows here.
    assert_eq!(of(GapCause::Window) + of(GapCause::Client), 0, "{gaps:?}");
}

/// The kernel takes such a client's segments in elsewhere, where the hooks of older kernels see them with a read.
#[test]
fn a_pause_in_an_answer_to_a_client_that_has_closed_its_half_is_the_providers() {
    const NAME: &str = "half-closed.kernel.test";
    let Some(mut lab) = Lab::open(&[endpoint(PROVIDER, NAME)], Unlisted::Drop) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client =
        TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
    let (mut server, _) = listener.accept().expect("a client");
    client.write_all(&plain::request(NAME)).expect("writes");
    client.shutdown(Shutdown::Write).expect("closes its half");
    let answer = std::thread::spawn(move || {
        server.read_to_end(&mut Vec::new()).expect("reads");
        for _ in 0..3 {
            server.write_all(plain::RESPONSE).expect("writes");
            std::thread::sleep(server::PAUSE);
        }
    });
    client.read_to_end(&mut Vec::new()).expect("reads");
    answer.join().expect("an answer");
    drop(client);
    lab.wait_closed(1);
    let causes: Vec<_> = lab
        .close()
        .into_iter()
        .filter_map(|one| match one.what {
            What::Exchange(exchange) => Some(exchange.long_gaps?.kept),
            _ => None,
        })
        .flatten()
        .map(|gap| gap.cause)
        .collect();
    if lab::hooks() == Hooks::Older {
        assert!(causes.is_empty(), "nobody saw when it arrived: {causes:?}");
    } else {
        assert_eq!(causes, [GapCause::Provider; 2]);
    }
}
