//! What became of connections that did not go well, and of connects that took long.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};

use da_server::kernel::{
    ConnectionOutcome, EndpointConfig, ExchangeOutcome, Observation, Unlisted, What,
};
use da_standin::{Fault, Options, Plan, TlsMode};
use da_testkit::programs::{are_there, skip};
use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, bind, ipproto, listen, shutdown, socket,
    socket_with,
};

use crate::client::{Client, Tls, config, request};
use crate::lab::{Lab, endpoint};
use crate::network::in_own_network;
use crate::plain;

const NAME: &str = "outcomes.kernel.test";

pub fn connection_outcomes(seen: &[Observation]) -> Vec<ConnectionOutcome> {
    let outcome = |one: &Observation| match one.what {
        What::EndedUp(outcome) => Some(outcome),
        _ => None,
    };
    seen.iter().filter_map(outcome).collect()
}

fn exchange_outcomes(seen: &[Observation]) -> Vec<ExchangeOutcome> {
    let outcome = |one: &Observation| match &one.what {
        What::Exchange(seen) => Some(seen.measured.outcome),
        _ => None,
    };
    seen.iter().filter_map(outcome).collect()
}

/// An endpoint that is known by its address: what a connect that fails can be told by.
fn at(address: SocketAddr) -> EndpointConfig {
    EndpointConfig { addresses: vec![address], ..endpoint("outcomes", NAME) }
}

#[test]
fn a_refused_connect_and_an_unused_connection() {
    let bound = |at: SocketAddr| {
        let (family, flags) = (AddressFamily::INET, SocketFlags::CLOEXEC);
        let socket = socket_with(family, SocketType::STREAM, flags, None).expect("a socket");
        set_socket_reuseport(&socket, true).expect("a port for two");
        bind(&socket, &at).expect("a port");
        socket
    };
    let listening = bound(([127, 0, 0, 1], 0).into());
    listen(&listening, 8).expect("listens");
    let listener = TcpListener::from(listening);
    let address = listener.local_addr().expect("an address");
    // Keeps the port from others, and does not listen.
    let silent = bound(address);
    let Some(mut lab) = Lab::open(&[at(address)], Unlisted::Drop) else { return };
    drop(TcpStream::connect(address).expect("connects"));
    drop(listener.accept());
    // Closing is not enough: a child that another test has just forked has the socket, too, until it is another
    // program.
    shutdown(&listener, Shutdown::Both).expect("no listener any more");
    TcpStream::connect(address).expect_err("nobody listens");
    drop((listener, silent));
    lab.wait_closed(2);
    let outcomes = connection_outcomes(&lab.close());
    assert_eq!(outcomes, [ConnectionOutcome::Unused, ConnectionOutcome::Refused]);
}

#[test]
fn a_connect_without_a_local_port_is_not_one_that_was_given_up() {
    if !are_there(&["ip"]) {
        return;
    }
    // Of the namespace below.
    let address = SocketAddr::from(([127, 0, 0, 1], 7_000));
    let Some(mut lab) = Lab::open(&[at(address)], Unlisted::Drop) else { return };
    in_own_network(|| {
        let ports = |range| std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range);
        let listener = TcpListener::bind(address).expect("a port");
        // One finds room; the SYN of another is dropped, and it goes on connecting.
        rustix::net::listen(&listener, 0).expect("listens");
        ports("40000 40000").expect("one port");
        let first = TcpStream::connect(address).expect("connects");
        let error = TcpStream::connect(address).expect_err("there is no port");
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        ports("40000 40009").expect("more ports");
        let flags = SocketFlags::NONBLOCK;
        let given_up = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
        let given_up = given_up.expect("a socket");
        let under_way = rustix::net::connect(&given_up, &address).expect_err("not at once");
        assert_eq!(under_way, rustix::io::Errno::INPROGRESS);
        drop(given_up);
        drop((first, listener));
    });
    lab.wait_closed(3);
    let outcomes = connection_outcomes(&lab.close());
    let (no_port, cancelled) = (ConnectionOutcome::NoLocalPort, ConnectionOutcome::Cancelled);
    assert_eq!(outcomes, [no_port, cancelled, ConnectionOutcome::Unused]);
}

/// Its sends happen on another socket than its segments.
#[test]
fn a_connection_over_mptcp_is_not_unused() {
    let address = plain::serve("127.0.0.1:0");
    let Ok(mptcp) = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::MPTCP)) else {
        return skip("this kernel has no MPTCP");
    };
    let Some(mut lab) = Lab::open(&[at(address)], Unlisted::Drop) else { return };
    rustix::net::connect(&mptcp, &address).expect("connects");
    let mut connection = TcpStream::from(mptcp);
    for _ in 0..2 {
        plain::exchange(&mut connection, NAME);
    }
    drop(connection);
    lab.wait_closed(1);
    let seen = lab.close();
    assert_eq!(connection_outcomes(&seen), [ConnectionOutcome::Ok]);
    assert_eq!(exchange_outcomes(&seen), [ExchangeOutcome::Ambiguous]);
}

#[test]
fn a_handshake_that_fails() {
    let Some(mut lab) = Lab::open(&[endpoint("outcomes", NAME)], Unlisted::Drop) else { return };
    let plan = Plan { fault: Some(Fault::BadHandshake), ..Plan::default() };
    let standin = lab.standin(Options { names: vec![NAME.to_owned()], plan, ..Options::default() });
    let config = config(standin.ca_pem(), Tls::V13);
    let mut client = Client::connect(standin.addr(), NAME, Some(&config));
    client.handshake().expect_err("an alert");
    client.close();
    lab.wait_closed(1);
    lab.runtime.block_on(standin.stop());
    let handshakes = "digital_actors_socket_tls_handshake_seconds_count\
                      {kind=\"llm\",provider=\"outcomes\"}";
    assert_eq!(lab.value(handshakes), 0.0);
    assert_eq!(connection_outcomes(&lab.close()), [ConnectionOutcome::TlsFailed]);
}

#[test]
fn responses_that_never_come_or_break_off() {
    let Some(mut lab) = Lab::open(&[endpoint("outcomes", NAME)], Unlisted::Drop) else { return };
    let standin = lab.standin(Options {
        names: vec![NAME.to_owned()],
        tls: TlsMode::V12,
        ..Options::default()
    });
    let config = config(standin.ca_pem(), Tls::V12);
    let talk = |plan: &str, give_up: bool| {
        let mut client = Client::connect(standin.addr(), NAME, Some(&config));
        client.handshake().expect("a handshake");
        client.send(&request(NAME, plan, false));
        if give_up {
            // The server takes leave as well, and that is all that it answers.
            client.take_leave();
        } else {
            client.receive();
            client.close();
        }
    };
    talk(r#"{"fault":{"kind":"hang"}}"#, true);
    talk(r#"{"fault":{"kind":"reset_before_first_token"}}"#, false);
    talk(
        r#"{"fault":{"kind":"reset_after_first_token","after_chunks":2},"between_chunks_ms":5}"#,
        false,
    );
    lab.wait_closed(3);
    lab.runtime.block_on(standin.stop());
    let outcomes = exchange_outcomes(&lab.close());
    assert_eq!(
        outcomes,
        [ExchangeOutcome::NoResponse, ExchangeOutcome::Reset, ExchangeOutcome::Reset]
    );
}
