//! What became of connections that did not go well, and of connects that took long.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use da_server::kernel::{
    ConnectionOutcome, EndpointConfig, ExchangeOutcome, KernelConfig, Observation, SeenExchange,
    Unlisted, What,
};
use da_standin::{Fault, Options, Plan, TlsMode};

use crate::client::{Client, Tls, config, request};
use crate::lab::{self, Lab, endpoint};
use crate::report::Errors;

const NAME: &str = "outcomes.kernel.test";

fn connection_outcomes(seen: &[Observation]) -> Vec<ConnectionOutcome> {
    let outcome = |one: &Observation| match one.what {
        What::EndedUp(outcome) => Some(outcome),
        _ => None,
    };
    seen.iter().filter_map(outcome).collect()
}

fn exchange_outcomes(seen: &[Observation]) -> Vec<ExchangeOutcome> {
    let outcome = |one: &Observation| match one.what {
        What::Exchange(SeenExchange { measured, .. }) => Some(measured.outcome),
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
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let Some(mut lab) = Lab::open(&[at(address)], Unlisted::Drop) else { return };
    drop(TcpStream::connect(address).expect("connects"));
    drop(listener.accept());
    drop(listener);
    TcpStream::connect(address).expect_err("nobody listens");
    lab.wait_closed(2);
    let outcomes = connection_outcomes(&lab.close());
    assert_eq!(outcomes, [ConnectionOutcome::Unused, ConnectionOutcome::Refused]);
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
                      {endpoint=\"outcomes\",kind=\"llm\"}";
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

#[test]
fn connects_that_wait_for_a_full_backlog() {
    const WAITING: usize = 3;
    let Some(mut lab) = Lab::open(&[endpoint("outcomes", NAME)], Unlisted::Drop) else { return };
    let standin =
        lab.standin(Options { names: vec![NAME.to_owned()], backlog: 0, ..Options::default() });
    let (to, config) = (standin.addr(), config(standin.ca_pem(), Tls::V13));
    standin.pause_accept();
    // Fills the backlog; what comes after it is dropped by the kernel and sent again after 1 s.
    let filler = TcpStream::connect(to).expect("fits");
    let slow = || {
        let mut client = Client::connect(to, NAME, Some(&config));
        client.handshake().expect("a handshake");
        let connect = (client.local, client.connect_ns);
        assert!(client.exchange(NAME, r#"{"first_byte_ms":5}"#, true).starts_with(b"HTTP"));
        client.close();
        connect
    };
    let connects: HashMap<SocketAddr, u64> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..WAITING).map(|_| scope.spawn(slow)).collect();
        std::thread::sleep(Duration::from_millis(300));
        standin.resume_accept();
        clients.into_iter().map(|client| client.join().expect("a client")).collect()
    });
    drop(filler);
    lab.wait_closed(WAITING);
    lab.runtime.block_on(standin.stop());
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let mut errors = Errors::default();
    for one in lab.close() {
        if let What::Connected { from_ns, to_ns } = one.what {
            let connect_ns = connects[&one.local];
            assert!(connect_ns > 500_000_000, "the backlog was not full: {connect_ns} ns");
            errors.add(to_ns - from_ns, connect_ns);
        }
    }
    assert_eq!(errors.len(), WAITING);
    assert!(errors.within("connect over a full backlog", 1_000_000));
}

#[test]
fn a_full_map_is_counted_and_what_fits_is_measured() {
    let config = KernelConfig { max_connections: 4, ..lab::config() };
    let watched = [endpoint("outcomes", NAME)];
    let Some(mut lab) = Lab::with(&config, &watched, Unlisted::Drop) else { return };
    let standin = lab.standin(Options { names: vec![NAME.to_owned()], ..Options::default() });
    let tls = crate::client::config(standin.ca_pem(), Tls::V13);
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
