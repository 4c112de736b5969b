//! Whose exchange it was: names on one address, unlisted hosts, IPv6.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use da_server::kernel::{ConnectionOutcome, KernelConfig, Observation, Unlisted, What};
use da_standin::{Options, TlsMode};

use crate::client::{Client, Tls, config};
use crate::lab::{Lab, endpoint};

const QUICK: &str = r#"{"first_byte_ms":5,"chunks":1}"#;

/// Exchanges counted for an endpoint, whatever their outcome.
fn exchanges(lab: &Lab, endpoint: &str) -> f64 {
    let prefix = format!("digital_actors_socket_exchanges_total{{endpoint=\"{endpoint}\",");
    let text = lab.metrics();
    let counts = text.lines().filter(|line| line.starts_with(&prefix));
    counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// `count` connections with one exchange each.
fn talk(to: SocketAddr, ca_pem: &str, tls: Tls, name: &str, count: usize) {
    let config = (tls != Tls::None).then(|| config(ca_pem, tls));
    for _ in 0..count {
        let mut client = Client::connect(to, name, config.as_ref());
        client.handshake().expect("a handshake");
        assert!(client.exchange(name, QUICK, true).starts_with(b"HTTP/1.1 200"));
        client.close();
    }
}

#[test]
fn two_names_on_one_address_are_two_endpoints() {
    let (one, two) = ("one.kernel.test", "two.kernel.test");
    let watched = [endpoint("one", one), endpoint("two", two)];
    let Some(mut lab) = Lab::open(&watched, Unlisted::Drop) else { return };
    for (mode, tls) in [(TlsMode::Both, Tls::V13), (TlsMode::Plain, Tls::None)] {
        let names = vec![one.to_owned(), two.to_owned()];
        let standin = lab.standin(Options { names, tls: mode, ..Options::default() });
        talk(standin.addr(), standin.ca_pem(), tls, one, 7);
        talk(standin.addr(), standin.ca_pem(), tls, two, 11);
        lab.runtime.block_on(standin.stop());
    }
    lab.wait_closed(2 * 18);
    assert_eq!(exchanges(&lab, "one"), 14.0);
    assert_eq!(exchanges(&lab, "two"), 22.0);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
}

#[test]
fn an_unlisted_host_is_counted_nowhere() {
    let (listed, unlisted) = ("listed.kernel.test", "unlisted.kernel.test");
    let Some(mut lab) = Lab::open(&[endpoint("listed", listed)], Unlisted::Drop) else { return };
    let names = vec![listed.to_owned(), unlisted.to_owned()];
    let standin = lab.standin(Options { names, ..Options::default() });
    talk(standin.addr(), standin.ca_pem(), Tls::V13, unlisted, 5);
    talk(standin.addr(), standin.ca_pem(), Tls::V13, listed, 3);
    lab.wait_closed(3);
    assert_eq!(exchanges(&lab, "listed"), 3.0);
    let text = lab.metrics();
    let sockets = text.lines().filter(|line| line.starts_with("digital_actors_socket_"));
    let foreign: Vec<_> = sockets.filter(|line| !line.contains("endpoint=\"listed\"")).collect();
    assert!(foreign.is_empty(), "{foreign:#?}");
    lab.runtime.block_on(standin.stop());
}

#[test]
fn an_unlisted_host_is_other_where_that_is_wanted() {
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
fn ipv6_and_v4_mapped_sockets() {
    let name = "six.kernel.test";
    let Some(mut lab) = Lab::open(&[endpoint("six", name)], Unlisted::Drop) else { return };
    let listen: SocketAddr = "[::]:0".parse().expect("an address");
    let standin =
        lab.standin(Options { listen, names: vec![name.to_owned()], ..Options::default() });
    let port = standin.addr().port();
    talk(SocketAddr::new("::1".parse().expect("::1"), port), standin.ca_pem(), Tls::V13, name, 4);
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().expect("mapped"), port);
    talk(mapped, standin.ca_pem(), Tls::V12, name, 4);
    lab.wait_closed(8);
    lab.runtime.block_on(standin.stop());
    assert_eq!(exchanges(&lab, "six"), 8.0);
    let connected: Vec<_> = lab
        .close()
        .into_iter()
        .filter(|one| matches!(one.what, What::Connected { .. }))
        .map(|one| one.remote.ip().to_string())
        .collect();
    assert_eq!(connected.iter().filter(|ip| *ip == "::1").count(), 4);
    assert_eq!(connected.iter().filter(|ip| *ip == "127.0.0.1").count(), 4);
}

#[test]
fn a_connection_that_shows_no_name_is_told_by_what_a_host_was_looked_up_to() {
    let config = KernelConfig { resolve: true, ..KernelConfig::default() };
    let watched = [endpoint("looked-up", "localhost")];
    let Some(mut lab) = Lab::with(&config, &watched, Unlisted::Drop) else { return };
    let lookups = "digital_actors_ebpf_name_lookups_total{result=\"resolved\"}";
    let deadline = Instant::now() + Duration::from_secs(10);
    while lab.value(lookups) == 0.0 {
        assert!(Instant::now() < deadline, "localhost was not looked up");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Nobody has to listen there; somebody may.
    let expected = match TcpStream::connect("127.0.0.1:443") {
        Ok(_) => ConnectionOutcome::Unused,
        Err(_) => ConnectionOutcome::Refused,
    };
    lab.wait_closed(1);
    let seen = lab.close();
    let ended_up = |one: &Observation| match one.what {
        What::EndedUp(outcome) => Some((one.endpoint.clone(), outcome)),
        _ => None,
    };
    let seen: Vec<_> = seen.iter().filter_map(ended_up).collect();
    assert_eq!(seen, [("looked-up".to_owned(), expected)]);
}
