//! A ring buffer that was full when connections began: what was lost then goes on to be lost no longer
//! than that.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use da_server::kernel::{ExchangeOutcome, KernelConfig, What};

use crate::lab::{self, Lab, endpoint};
use crate::plain;

const NAME: &str = "lost.kernel.test";
/// Nobody lists it.
const STRANGER: &str = "stranger.lost.kernel.test";
/// More first bytes than the smallest ring has room for.
const STRANGERS: usize = 800;
const CONNECTIONS: usize = 50;
const EXCHANGES: usize = 3;

/// Connections that have carried one exchange.
fn begin(to: SocketAddr, name: &str, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let mut socket = TcpStream::connect(to).expect("connects");
        plain::exchange(&mut socket, name);
        socket
    };
    (0..count).map(connect).collect()
}

fn lost(lab: &Lab, reason: &str) -> f64 {
    lab.value(&format!("digital_actors_ebpf_lost_total{{reason=\"{reason}\"}}"))
}

#[test]
fn connections_whose_beginning_was_lost_are_known_by_what_they_send_next() {
    let config = KernelConfig { ring_bytes: 64 << 10, ..lab::config() };
    let to = plain::serve("127.0.0.1:0");
    let mut open = Vec::new();
    let fill = || {
        open.push((STRANGER, begin(to, STRANGER, STRANGERS)));
        open.push((NAME, begin(to, NAME, CONNECTIONS)));
    };
    let Some(mut lab) = Lab::late(&config, &[endpoint("lost", NAME)], fill) else { return };
    let before = lost(&lab, "ring_full");
    assert!(before >= CONNECTIONS as f64, "the ring was not full");
    for _ in 0..EXCHANGES {
        for (name, sockets) in &mut open {
            for socket in sockets.iter_mut() {
                plain::exchange(socket, name);
            }
            // The reader comes every 50 ms; it is not what this is about.
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let entries = || lab.value("digital_actors_ebpf_map_entries{map=\"connections\"}");
    let deadline = Instant::now() + Duration::from_secs(60);
    while entries() > STRANGERS as f64 / 4.0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(entries() <= STRANGERS as f64 / 4.0, "{} strangers are followed", entries());
    drop(open);
    lab.wait_closed(CONNECTIONS);
    println!(
        "{before} events lost with a full ring, {} after it",
        lost(&lab, "ring_full") - before
    );
    assert_eq!(lost(&lab, "unknown_connection"), 0.0);
    let outcome = |what| match what {
        What::Exchange(seen) => Some(seen.measured.outcome),
        _ => None,
    };
    let outcomes: Vec<_> = lab.close().into_iter().filter_map(|one| outcome(one.what)).collect();
    // The first exchange of each went by unseen.
    assert_eq!(outcomes, [ExchangeOutcome::Ok; CONNECTIONS * EXCHANGES]);
}
