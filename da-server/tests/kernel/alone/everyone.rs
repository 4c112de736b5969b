//! Everyone's connections: views that follow them all, and more of them than there is room for.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use da_server::kernel::{KernelConfig, Observation, Unlisted, What};
use da_standin::Options;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::attribution::{exchanges, talk};
use crate::client::{self, Client, Tls};
use crate::lab::{Lab, config, endpoint};
use crate::outcomes::connection_outcomes;
use crate::turns::alone;

const NAME: &str = "full.kernel.test";

#[test]
fn an_unlisted_host_is_other_where_that_is_wanted() {
    let _alone = alone();
    let (listed, unlisted) = ("listed.kernel.test", "unlisted.kernel.test");
    let Some(mut lab) = Lab::open(&[endpoint("listed", listed)], Unlisted::Other) else { return };
    let names = vec![listed.to_owned(), unlisted.to_owned()];
    let standin = lab.standin(Options { names, ..Options::default() });
    talk(standin.addr(), standin.ca_pem(), Tls::V13, unlisted, 5);
    talk(standin.addr(), standin.ca_pem(), Tls::V13, listed, 3);
    lab.wait_closed(8);
    lab.runtime.block_on(standin.stop());
    assert_eq!(exchanges(&lab, "listed"), 3.0);
    // Other programs of this host may talk meanwhile, so not by the counter.
    let exchange_of_other = |one: &&da_server::kernel::Observation| {
        one.endpoint == "other" && matches!(one.what, What::Exchange(_))
    };
    assert_eq!(lab.seen().iter().filter(exchange_of_other).count(), 5);
}

#[test]
fn accepted_sockets_are_not_taken_for_connections() {
    let _alone = alone();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let client = TcpStream::connect(address).expect("connects");
    let (server, _) = listener.accept().expect("a client");
    // Where everything is of interest, nothing is left out because of its address.
    let Some(mut lab) = Lab::open(&[endpoint("existing", "existing.kernel.test")], Unlisted::Other)
    else {
        return;
    };
    server.shutdown(Shutdown::Both).expect("closed");
    drop((client, server));
    lab.wait_closed(1);
    std::thread::sleep(Duration::from_millis(200));
    let of = |one: &&Observation| one.local == address || one.remote == address;
    let seen = lab.close();
    let seen: Vec<_> = seen.iter().filter(of).collect();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].remote, address);
    assert!(matches!(seen[0].what, What::Closed { .. }));
}

#[test]
fn more_older_connections_than_there_is_room_for() {
    let _alone = alone();
    const CONNECTIONS: usize = 1_500;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("descriptors");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    // Nobody accepts them.
    rustix::net::listen(&listener, 2 * CONNECTIONS as i32).expect("listens");
    let connect = |_| TcpStream::connect(address).expect("connects");
    let connections: Vec<_> = (0..CONNECTIONS).map(connect).collect();
    let config = KernelConfig { max_connections: 512, ..config() };
    let watched = [endpoint("existing", "existing.kernel.test")];
    let Some(lab) = Lab::with(&config, &watched, Unlisted::Drop) else { return };
    let found = lab.value("digital_actors_ebpf_events_total{event=\"existing\"}");
    println!("{CONNECTIONS} older connections: {found} found on this host");
    assert!(found >= CONNECTIONS as f64, "{found}");
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let entries = lab.value("digital_actors_ebpf_map_entries{map=\"connections\"}");
    assert!(entries < 100.0, "{entries} were not forgotten");
    drop(connections);
}

#[test]
fn a_full_map_is_counted_and_what_fits_is_measured() {
    let _alone = alone();
    let config = KernelConfig { max_connections: 4, ..config() };
    let watched = [endpoint("full", NAME)];
    let Some(mut lab) = Lab::with(&config, &watched, Unlisted::Drop) else { return };
    let standin = lab.standin(Options { names: vec![NAME.to_owned()], ..Options::default() });
    let tls = client::config(standin.ca_pem(), Tls::V13);
    let full = |lab: &Lab| lab.value("digital_actors_ebpf_lost_total{reason=\"connections_full\"}");
    let before = full(&lab);
    let open: Vec<_> = (0..12)
        .map(|_| {
            let mut client = Client::connect(standin.addr(), NAME, Some(&tls));
            client.handshake().expect("a handshake");
            client
        })
        .collect();
    let full = full(&lab) - before;
    open.into_iter().for_each(Client::close);
    lab.runtime.block_on(standin.stop());
    assert!(full >= 8.0, "{full} of 8 or more connections that did not fit were counted");
    lab.wait_closed(4);
    // Other processes' connections may take a place, or be left out as well.
    let measured = connection_outcomes(&lab.close()).len() as f64;
    assert!((1.0..=4.0).contains(&measured), "{measured} of 12 found room for 4");
    assert!(full >= 12.0 - measured, "{full} counted, {measured} of 12 measured");
}
