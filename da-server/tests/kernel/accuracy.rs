//! Connect, TLS handshake, first byte and response: each begins and ends between what the two ends of the
//! connection saw just before and just after it.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use da_server::kernel::{
    ExchangeOutcome, HandshakeKind, Observation, SeenExchange, Unlisted, What,
};
use da_standin::{Delay, Event, LogEntry, Options, Plan, TlsMode};

use crate::answered::{Answered, answered};
use crate::brackets::Brackets;
use crate::client::{Client, Span, Tls, config};
use crate::lab::{Lab, endpoint};

const NAME: &str = "accuracy.kernel.test";
/// Exchanges per combination, over as many connections as say how many share one.
const EXCHANGES: usize = 200;
/// Clients at once.
const CLIENTS: usize = 5;

/// What a client saw of its connection, ns.
struct Opened {
    connect: Span,
    hello: Span,
    shaken_ns: u64,
    exchanges: Vec<Exchanged>,
}

/// What it saw of an exchange, ns.
struct Exchanged {
    send: Span,
    first_read_ns: u64,
    last_read_ns: u64,
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
            // Session tickets come ahead of the request, so they are certain: see `tickets` for others.
            std::thread::sleep(Duration::from_millis(5));
            let exchange = |exchange| {
                // 5 to 300 ms, every value once in a while.
                let delay_ms = 5 + (number * per_connection + exchange) * 59 % 296;
                let plan =
                    format!(r#"{{"first_byte_ms":{delay_ms},"between_chunks_ms":7,"chunks":3}}"#);
                let last = exchange + 1 == per_connection;
                assert!(client.exchange(NAME, &plan, last).starts_with(b"HTTP/1.1 200"));
                let Client { send, first_read_ns, last_read_ns, .. } = client;
                Exchanged { send, first_read_ns, last_read_ns }
            };
            let exchanges = (0..per_connection).map(exchange).collect();
            let Client { local, connect, hello, shaken_ns, .. } = client;
            connections_opened.push((local, Opened { connect, hello, shaken_ns, exchanges }));
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
    let Some(mut lab) = Lab::open(&[endpoint("accuracy", NAME)], Unlisted::Drop) else { return };
    let standin = lab.standin(Options {
        names: vec![NAME.to_owned()],
        tls: mode,
        plan: Plan { handshake_ms: Delay::Uniform(5.0, 60.0), ..Plan::default() },
        ..Options::default()
    });
    let opened = drive(standin.addr(), standin.ca_pem(), tls, per_connection);
    lab.wait_closed(opened.len());
    lab.runtime.block_on(standin.idle());
    let log = standin.log();
    lab.runtime.block_on(standin.stop());
    let what = format!("{tls:?}, {per_connection} a connection");
    assert!(lab.losses().is_empty(), "{what}: {:?}", lab.losses());
    let seen = lab.close();

    connects_are_exact(&what, &seen, &opened);
    if tls != Tls::None {
        handshakes_are_exact(&what, &seen, &opened, &log, tls);
    }
    exchanges_are_exact(&what, &seen, &opened, &answered(&log));
}

fn connects_are_exact(what: &str, seen: &[Observation], opened: &HashMap<SocketAddr, Opened>) {
    let mut connects = Brackets::default();
    for one in seen {
        if let What::Connected { from_ns, to_ns } = one.what {
            let Span { from_ns: earliest_ns, to_ns: latest_ns } = opened[&one.local].connect;
            assert!(from_ns < to_ns, "{what}: {one:?}");
            connects.add(earliest_ns, from_ns, latest_ns);
            connects.add(earliest_ns, to_ns, latest_ns);
        }
    }
    assert_eq!(connects.len(), 2 * opened.len(), "{what}: connects");
    connects.assert_narrow(&format!("{what}: connect"));
}

/// It ends after the server's delay, and before the client goes on.
fn handshakes_are_exact(
    what: &str,
    seen: &[Observation],
    opened: &HashMap<SocketAddr, Opened>,
    log: &[LogEntry],
    tls: Tls,
) {
    let answered_ns = |entry: &LogEntry| match entry.event {
        Event::HandshakeDone { answered_ns, .. } => Some((entry.peer, answered_ns)),
        _ => None,
    };
    let answered_ns: HashMap<SocketAddr, u64> = log.iter().filter_map(answered_ns).collect();
    let expected = if tls == Tls::V12 { HandshakeKind::Tls12Full } else { HandshakeKind::Tls13 };
    let (mut beginnings, mut ends) = (Brackets::default(), Brackets::default());
    for one in seen {
        if let What::HandshakeDone { from_ns, to_ns, kind } = one.what {
            assert_eq!(kind, expected, "{what}");
            let opened = &opened[&one.local];
            beginnings.add(opened.hello.from_ns, from_ns, opened.hello.to_ns);
            ends.add(answered_ns[&one.local], to_ns, opened.shaken_ns);
        }
    }
    assert_eq!(ends.len(), opened.len(), "{what}: handshakes");
    beginnings.assert_narrow(&format!("{what}: ClientHello"));
    // With the client's cryptography between its two ends, and in TLS 1.2 another way there and back.
    ends.print(&format!("{what}: TLS handshake done"));
}

fn exchanges_are_exact(
    what: &str,
    seen: &[Observation],
    opened: &HashMap<SocketAddr, Opened>,
    answered: &HashMap<SocketAddr, Vec<Answered>>,
) {
    let mut counted: HashMap<SocketAddr, usize> = HashMap::new();
    let [mut requests, mut first_bytes, mut last_bytes] = [(); 3].map(|()| Brackets::default());
    let mut doubtful = 0;
    for one in seen {
        let What::Exchange(seen) = &one.what else { continue };
        let SeenExchange { number, measured, .. } = **seen;
        *counted.entry(one.local).or_default() += 1;
        let at = number as usize - 1;
        let (Some(client), Some(server)) =
            (opened[&one.local].exchanges.get(at), answered[&one.local].get(at))
        else {
            panic!("{what}: exchange {number} of {} was never made", one.local);
        };
        if measured.outcome == ExchangeOutcome::Doubtful && number == 1 {
            doubtful += 1; // its tickets came late, and this server had shown none before
            continue;
        }
        assert_eq!(measured.outcome, ExchangeOutcome::Ok, "{what}: exchange {number}");
        let first_ns = measured.response_first_ns.expect("timed");
        let request_ns = first_ns - measured.first_byte_ns.expect("timed");
        let last_ns = first_ns + measured.response_ns.expect("timed");
        requests.add(client.send.from_ns, request_ns, client.send.to_ns);
        first_bytes.add(server.first_ns, first_ns, client.first_read_ns);
        last_bytes.add(server.last_ns, last_ns, client.last_read_ns);
    }
    for (peer, exchanges) in answered {
        assert_eq!(counted.get(peer), Some(&exchanges.len()), "{what}: exchanges of {peer}");
    }
    assert_eq!(requests.len() + doubtful, EXCHANGES, "{what}: none missed, none invented");
    assert!(doubtful * 10 <= EXCHANGES, "{what}: {doubtful} doubtful");
    requests.assert_narrow(&format!("{what}: request sent"));
    first_bytes.assert_narrow(&format!("{what}: first byte"));
    last_bytes.assert_narrow(&format!("{what}: last byte"));
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
