//! Connections that say nothing: however many there are, those that speak are seen.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use da_server::kernel::{
    ConnectionOutcome, ExchangeOutcome, KernelConfig, Observation, Unlisted, What,
};
use da_standin::{Options, Standin, TlsMode};

use crate::client::{self, Client, Tls};
use crate::lab::{self, Lab, endpoint};
use crate::outcomes::connection_outcomes;

const NAME: &str = "silent.kernel.test";
const LABELS: &str = "{kind=\"llm\",provider=\"silent\"}";
/// Half of them may be silent.
const MAX_CONNECTIONS: u32 = 128;
/// More than there is room for in all.
const FLOOD: usize = 200;
const EXCHANGES: usize = 4;

fn value(lab: &Lab, family: &str) -> f64 {
    lab.value(&format!("digital_actors_{family}"))
}

/// Connections on which nothing is ever sent, of any process that may connect.
fn flood(count: usize) -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    rustix::net::listen(&listener, 2 * count as i32).expect("room for those nobody accepts");
    let to = listener.local_addr().expect("an address");
    let sockets = (0..count).map(|_| TcpStream::connect(to).expect("connects")).collect();
    (listener, sockets)
}

/// Exchanges on one connection; the bytes that it has sent and received.
fn talk(standin: &Standin, tls: Tls) -> (u64, u64) {
    let config = (tls != Tls::None).then(|| client::config(standin.ca_pem(), tls));
    let mut client = Client::connect(standin.addr(), NAME, config.as_ref());
    client.handshake().expect("a handshake");
    for _ in 0..EXCHANGES {
        // Far longer than session tickets take.
        client.exchange(NAME, r#"{"first_byte_ms":100,"chunks":1}"#, false);
    }
    let transferred = client.transferred();
    client.hang_up();
    transferred
}

fn outcomes(seen: &[Observation]) -> Vec<ExchangeOutcome> {
    let outcome = |one: &Observation| match &one.what {
        What::Exchange(seen) => Some(seen.measured.outcome),
        _ => None,
    };
    seen.iter().filter_map(outcome).collect()
}

fn connects(seen: &[Observation]) -> usize {
    seen.iter().filter(|one| matches!(one.what, What::Connected { .. })).count()
}

#[test]
fn a_flood_of_idle_connections_hides_no_call() {
    let config = KernelConfig { max_connections: MAX_CONNECTIONS, ..lab::config() };
    let watched = [endpoint("silent", NAME)];
    let Some(mut lab) = Lab::with(&config, &watched, Unlisted::Drop) else { return };
    let began = Instant::now();
    let (listener, idle) = flood(FLOOD);
    let unfollowed = "ebpf_lost_total{reason=\"silent_connection\"}";
    assert!(value(&lab, unfollowed) >= (FLOOD - MAX_CONNECTIONS as usize / 2) as f64);
    for (count, (mode, tls)) in
        [(TlsMode::V12, Tls::V12), (TlsMode::V13, Tls::V13), (TlsMode::Plain, Tls::None)]
            .into_iter()
            .enumerate()
    {
        let names = vec![NAME.to_owned()];
        let standin = lab.standin(Options { names, tls: mode, ..Options::default() });
        let bytes = |lab: &Lab| {
            ["sent", "received"].map(|way| value(lab, &format!("socket_{way}_bytes_total{LABELS}")))
        };
        let before = bytes(&lab);
        let (sent, received) = talk(&standin, tls);
        lab.wait_closed(count + 1);
        lab.runtime.block_on(standin.stop());
        let after = bytes(&lab);
        assert_eq!(after[0] - before[0], sent as f64, "{tls:?}");
        assert_eq!(after[1] - before[1], received as f64, "{tls:?}");
    }
    let entries = |lab: &Lab| value(lab, "ebpf_map_entries{map=\"connections\"}");
    // Idle ones are let go of after ten seconds, which may have passed: then there was room again.
    let was_full = began.elapsed() < Duration::from_secs(10);
    let seen = lab.seen();
    assert_eq!(connection_outcomes(seen), [ConnectionOutcome::Ok; 3]);
    let counted = outcomes(seen);
    println!("{FLOOD} idle connections, room for {MAX_CONNECTIONS} in all: {counted:?}");
    assert_eq!(counted.len(), 3 * EXCHANGES);
    let told_apart = counted.iter().filter(|one| **one == ExchangeOutcome::Ok).count();
    // Of the first one behind new session tickets it is not known yet how long these are.
    assert!(told_apart >= 3 * EXCHANGES - 1, "{counted:?}");
    let unseen = 3 - connects(seen);
    // Where a connection of another test closes, there is room for one.
    assert!(unseen > 0 || !was_full, "nobody saw them connect: absent, not 0");
    let lifetimes = value(&lab, &format!("socket_lifetime_seconds_count{LABELS}"));
    assert_eq!(lifetimes, (3 - unseen) as f64);
    let others = lab.losses_but("silent_connection");
    assert!(others.is_empty(), "{others:?}");

    // The older ones are let go of: then there is room for the beginning of others again.
    let deadline = Instant::now() + Duration::from_secs(60);
    while entries(&lab) > f64::from(MAX_CONNECTIONS / 4) {
        assert!(Instant::now() < deadline, "{} are still there", entries(&lab));
        std::thread::sleep(Duration::from_millis(50));
    }
    let names = vec![NAME.to_owned()];
    let standin = lab.standin(Options { names, tls: TlsMode::V12, ..Options::default() });
    talk(&standin, Tls::V12);
    lab.wait_closed(4);
    lab.runtime.block_on(standin.stop());
    assert_eq!(connects(lab.seen()), 3 - unseen + 1);
    assert_eq!(outcomes(lab.seen()).len(), 4 * EXCHANGES);
    drop((listener, idle));
}
