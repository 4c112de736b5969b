//! Connections that were there before the programs.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use da_server::kernel::{ExchangeOutcome, Observation, Unlisted, What};
use da_standin::{Options, Standin, TlsMode};

use crate::client::{Client, Tls, config};
use crate::lab::{self, Lab, endpoint, endpoint_at};
use crate::plain::{self, RESPONSE, request};

const NAME: &str = "older.kernel.test";
const NAME_LABEL: &str = "provider=\"existing\"";
const LABELS: &str = "{kind=\"llm\",provider=\"existing\"}";

fn outcomes(seen: &[Observation]) -> Vec<ExchangeOutcome> {
    let outcome = |one: &Observation| match &one.what {
        What::Exchange(seen) => Some(seen.measured.outcome),
        _ => None,
    };
    seen.iter().filter_map(outcome).collect()
}

fn value(lab: &Lab, family: &str) -> f64 {
    lab.value(&format!("digital_actors_socket_{family}{LABELS}"))
}

/// It was neither opened nor connected in view.
fn assert_birth_is_absent(lab: &Lab) {
    let text = lab.metrics();
    for family in ["socket_connect_seconds", "socket_connections_total"] {
        let series = format!("digital_actors_{family}");
        let of_it = |line: &&str| line.starts_with(&series) && line.contains(NAME_LABEL);
        let line = text.lines().filter(of_it).find(|line| !line.ends_with(" 0"));
        assert_eq!(line, None);
    }
}

#[test]
fn in_the_clear_every_later_exchange_counts_and_no_earlier_one() {
    for (listen, connect) in
        [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "::ffff:127.0.0.1")]
    {
        let port = plain::serve(listen).port();
        let ip: IpAddr = connect.parse().expect("an address");
        let talk = || {
            let mut socket = TcpStream::connect((ip, port)).expect("connects");
            for _ in 0..3 {
                plain::exchange(&mut socket, NAME);
            }
            socket
        };
        let address = SocketAddr::new(ip.to_canonical(), port);
        let watched = endpoint_at("existing", NAME, address);
        let opened = Lab::after(talk, &lab::config(), &[watched], Unlisted::Drop);
        let Some((mut lab, mut socket)) = opened else { return };
        for _ in 0..5 {
            plain::exchange(&mut socket, NAME);
        }
        drop(socket);
        lab.wait_closed(1);
        assert_eq!(value(&lab, "sent_bytes_total"), 5.0 * request(NAME).len() as f64);
        assert_eq!(value(&lab, "received_bytes_total"), 5.0 * RESPONSE.len() as f64);
        assert_eq!(value(&lab, "first_byte_seconds_count"), 5.0);
        assert_birth_is_absent(&lab);
        assert!(lab.losses().is_empty(), "{:?}", lab.losses());
        let seen = lab.close();
        assert_eq!(outcomes(&seen), [ExchangeOutcome::Ok; 5], "{connect}");
        assert!(seen.iter().all(|one| one.pid == std::process::id() && !one.process.is_empty()));
        let opened = |one: &&Observation| {
            matches!(
                one.what,
                What::Connected { .. } | What::EndedUp(_) | What::HandshakeDone { .. }
            )
        };
        assert_eq!(seen.iter().filter(opened).count(), 0);
    }
}

#[test]
fn the_next_requests_host_tells_between_endpoints_that_share_an_address() {
    let address = plain::serve("127.0.0.1:0");
    let open = || TcpStream::connect(address).expect("connects");
    let (mut own, mut others, mut nobodys, silent) = (open(), open(), open(), open());
    let watched = [endpoint_at("existing", NAME, address), endpoint_at("b", "b.test", address)];
    let Some(mut lab) = Lab::open(&watched, Unlisted::Drop) else { return };
    for _ in 0..4 {
        plain::exchange(&mut own, NAME);
        plain::exchange(&mut others, "b.test");
        plain::exchange(&mut nobodys, "nobodys.test");
    }
    drop((own, others, nobodys, silent));
    lab.wait_closed(2);
    let losses = lab.losses();
    let of = |seen: &[Observation], name| {
        let of = seen.iter().filter(|one| one.endpoint == name).cloned();
        outcomes(&of.collect::<Vec<_>>())
    };
    let seen = lab.close();
    assert_eq!(of(&seen, "existing"), [ExchangeOutcome::Ok; 4]);
    assert_eq!(of(&seen, "b"), [ExchangeOutcome::Ok; 4]);
    assert_eq!(outcomes(&seen).len(), 8);
    // The one that never said whose it is.
    assert_eq!(losses, ["digital_actors_ebpf_lost_total{reason=\"ambiguous_address\"} 1"]);
}

#[test]
fn a_request_on_its_way_is_no_exchange() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let open =
        || (TcpStream::connect(address).expect("connects"), listener.accept().expect("one").0);
    let ((mut waiting, of_waiting), (mut sending, of_sending)) = (open(), open());
    let whole = request(NAME);
    let begin = || {
        waiting.write_all(&whole).expect("writes");
        sending.write_all(&whole[..9]).expect("writes");
    };
    let watched = endpoint_at("existing", NAME, address);
    let opened = Lab::after(begin, &lab::config(), &[watched], Unlisted::Drop);
    let Some((mut lab, ())) = opened else { return };
    sending.write_all(&whole[9..]).expect("writes");
    for server in [of_waiting, of_sending] {
        std::thread::spawn(move || plain::answer(server));
    }
    plain::receive(&mut sending);
    plain::exchange(&mut sending, NAME);
    plain::receive(&mut waiting);
    plain::exchange(&mut waiting, NAME);
    drop((waiting, sending));
    lab.wait_closed(2);
    assert_eq!(value(&lab, "sent_bytes_total"), (3 * whole.len() - 9) as f64);
    assert_eq!(value(&lab, "received_bytes_total"), 4.0 * RESPONSE.len() as f64);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let mut outcomes = outcomes(&lab.close());
    outcomes.sort_unstable_by_key(|outcome| outcome.as_str());
    // What was sent in part can't be told from a request of its own; it is not timed.
    assert_eq!(outcomes, [ExchangeOutcome::Ambiguous, ExchangeOutcome::Ok, ExchangeOutcome::Ok]);
}

#[test]
fn behind_tls_bytes_are_exact_and_exchanges_together_ambiguous() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (mode, tls) in [(TlsMode::Both, Tls::V13), (TlsMode::V12, Tls::V12)] {
        let options = Options { names: vec![NAME.to_owned()], tls: mode, ..Options::default() };
        let standin = runtime.block_on(Standin::start(options)).expect("a stand-in");
        let config = config(standin.ca_pem(), tls);
        let talk = |client: &mut Client, times| {
            for _ in 0..times {
                let response = client.exchange(NAME, r#"{"first_byte_ms":5}"#, false);
                assert!(response.starts_with(b"HTTP/1.1 200"));
            }
            client.transferred()
        };
        let begin = || {
            let mut client = Client::connect(standin.addr(), NAME, Some(&config));
            client.handshake().expect("a handshake");
            let transferred = talk(&mut client, 3);
            (client, transferred)
        };
        let watched = endpoint_at("existing", NAME, standin.addr());
        let opened = Lab::after(begin, &lab::config(), &[watched], Unlisted::Drop);
        let Some((mut lab, (mut client, before))) = opened else { return };
        let after = talk(&mut client, 5);
        // A close alert would be bytes, too.
        client.hang_up();
        lab.wait_closed(1);
        assert_eq!(value(&lab, "sent_bytes_total"), (after.0 - before.0) as f64);
        assert_eq!(value(&lab, "received_bytes_total"), (after.1 - before.1) as f64);
        for family in ["tls_handshake_seconds", "first_byte_seconds", "response_seconds"] {
            assert_eq!(value(&lab, &format!("{family}_count")), 0.0, "{family}");
        }
        assert_birth_is_absent(&lab);
        assert!(lab.losses().is_empty(), "{:?}", lab.losses());
        // How many they are does not show: it could be HTTP/2.
        assert_eq!(outcomes(&lab.close()), [ExchangeOutcome::Ambiguous], "{tls:?}");
        runtime.block_on(standin.stop());
    }
}

#[test]
fn a_handshake_in_view_on_a_connection_that_is_older() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = Options { names: vec![NAME.to_owned()], tls: TlsMode::V12, ..Options::default() };
    let standin = runtime.block_on(Standin::start(options)).expect("a stand-in");
    let config = config(standin.ca_pem(), Tls::V12);
    let mut client = Client::connect(standin.addr(), NAME, Some(&config));
    // By its name alone: nothing is known of the address.
    let watched = [endpoint("existing", NAME), endpoint_at("b", "b.test", standin.addr())];
    let Some(mut lab) = Lab::open(&watched, Unlisted::Drop) else { return };
    client.handshake().expect("a handshake");
    for _ in 0..4 {
        client.exchange(NAME, r#"{"first_byte_ms":5}"#, false);
    }
    client.close();
    lab.wait_closed(1);
    assert_eq!(value(&lab, "tls_handshake_seconds_count"), 1.0);
    assert_eq!(value(&lab, "first_byte_seconds_count"), 4.0);
    assert_birth_is_absent(&lab);
    assert_eq!(outcomes(&lab.close()), [ExchangeOutcome::Ok; 4]);
    runtime.block_on(standin.stop());
}

#[test]
fn a_connect_that_is_under_way_is_not_timed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    // Room for one; what comes after it is dropped by the kernel and sent again after 1 s.
    rustix::net::listen(&listener, 0).expect("listens");
    let connect = || {
        let filler = TcpStream::connect(address).expect("fits");
        let waiting = std::thread::spawn(move || TcpStream::connect(address).expect("connects"));
        std::thread::sleep(Duration::from_millis(100));
        (filler, waiting)
    };
    let watched = endpoint_at("existing", NAME, address);
    let opened = Lab::after(connect, &lab::config(), &[watched], Unlisted::Drop);
    let Some((mut lab, (filler, waiting))) = opened else { return };
    assert!(!waiting.is_finished(), "the backlog was not full");
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            plain::answer(listener.accept().expect("a client").0);
        }
    });
    drop(filler);
    let mut socket = waiting.join().expect("the client");
    for _ in 0..3 {
        plain::exchange(&mut socket, NAME);
    }
    drop(socket);
    server.join().expect("the server");
    lab.wait_closed(2);
    assert_birth_is_absent(&lab);
    assert_eq!(value(&lab, "sent_bytes_total"), 3.0 * request(NAME).len() as f64);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    assert_eq!(outcomes(&lab.close()), [ExchangeOutcome::Ok; 3]);
}
