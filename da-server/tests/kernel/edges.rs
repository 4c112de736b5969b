//! What clients and servers do beside the usual: each of these was once counted wrongly.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use da_server::kernel::{ExchangeOutcome, Hooks, Measured, SeenExchange, Unlisted, What};

use crate::lab::{Lab, endpoint, hooks};

pub const NAME: &str = "edges.kernel.test";
pub const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

pub fn request() -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n\r\n").into_bytes()
}

/// A server of one connection.
pub fn serve(body: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
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
pub fn exchanges(mut lab: Lab, connections: usize) -> Vec<Measured> {
    lab.wait_closed(connections);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let measured = |what| match what {
        What::Exchange(seen) => Some(seen.measured),
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
        lab.value(&format!("digital_actors_socket_{family}{{kind=\"llm\",provider=\"edges\"}}"))
    };
    // The kernel counts a FIN as a byte.
    assert_eq!(bytes("sent_bytes_total"), 10.0 * request().len() as f64);
    assert_eq!(bytes("received_bytes_total"), 10.0 * RESPONSE.len() as f64);
    let outcomes: Vec<_> = exchanges(lab, 10).into_iter().map(|one| one.outcome).collect();
    // Older hooks do not see it arrive any more. It counts when it is read, which may be any time later, or when
    // the server has closed as well.
    let older = hooks() == Hooks::Older;
    let may_be = |one| one == ExchangeOutcome::Ok || older && one == ExchangeOutcome::Doubtful;
    assert!(outcomes.len() == 10 && outcomes.iter().all(|one| may_be(*one)), "{outcomes:?}");
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
    let Some(mut lab) = Lab::open(&[endpoint("edges", NAME)], Unlisted::Drop) else { return };
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
    lab.wait_closed(CONNECTIONS);
    // The hooks of some of these sends may have come in time.
    let lost = lab.losses_but("unseen_send");
    assert!(lost.is_empty(), "{lost:?}");
    let mut outcomes = Vec::new();
    for one in lab.close() {
        if let What::Exchange(seen) = one.what {
            let SeenExchange { measured, request_thread, .. } = *seen;
            outcomes.push(measured.outcome);
            // SAFETY: the call takes nothing and returns a number.
            let own = unsafe { libc::gettid() }.cast_unsigned();
            assert!(request_thread == own || measured.outcome != ExchangeOutcome::Ok);
            assert!(request_thread == own || request_thread == 0, "nobody else has sent anything");
        }
    }
    let each = [ExchangeOutcome::Ok, ExchangeOutcome::NoResponse];
    assert_eq!(outcomes, each.repeat(CONNECTIONS));
}
