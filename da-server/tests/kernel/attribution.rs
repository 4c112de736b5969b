//! Whose exchange it was: names on one address, unlisted hosts, IPv6.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use da_server::kernel::{ConnectionOutcome, KernelConfig, Observation, Unlisted, What};
use da_standin::{Options, TlsMode};
use da_testkit::programs::are_there;

use crate::client::{Client, Tls, config};
use crate::lab::{Lab, endpoint};
use crate::network::in_own_network;
use crate::plain;

const QUICK: &str = r#"{"first_byte_ms":5,"chunks":1}"#;

/// Exchanges counted for an endpoint, whatever their outcome.
pub fn exchanges(lab: &Lab, endpoint: &str) -> f64 {
    let label = format!(",provider=\"{endpoint}\"");
    let text = lab.metrics();
    let counts = text.lines().filter(|line| {
        line.starts_with("digital_actors_socket_exchanges_total{") && line.contains(&label)
    });
    counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// `count` connections with one exchange each.
pub fn talk(to: SocketAddr, ca_pem: &str, tls: Tls, name: &str, count: usize) {
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
    let foreign: Vec<_> = sockets.filter(|line| !line.contains("provider=\"listed\"")).collect();
    assert!(foreign.is_empty(), "{foreign:#?}");
    lab.runtime.block_on(standin.stop());
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
    let deadline = Instant::now() + Duration::from_secs(60);
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

/// Answers whatever comes, connection after connection.
fn answer_all(listener: TcpListener) {
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut buffer = [0; 512];
            while let Ok(1..) = socket.read(&mut buffer) {
                let _ = socket.write_all(plain::RESPONSE);
            }
        }
    });
}

/// A connection on which `first` is sent and something answered.
fn say(to: SocketAddr, first: &[u8]) {
    let mut socket = TcpStream::connect(to).expect("connects");
    socket.write_all(first).expect("writes");
    plain::receive(&mut socket);
}

/// A protocol that shows no name.
const NAMELESS: &[u8] = &[5, 1, 0];

#[test]
fn a_proxys_address_is_not_taken_for_its_targets() {
    let name = "proxied.kernel.test";
    let Some(mut lab) = Lab::open(&[endpoint("proxied", name)], Unlisted::Drop) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = listener.local_addr().expect("an address");
    answer_all(listener);
    let asked = format!("GET http://{name}/ HTTP/1.1\r\nhost: {name}\r\n\r\n");
    say(proxy, asked.as_bytes());
    lab.wait_closed(1);
    say(proxy, NAMELESS);
    say(proxy, NAMELESS);
    // What is there directly comes after these.
    say(plain::serve("127.0.0.1:0"), &plain::request(name));
    lab.wait_closed(2);
    assert_eq!(exchanges(&lab, "proxied"), 2.0, "that by name, and the last one");
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
}

#[test]
fn an_address_of_another_network_is_another_one() {
    if !are_there(&["ip"]) {
        return;
    }
    let name = "networks.kernel.test";
    let Some(mut lab) = Lab::open(&[endpoint("networks", name)], Unlisted::Drop) else { return };
    let address = SocketAddr::from(([127, 0, 0, 1], 7_443));
    let serve = || answer_all(TcpListener::bind(address).expect("a port"));
    in_own_network(|| {
        serve();
        say(address, &plain::request(name));
        lab.wait_closed(1);
        say(address, NAMELESS);
        lab.wait_closed(2);
    });
    assert_eq!(exchanges(&lab, "networks"), 2.0, "there the address is known");
    in_own_network(|| {
        serve();
        say(address, NAMELESS);
        say(address, &plain::request(name));
    });
    lab.wait_closed(3);
    assert_eq!(exchanges(&lab, "networks"), 3.0, "here it is not");
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
}
