//! HTTP clients of several makes against the kernel view: what each cell of client × TLS × protocol
//! sent, by the server's own log, and what was counted of it.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

use da_server::kernel::{EndpointConfig, Unlisted};

use crate::clients::cell;
use crate::clients::program::{self, Programs};
use crate::clients::seen::Seen;
use crate::clients::servers::{self, Sent, Servers};
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

    let sent = |index: usize| {
        let (cell, relay) = (&cells[index], relays[index].as_ref());
        let job = servers.job(cell, name(&label(index)), relay);
        let answered = programs.run(cell.client, &job);
        assert_eq!(answered, job.exchanges(), "{cell:?}: answered");
        servers.sent(cell, &job, relay)
    };
    // Two at once: for most of the time each waits.
    let every_other = |first| (first..cells.len()).step_by(2).map(|index| (index, sent(index)));
    let sent: BTreeMap<usize, Sent> = thread::scope(|scope| {
        let working = [0, 1].map(|first| {
            let every_other = &every_other;
            scope.spawn(move || every_other(first).collect::<Vec<_>>())
        });
        working.into_iter().flat_map(|one| one.join().expect("a cell")).collect()
    });
    let row = |(index, sent): (usize, Sent)| {
        let labels = format!(",provider=\"{}\"", label(index));
        let seen = Seen::wait(|| lab.metrics(), &labels, sent.connections);
        Row { cell: cells[index], sent, seen }
    };
    let rows: Vec<_> = sent.into_iter().map(row).collect();
    println!("{}", program::versions());
    table::print(&rows);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    rows.iter().for_each(Row::check);
    drop(servers);
    fs::remove_dir_all(&folder).expect("removes");
}
