//! Connect, TLS handshake, first byte and response against the stand-in's own clock.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Mutex;

use da_server::kernel::{
    ExchangeOutcome, HandshakeKind, Observation, SeenExchange, Unlisted, What,
};
use da_standin::{Event, LogEntry, Options, Plan, TlsMode};

use super::heartbeat::{Heartbeat, Late};
use super::report::Errors;
use crate::answered::{Answered, answered};
use crate::client::{Client, Tls, config};
use crate::lab::{Lab, endpoint};
use crate::turns::undisturbed;

const NAME: &str = "accuracy.kernel.test";
const MS: u64 = 1_000_000;
/// Exchanges per combination, over as many connections as say how many share one.
const EXCHANGES: usize = 200;
/// Clients at once.
const CLIENTS: usize = 5;

/// What a client measured of its connection, ns.
struct Opened {
    connect_ns: u64,
    handshake_ns: u64,
}

/// Runs `EXCHANGES` exchanges, `per_connection` on each connection; returns these by local end.
fn drive(
    to: SocketAddr,
    ca_pem: &str,
    tls: Tls,
    per_connection: usize,
) -> HashMap<SocketAddr, Opened> {
    let config = (tls != Tls::None).then(|| config(ca_pem, tls));
    let connections = EXCHANGES / per_connection;
    let ends = Mutex::new(HashSet::new());
    let client = |first: usize| {
        let mut connections_opened = Vec::new();
        for number in (first..connections).step_by(CLIENTS) {
            let mut client = Client::connect(to, NAME, config.as_ref());
            // The log knows connections by their local end: the kernel may give one out twice.
            while !ends.lock().expect("unpoisoned").insert(client.local) {
                client = Client::connect(to, NAME, config.as_ref());
            }
            client.handshake().expect("a handshake");
            let handshake_ns = client.shaken_ns - client.hello_ns;
            let connect_ns = client.connect_ns;
            connections_opened.push((client.local, Opened { connect_ns, handshake_ns }));
            for exchange in 0..per_connection {
                // 5 to 300 ms, every value once in a while.
                let delay_ms = 5 + (number * per_connection + exchange) * 59 % 296;
                let plan =
                    format!(r#"{{"first_byte_ms":{delay_ms},"between_chunks_ms":7,"chunks":3}}"#);
                let last = exchange + 1 == per_connection;
                assert!(client.exchange(NAME, &plan, last).starts_with(b"HTTP/1.1 200"));
            }
            client.close();
        }
        connections_opened
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..CLIENTS).map(|first| scope.spawn(move || client(first))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
    })
}

fn check(tls: Tls, mode: TlsMode, per_connection: usize) {
    let _alone = undisturbed();
    let Some(lab) = Lab::open(&[endpoint("accuracy", NAME)], Unlisted::Drop) else { return };
    let exact = times_are_exact(lab, tls, mode, per_connection);
    assert!(exact, "{tls:?}, {per_connection} a connection: times beyond their bounds, see above");
}

fn times_are_exact(mut lab: Lab, tls: Tls, mode: TlsMode, per_connection: usize) -> bool {
    let standin = lab.standin(Options {
        names: vec![NAME.to_owned()],
        tls: mode,
        plan: Plan { handshake_ms: da_standin::Delay::Uniform(5.0, 60.0), ..Plan::default() },
        ..Options::default()
    });
    let heartbeat = Heartbeat::start();
    let opened = drive(standin.addr(), standin.ca_pem(), tls, per_connection);
    let late = &heartbeat.end();
    lab.wait_closed(opened.len());
    lab.runtime.block_on(standin.idle());
    let log = standin.log();
    lab.runtime.block_on(standin.stop());
    let what = format!("{tls:?}, {per_connection} a connection");
    assert!(lab.losses().is_empty(), "{what}: {:?}", lab.losses());
    let seen = lab.close();

    let connects = connects_are_exact(&what, &seen, &opened, late);
    let handshakes =
        tls == Tls::None || handshakes_are_exact(&what, &seen, &opened, &log, tls, late);
    let exchanges = exchanges_are_exact(&what, &seen, &answered(&log), late);
    connects && handshakes && exchanges
}

fn connects_are_exact(
    what: &str,
    seen: &[Observation],
    opened: &HashMap<SocketAddr, Opened>,
    late: &[Late],
) -> bool {
    let mut errors = Errors::default();
    for one in seen {
        if let What::Connected { from_ns, to_ns } = one.what {
            errors.add((from_ns, to_ns), opened[&one.local].connect_ns);
        }
    }
    assert_eq!(errors.len(), opened.len(), "{what}: connects");
    errors.within(&format!("{what}: connect"), MS, late)
}

/// Against the client's clock, and never less than the delay that the stand-in put in.
fn handshakes_are_exact(
    what: &str,
    seen: &[Observation],
    opened: &HashMap<SocketAddr, Opened>,
    log: &[LogEntry],
    tls: Tls,
    late: &[Late],
) -> bool {
    let mut delayed_ns: HashMap<SocketAddr, u64> = HashMap::new();
    for entry in log {
        match entry.event {
            Event::ClientHello => {
                delayed_ns.insert(entry.peer, entry.t_ns);
            }
            Event::HandshakeDone { answered_ns, .. } => {
                delayed_ns
                    .entry(entry.peer)
                    .and_modify(|hello_ns| *hello_ns = answered_ns - *hello_ns);
            }
            _ => {}
        }
    }
    let mut errors = Errors::default();
    for one in seen {
        if let What::HandshakeDone { from_ns, to_ns, kind } = one.what {
            let expected =
                if tls == Tls::V12 { HandshakeKind::Tls12Full } else { HandshakeKind::Tls13 };
            assert_eq!(kind, expected, "{what}");
            assert!(to_ns - from_ns > delayed_ns[&one.local], "{what}: shorter than its delay");
            errors.add((from_ns, to_ns), opened[&one.local].handshake_ns);
        }
    }
    assert_eq!(errors.len(), opened.len(), "{what}: handshakes");
    errors.within(&format!("{what}: TLS handshake"), 2 * MS, late)
}

fn exchanges_are_exact(
    what: &str,
    seen: &[Observation],
    answered: &HashMap<SocketAddr, Vec<Answered>>,
    late: &[Late],
) -> bool {
    let (mut first_bytes, mut responses) = (Errors::default(), Errors::default());
    let mut counted: HashMap<SocketAddr, usize> = HashMap::new();
    let mut doubtful = 0;
    for one in seen {
        let What::Exchange(SeenExchange { number, measured, .. }) = one.what else { continue };
        *counted.entry(one.local).or_default() += 1;
        let Some(log) = answered[&one.local].get(number as usize - 1) else {
            panic!("{what}: exchange {number} of {} was never made", one.local);
        };
        if measured.outcome == ExchangeOutcome::Doubtful && number == 1 {
            doubtful += 1; // the size of this server's tickets was not known yet
            continue;
        }
        assert_eq!(measured.outcome, ExchangeOutcome::Ok, "{what}: exchange {number}");
        let first_ns = measured.response_first_ns.expect("timed");
        let request_ns = first_ns - measured.first_byte_ns.expect("timed");
        let last_ns = first_ns + measured.response_ns.expect("timed");
        first_bytes.add((request_ns, first_ns), log.first_ns - log.request_ns);
        responses.add((first_ns, last_ns), log.last_ns - log.first_ns);
    }
    for (peer, exchanges) in answered {
        assert_eq!(counted.get(peer), Some(&exchanges.len()), "{what}: exchanges of {peer}");
    }
    assert_eq!(first_bytes.len() + doubtful, EXCHANGES, "{what}: none missed, none invented");
    assert!(doubtful * 50 <= EXCHANGES, "{what}: {doubtful} doubtful");
    let first_bytes = first_bytes.within(&format!("{what}: first byte"), MS, late);
    let responses = responses.within(&format!("{what}: response"), MS, late);
    first_bytes && responses
}

#[test]
fn tls13_keep_alive() {
    check(Tls::V13, TlsMode::V13, 10);
}

#[test]
fn tls13_close() {
    check(Tls::V13, TlsMode::V13, 1);
}

#[test]
fn tls12_keep_alive() {
    check(Tls::V12, TlsMode::V12, 10);
}

#[test]
fn tls12_close() {
    check(Tls::V12, TlsMode::V12, 1);
}

#[test]
fn plain_keep_alive() {
    check(Tls::None, TlsMode::Plain, 10);
}
