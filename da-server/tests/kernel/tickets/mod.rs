//! The first exchange of a fresh TLS 1.3 connection, whose server may send session tickets just where the
//! response is expected: servers of several makes, all of them one provider's, in random order.

mod askers;
mod cell;
mod next_request;
mod servers;
mod table;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use da_server::kernel::{ExchangeOutcome, Hooks, PRECISION_NS, SeenExchange, Unlisted, What};
use da_testkit::programs::are_there;

use self::askers::{Askers, Exchanged};
use self::cell::Cell;
use self::servers::Servers;
use self::table::{Judgement, Table};
use crate::client::{Tls, config};
use crate::lab::{Lab, endpoint, hooks};

const NAME: &str = "tickets.kernel.test";
/// Connections of each cell.
const TIMES: usize = 1;
/// Clients of each kind at once.
const ASKERS: usize = 4;

#[test]
fn the_first_byte_is_right_or_doubtful() {
    if !are_there(&["python3"]) {
        return;
    }
    let pid = std::process::id();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tickets-{pid}"));
    fs::create_dir_all(&folder).expect("a folder");
    let own = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).expect("a certificate");
    fs::write(folder.join("certificate.pem"), own.cert.pem()).expect("writes");
    fs::write(folder.join("key.pem"), own.signing_key.serialize_pem()).expect("writes");
    let Some(mut lab) = Lab::open(&[endpoint("tickets", NAME)], Unlisted::Drop) else { return };
    let servers = Servers::start(&folder);
    let seed = std::env::var("DA_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(da_standin::now_ns);
    println!("DA_FUZZ_SEED={seed}");
    let of: Vec<_> = servers.ports.iter().map(|(server, _)| *server).collect();
    let cells = cell::all(&of, TIMES, seed);
    let made = ask(&mut lab, &servers, &cells, &own.cert.pem());
    lab.wait_closed(cells.len());
    // Runs of a program that the kernel skips for one under way are counted, for the whole host.
    let skipped = lab.value("digital_actors_ebpf_lost_total{reason=\"recursion\"}") as usize;

    let mut table = Table::default();
    let mut reported: HashMap<Ports, usize> = HashMap::new();
    for one in lab.close() {
        let What::Exchange(seen) = one.what else { continue };
        // The kernel may give a port out again: its connections are reported in their order. Those to two servers may
        // have the same at once.
        let ports = (one.local.port(), one.remote.port());
        let number = reported.entry(ports).or_default();
        let Some((cell, exchanged)) = made.get(&ports).and_then(|all| all.get(*number)) else {
            panic!("{}, exchange {}: never made: {seen:?}", one.local, *number + 1);
        };
        *number += 1;
        let judgement = judge(&seen, exchanged);
        if judgement == Judgement::Wrong {
            println!("wrong: {cell:?}\n  {exchanged:?}\n  {seen:?}");
        }
        table.add(cell, judgement);
    }
    table.print();
    let missed = cells.len().saturating_sub(table.all());
    assert!(table.all() <= cells.len() && missed <= skipped, "{missed} missed");
    assert_eq!(table.count(Judgement::Wrong), 0, "silently wrong");
    // How many are doubtful depends on how busy the machine is: what comes together on a quiet one comes there one by
    // one. But of no server are all of them; with older hooks fewer records show.
    let judged = of.iter().filter(|_| hooks() == Hooks::Newest);
    let never = judged.filter(|server| table.of(**server, Judgement::Right) == 0);
    let never: Vec<_> = never.collect();
    assert!(never.is_empty(), "nothing was timed of {never:?}");
    drop(servers);
    fs::remove_dir_all(&folder).expect("removes");
}

/// The client's and the server's.
type Ports = (u16, u16);

/// Makes the connections of all cells; what was seen of them by their ports.
fn ask(
    lab: &mut Lab,
    servers: &Servers,
    cells: &[Cell],
    ca_pem: &str,
) -> HashMap<Ports, Vec<(Cell, Exchanged)>> {
    let config = config(ca_pem, Tls::V13);
    let ports: HashMap<_, _> = servers.ports.iter().copied().collect();
    let mut askers: Vec<_> = (0..ASKERS).map(|_| Askers::start(config.clone())).collect();
    askers.iter().for_each(|askers| lab.follow(askers.process_id()));
    let (left, made) = (Mutex::new(cells.iter()), Mutex::new(HashMap::new()));
    let next = || left.lock().expect("unpoisoned").next();
    std::thread::scope(|scope| {
        for askers in &mut askers {
            scope.spawn(|| {
                while let Some(cell) = next() {
                    let port = ports[&cell.server];
                    let exchanged = askers.ask(cell, port);
                    let mut made = made.lock().expect("unpoisoned");
                    let both = (exchanged.local_port, port);
                    let of_ports: &mut Vec<_> = made.entry(both).or_default();
                    of_ports.push((*cell, exchanged));
                }
            });
        }
    });
    made.into_inner().expect("unpoisoned")
}

/// The response begins after the server's note and before the client has read of it. That is an order, and
/// no bound. Where two arrivals are the same as exactly as times are, it may be either.
fn judge(seen: &SeenExchange, exchanged: &Exchanged) -> Judgement {
    let response = exchanged.noted_ns..=exchanged.read_ns;
    let same = |at_ns: &&u64| {
        seen.measured.response_first_ns.is_some_and(|first| at_ns.abs_diff(first) <= PRECISION_NS)
    };
    match (seen.measured.outcome, seen.measured.response_first_ns) {
        (ExchangeOutcome::Doubtful, None) => Judgement::Doubtful,
        // A close alert to a server that has gone may be answered by a reset, after the response.
        (ExchangeOutcome::Ok | ExchangeOutcome::Reset, Some(first_ns))
            if response.contains(&first_ns)
                || seen.arrivals_ns.iter().filter(same).any(|at| response.contains(at)) =>
        {
            Judgement::Right
        }
        _ => Judgement::Wrong,
    }
}

/// Whether a request has all its bytes.
fn is_complete(request: &[u8]) -> bool {
    let Some(head) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    request.len() >= head + 4 + length
}
