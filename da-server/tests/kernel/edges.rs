//! What clients and servers do beside the usual: each of these was once counted wrongly.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use da_server::kernel::{ExchangeOutcome, Measured, SeenExchange, Unlisted, What};

use crate::client::{Client, Tls, config};
use crate::lab::{Lab, endpoint};

const NAME: &str = "edges.kernel.test";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn request() -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n\r\n").into_bytes()
}

/// A server of one connection.
fn serve(body: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let thread = std::thread::spawn(move || {
        let (socket, _) = listener.accept().expect("a client");
        socket.set_nodelay(true).expect("no delay");
        body(socket);
    });
    (at, thread)
}

/// The exchanges of this process, and that nothing was lost.
fn exchanges(mut lab: Lab, connections: usize) -> Vec<Measured> {
    lab.wait_closed(connections);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let measured = |what| match what {
        What::Exchange(SeenExchange { measured, .. }) => Some(measured),
        _ => None,
    };
    lab.close().into_iter().filter_map(|one| measured(one.what)).collect()
}

#[test]
fn a_client_that_closes_its_half_first() {
    let Some(mut lab) = Lab::open(&[endpoint("edges", NAME)], Unlisted::Drop) else { return };
    for _ in 0..10 {
        let (at, server) = serve(|mut socket| {
            let mut request = Vec::new();
            socket.read_to_end(&mut request).expect("reads");
            std::thread::sleep(Duration::from_millis(5));
            socket.write_all(RESPONSE).expect("writes");
        });
        let mut socket = TcpStream::connect(at).expect("connects");
        socket.write_all(&request()).expect("writes");
        socket.shutdown(Shutdown::Write).expect("half closed");
        socket.read_to_end(&mut Vec::new()).expect("reads");
        server.join().expect("the server");
    }
    lab.wait_closed(10);
    let bytes = |family: &str| {
        lab.value(&format!("digital_actors_socket_{family}{{endpoint=\"edges\",kind=\"llm\"}}"))
    };
    // The kernel counts a FIN as a byte.
    assert_eq!(bytes("sent_bytes_total"), 10.0 * request().len() as f64);
    assert_eq!(bytes("received_bytes_total"), 10.0 * RESPONSE.len() as f64);
    let outcomes: Vec<_> = exchanges(lab, 10).into_iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [ExchangeOutcome::Ok; 10]);
}

/// Over loopback an answer can be on its way back before the hook of its request has run.
#[test]
fn answers_as_fast_as_they_can_be() {
    const EXCHANGES: usize = 50_000;
    let Some(lab) = Lab::open(&[endpoint("edges", NAME)], Unlisted::Drop) else { return };
    let length = request().len();
    let (at, server) = serve(move |mut socket| {
        socket.set_nonblocking(true).expect("non-blocking");
        let mut buffer = vec![0; length];
        let mut filled = 0;
        loop {
            match socket.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(bytes) => filled += bytes,
                Err(_) => std::hint::spin_loop(),
            }
            if filled == length {
                socket.write_all(RESPONSE).expect("writes");
                filled = 0;
            }
        }
    });
    let mut socket = TcpStream::connect(at).expect("connects");
    socket.set_nodelay(true).expect("no delay");
    let (request, mut response) = (request(), vec![0; RESPONSE.len()]);
    for _ in 0..EXCHANGES {
        socket.write_all(&request).expect("writes");
        socket.read_exact(&mut response).expect("reads");
    }
    drop(socket);
    server.join().expect("the server");
    let counted = exchanges(lab, 1);
    let ok = counted.iter().filter(|one| one.outcome == ExchangeOutcome::Ok).count();
    println!("{EXCHANGES} exchanges without a pause: {} counted, {ok} ok", counted.len());
    assert_eq!((counted.len(), ok), (EXCHANGES, EXCHANGES));
}

#[test]
fn a_server_that_takes_leave_long_after_its_response() {
    let Some(lab) = Lab::open(&[endpoint("edges", NAME)], Unlisted::Drop) else { return };
    let key = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).expect("a certificate");
    let certificate = key.cert.der().clone();
    for tls in [Tls::V13, Tls::V12] {
        let server_key = key.signing_key.serialize_der().try_into().expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server_config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], server_key)
            .expect("a certificate");
        server_config.send_tls13_tickets = 0;
        for hangs_up in [false, true, false, true] {
            let server_config = Arc::new(server_config.clone());
            let (at, server) = serve(move |mut socket| {
                let mut tls = rustls::ServerConnection::new(server_config).expect("a server");
                let mut stream = rustls::Stream::new(&mut tls, &mut socket);
                let read = stream.read(&mut [0; 1024]).expect("reads");
                assert!(read > 0);
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(RESPONSE).expect("writes");
                std::thread::sleep(Duration::from_millis(200));
                tls.send_close_notify();
                tls.write_tls(&mut socket).expect("takes leave");
                if hangs_up {
                    let _ = socket.read(&mut [0]);
                }
            });
            let mut client = Client::connect(at, NAME, Some(&config(&key.cert.pem(), tls)));
            client.handshake().expect("a handshake");
            client.send(&request());
            assert_eq!(client.receive(), RESPONSE);
            client.wait_unread();
            if hangs_up {
                client.hang_up();
                server.join().expect("the server");
            } else {
                server.join().expect("the server");
                client.close();
            }
        }
    }
    let counted = exchanges(lab, 8);
    assert_eq!(counted.len(), 8);
    let timed: Vec<_> = counted.iter().filter_map(|one| one.response_ns).collect();
    assert!(timed.len() >= 6, "{counted:?}");
    // Nor does it matter whether that is read.
    assert!(counted.iter().all(|one| one.outcome != ExchangeOutcome::Aborted), "{counted:?}");
    assert!(timed.iter().all(|ns| *ns < 100_000_000), "the leave is part of a response: {timed:?}");
}

#[test]
fn an_answer_before_the_request_is_sent_whole() {
    const REQUESTS: usize = 5;
    let Some(lab) = Lab::open(&[endpoint("edges", NAME)], Unlisted::Drop) else { return };
    for _ in 0..REQUESTS {
        // It refuses the body on seeing the head, and takes it all the same.
        let (at, server) = serve(|mut socket| {
            let mut buffer = vec![0; 1 << 20];
            assert_ne!(socket.read(&mut buffer).expect("reads"), 0);
            socket
                .write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
                .expect("writes");
            std::thread::sleep(Duration::from_millis(20));
            while socket.read(&mut buffer).expect("reads") != 0 {}
        });
        let mut socket = TcpStream::connect(at).expect("connects");
        let head = format!("POST / HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: 10000000\r\n\r\n");
        let mut whole = head.into_bytes();
        whole.resize(whole.len() + 10_000_000, b'x');
        socket.write_all(&whole).expect("writes");
        socket.shutdown(Shutdown::Write).expect("half closed");
        socket.read_to_end(&mut Vec::new()).expect("reads");
        server.join().expect("the server");
    }
    let measured = exchanges(lab, REQUESTS);
    let outcomes: Vec<_> = measured.iter().map(|one| one.outcome).collect();
    assert_eq!(outcomes, [ExchangeOutcome::Ok; REQUESTS]);
}

/// On one host the server's kernel answers by a reset before the send that it answers has returned.
#[test]
fn a_request_to_a_server_that_has_closed() {
    const CONNECTIONS: usize = 5;
    let Some(lab) = Lab::open(&[endpoint("edges", NAME)], Unlisted::Drop) else { return };
    for _ in 0..CONNECTIONS {
        let (at, server) = serve(|mut socket| {
            assert_ne!(socket.read(&mut [0; 512]).expect("reads"), 0);
            socket.write_all(RESPONSE).expect("writes");
        });
        let mut socket = TcpStream::connect(at).expect("connects");
        socket.write_all(&request()).expect("writes");
        server.join().expect("the server");
        // To the end: the server is gone.
        socket.read_to_end(&mut Vec::new()).expect("reads");
        socket.write_all(&request()).expect("is sent");
    }
    let outcomes: Vec<_> = exchanges(lab, CONNECTIONS).iter().map(|one| one.outcome).collect();
    let each = [ExchangeOutcome::Ok, ExchangeOutcome::NoResponse];
    assert_eq!(outcomes, each.repeat(CONNECTIONS));
}
