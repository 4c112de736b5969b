//! HTTP clients of several makes against the kernel view: what each cell of client × TLS × protocol
//! sent, by the server's own log, and what was counted of it.

mod cell;
mod early_data;
mod job;
mod nginx;
mod program;
mod relay;
mod rust;
mod servers;
mod table;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use da_server::kernel::{EndpointConfig, Unlisted};

use self::program::Programs;
use self::servers::Servers;
use self::table::{Row, Seen};
use crate::lab::{Lab, endpoint};

#[test]
fn every_client_is_counted_right() {
    let pid = std::process::id();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("clients-{pid}"));
    fs::create_dir_all(&folder).expect("a folder");
    let programs = match Programs::new(&folder) {
        Ok(programs) => programs,
        Err(missing) => {
            assert!(std::env::var_os("CI").is_none(), "{missing}");
            return eprintln!("SKIPPED: {missing}");
        }
    };
    let cells = cell::all();
    let relays: Vec<_> = cells.iter().map(|cell| servers::relay(cell, &folder)).collect();
    // An endpoint for each cell, with a name that no other test of this host uses. HTTP/2 in the
    // clear shows no name: there the address tells.
    let name = |index: usize| format!("cell{index}.p{pid}.clients.test");
    let watch = |(index, (cell, relay)): (usize, (&cell::Cell, &Option<relay::Relay>))| {
        let addresses = relay.iter().filter(|_| cell.tls.is_none());
        let addresses = addresses.map(|relay| SocketAddr::new(cell.address.ip(), relay.port));
        EndpointConfig {
            addresses: addresses.collect(),
            ..endpoint(&format!("cell{index}"), &name(index))
        }
    };
    let watched: Vec<_> = cells.iter().zip(&relays).enumerate().map(watch).collect();
    let Some(lab) = Lab::open(&watched, Unlisted::Drop) else { return };
    let servers = Servers::start(&lab, &folder, &format!("*.p{pid}.clients.test"));

    let mut rows = Vec::new();
    for (index, (cell, relay)) in cells.iter().zip(&relays).enumerate() {
        let job = servers.job(cell, name(index), relay.as_ref());
        let answered = programs.run(cell.client, &job);
        assert_eq!(answered, job.exchanges(), "{cell:?}: answered");
        let sent = servers.sent(cell, &job, relay.as_ref());
        let seen = Seen::wait(&lab, &format!("cell{index}"), sent.connections);
        rows.push(Row { cell: *cell, sent, seen });
    }
    println!("{}", program::versions());
    table::print(&rows);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    rows.iter().for_each(Row::check);
    drop(servers);
    fs::remove_dir_all(&folder).expect("removes");
}
