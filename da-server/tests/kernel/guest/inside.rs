//! What runs inside the machine: every kind of connection once, and which programs see it.

use std::collections::HashMap;
use std::net::SocketAddr;

use da_server::kernel::{ExchangeOutcome, Observation, SeenExchange, Unlisted, What};
use da_standin::{Options, TlsMode};

use crate::answered::answered;
use crate::client::{Client, Tls, config};
use crate::lab::{Lab, endpoint};

const NAME: &str = "guest.kernel.test";
/// Per kind of connection.
const CONNECTIONS: usize = 4;
/// Per connection.
const EXCHANGES: usize = 3;
/// Before the first byte of every response.
const DELAY_NS: u64 = 200_000_000;
const PLAN: &str = r#"{"first_byte_ms":200,"between_chunks_ms":5,"chunks":3}"#;

/// Whoever boots the machine reads the lines that begin with GUEST.
#[test]
#[ignore = "runs in the machine that guest::an_older_kernel boots"]
fn measures() {
    let lab = Lab::open(&[endpoint("guest", NAME)], Unlisted::Drop).expect("required");
    let text = lab.metrics();
    for line in text.lines().filter(|line| line.ends_with(" 1")) {
        if line.starts_with("digital_actors_ebpf_program_state") {
            println!("GUEST {line}");
        }
    }
    assert!(text.contains("\ndigital_actors_ebpf_up 1\n"), "{text}");
    drop(lab);
    for (tls, mode) in
        [(Tls::V13, TlsMode::V13), (Tls::V12, TlsMode::V12), (Tls::None, TlsMode::Plain)]
    {
        measures_connections(tls, mode);
    }
}

fn measures_connections(tls: Tls, mode: TlsMode) {
    let mut lab = Lab::open(&[endpoint("guest", NAME)], Unlisted::Drop).expect("required");
    let names = vec![NAME.to_owned()];
    let standin = lab.standin(Options { names, tls: mode, ..Options::default() });
    for _ in 0..CONNECTIONS {
        talk(standin.addr(), standin.ca_pem(), tls);
    }
    lab.wait_closed(CONNECTIONS);
    lab.runtime.block_on(standin.idle());
    let log = answered(&standin.log());
    lab.runtime.block_on(standin.stop());
    assert!(lab.losses().is_empty(), "{tls:?}: {:?}", lab.losses());
    let seen = lab.close();

    let count = |is: fn(&What) -> bool| seen.iter().filter(|one| is(&one.what)).count();
    assert_eq!(count(|what| matches!(what, What::Connected { .. })), CONNECTIONS, "{tls:?}");
    assert_eq!(count(|what| matches!(what, What::Closed { .. })), CONNECTIONS, "{tls:?}");
    let handshakes = if tls == Tls::None { 0 } else { CONNECTIONS };
    assert_eq!(count(|what| matches!(what, What::HandshakeDone { .. })), handshakes, "{tls:?}");

    let mut exchanges: HashMap<SocketAddr, usize> = HashMap::new();
    let mut errors_ns = Vec::new();
    for Observation { local, what, .. } in seen {
        let What::Exchange(seen) = what else { continue };
        let SeenExchange { number, measured, first_pickup, .. } = *seen;
        *exchanges.entry(local).or_default() += 1;
        if measured.outcome == ExchangeOutcome::Doubtful && number == 1 {
            continue; // nothing has told its response from tickets
        }
        assert_eq!(measured.outcome, ExchangeOutcome::Ok, "{tls:?}: exchange {number}");
        assert!(first_pickup.is_some(), "{tls:?}: exchange {number} was never read");
        let logged = &log[&local][number as usize - 1];
        let logged_ns = logged.first_ns - logged.request_ns;
        assert!(logged_ns >= DELAY_NS);
        errors_ns.push(measured.first_byte_ns.expect("timed").abs_diff(logged_ns));
    }
    let expected: HashMap<_, _> =
        log.iter().map(|(peer, exchanges)| (*peer, exchanges.len())).collect();
    assert_eq!(exchanges, expected, "{tls:?}: none missed, none invented");
    assert_eq!(expected.values().sum::<usize>(), CONNECTIONS * EXCHANGES);
    errors_ns.sort_unstable();
    let median_ns = errors_ns[errors_ns.len() / 2];
    println!(
        "GUEST {tls:?}: {} exchanges, first byte off by {} µs (median)",
        CONNECTIONS * EXCHANGES,
        median_ns / 1_000
    );
    // An emulated processor is slow, and shared with whatever else this machine does.
    assert!(median_ns < DELAY_NS / 2, "{tls:?}: {errors_ns:?}");
}

fn talk(to: SocketAddr, ca_pem: &str, tls: Tls) {
    let config = (tls != Tls::None).then(|| config(ca_pem, tls));
    let mut client = Client::connect(to, NAME, config.as_ref());
    client.handshake().expect("a handshake");
    for exchange in 1..=EXCHANGES {
        let response = client.exchange(NAME, PLAN, exchange == EXCHANGES);
        assert!(response.starts_with(b"HTTP/1.1 200"));
    }
    client.close();
}
