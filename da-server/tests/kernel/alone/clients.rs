//! HTTP clients of several makes against the kernel view: what each cell of client × TLS × protocol
//! sent, by the server's own log, and what was counted of it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use da_server::kernel::{EndpointConfig, Unlisted};

use crate::clients::cell;
use crate::clients::program::{self, Programs};
use crate::clients::seen::Seen;
use crate::clients::servers::{self, Servers};
use crate::clients::table::{self, Row};
use crate::lab::{Lab, endpoint};
use crate::turns::undisturbed;
use da_testkit::programs::skip;

#[test]
fn every_client_is_counted_right() {
    let _alone = undisturbed();
    let pid = std::process::id();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("clients-{pid}"));
    fs::create_dir_all(&folder).expect("a folder");
    let programs = match Programs::new(&folder) {
        Ok(programs) => programs,
        Err(missing) => return skip(&missing),
    };
    let cells = cell::all();
    let relays: Vec<_> = cells.iter().map(|cell| servers::relay(cell, &folder)).collect();
    // An endpoint for each cell. HTTP/2 in the clear shows no name: there the address tells.
    let label = |cell: usize| format!("cell{cell}");
    let name = |label: &str| format!("{label}.clients.test");
    let mut watched = Vec::new();
    for (index, (cell, relay)) in cells.iter().zip(&relays).enumerate() {
        let known = relay.iter().filter(|_| cell.tls.is_none());
        let addresses = known.map(|relay| SocketAddr::new(cell.address.ip(), relay.port));
        let label = label(index);
        let endpoint = endpoint(&label, &name(&label));
        watched.push(EndpointConfig { addresses: addresses.collect(), ..endpoint });
    }
    let Some(lab) = Lab::open(&watched, Unlisted::Drop) else { return };
    let servers = Servers::start(&lab, &folder, "*.clients.test");

    let mut rows = Vec::new();
    for (index, (cell, relay)) in cells.iter().zip(&relays).enumerate() {
        let label = label(index);
        let job = servers.job(cell, name(&label), relay.as_ref());
        let answered = programs.run(cell.client, &job);
        assert_eq!(answered, job.exchanges(), "{cell:?}: answered");
        let sent = servers.sent(cell, &job, relay.as_ref());
        let labels = format!(",provider=\"{label}\"");
        let seen = Seen::wait(|| lab.metrics(), &labels, sent.connections);
        rows.push(Row { cell: *cell, sent, seen });
    }
    println!("{}", program::versions());
    table::print(&rows);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    rows.iter().for_each(Row::check);
    drop(servers);
    fs::remove_dir_all(&folder).expect("removes");
}
