//! A stream that a proxy collects is told from one that it passes on: nginx, where it compresses it, does so in blocks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use da_server::kernel::{ExchangeOutcome, Unlisted, What};
use da_testkit::nginx;
use da_testkit::program::Program;
use da_testkit::programs::are_there;

use crate::lab::{Lab, endpoint};
use crate::turns::in_real_time;

const NAME: &str = "buffered.kernel.test";
/// A model says something so often, and so much at once. Of that a block holds what comes in most of a second.
const BETWEEN: Duration = Duration::from_millis(30);
const PIECE_BYTES: usize = 1_800;
const PIECES: usize = 140;
/// However busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

/// Streams an answer to each connection, whatever it asks.
fn model() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let _ = socket.read(&mut [0; 4096]);
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                             transfer-encoding: chunked\r\n\r\n";
                if socket.write_all(head).is_err() {
                    return;
                }
                for number in 0..PIECES {
                    thread::sleep(BETWEEN);
                    let piece = format!("{PIECE_BYTES:x}\r\n{}\r\n", text(number));
                    if socket.write_all(piece.as_bytes()).is_err() {
                        return; // nobody listens any more
                    }
                }
                let _ = socket.write_all(b"0\r\n\r\n");
            });
        }
    });
    at
}

/// Hexadecimal digits that look as if by chance, so that compressing saves half of them and no more.
fn text(number: usize) -> String {
    let mut state = number as u64 + 1;
    let digits = (0..PIECE_BYTES / 8).map(|_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:08x}", state >> 32)
    });
    digits.collect()
}

/// nginx in front of it, which compresses at one port.
struct Proxy {
    _nginx: Program,
    collects: SocketAddr,
    passes_on: SocketAddr,
}

impl Proxy {
    fn start(model: SocketAddr, folder: &Path) -> Self {
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            listener.local_addr().expect("an address")
        };
        let (collects, passes_on) = (free(), free());
        let server = |at: SocketAddr, how: &str| {
            format!(
                "server {{ listen {at}; location / {{ proxy_pass http://{model}; \
                 proxy_http_version 1.1; {how} }} }}\n"
            )
        };
        let http = format!(
            "access_log off;\n{}{}",
            server(collects, "gzip on; gzip_types text/event-stream;"),
            server(passes_on, "gzip off;")
        );
        let command = nginx::command(folder, &http).expect("a configuration");
        let nginx = Program::start(command, &folder.join("nginx.log")).expect("nginx");
        Self { _nginx: nginx, collects, passes_on }
    }
}

fn ask(at: SocketAddr) {
    let deadline = Instant::now() + PATIENCE;
    let mut socket = loop {
        match TcpStream::connect(at) {
            Ok(socket) => break socket,
            Err(error) => assert!(Instant::now() < deadline, "nginx: {error}"),
        }
        thread::sleep(Duration::from_millis(10));
    };
    let request = format!("GET / HTTP/1.1\r\nhost: {NAME}\r\naccept-encoding: gzip\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("writes");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        let read = socket.read(&mut buffer).expect("reads");
        assert_ne!(read, 0, "it ends too soon");
        answer.extend_from_slice(&buffer[..read]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_stream_in_a_proxys_buffers_is_told_from_one_that_is_passed_on() {
    if !are_there(&["nginx"]) {
        return;
    }
    let Some(mut lab) = Lab::open(&[endpoint("buffered", NAME)], Unlisted::Drop) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Proxy::start(model(), folder.path());
    thread::scope(|scope| {
        for at in [proxy.collects, proxy.passes_on] {
            scope.spawn(move || {
                // Whoever reads late is the cause of what it waits for.
                let _ = in_real_time(1);
                ask(at);
            });
        }
    });
    let is_of_an_answer = |lab: &mut Lab| {
        let answers = lab.seen().iter().filter_map(|one| match &one.what {
            What::Exchange(seen) if seen.measured.outcome == ExchangeOutcome::Ok => {
                Some((one.remote, seen.is_buffered, seen.long_gaps.clone()))
            }
            _ => None,
        });
        answers.collect::<Vec<_>>()
    };
    let deadline = Instant::now() + PATIENCE;
    while is_of_an_answer(&mut lab).len() < 2 {
        assert!(Instant::now() < deadline, "{:?}", lab.seen());
        thread::sleep(Duration::from_millis(10));
    }
    for (remote, is_buffered, gaps) in is_of_an_answer(&mut lab) {
        assert_eq!(is_buffered, remote == proxy.collects, "{gaps:#?}");
    }
    let counted =
        "digital_actors_socket_buffered_responses_total{kind=\"llm\",provider=\"buffered\"}";
    assert_eq!(lab.value(counted), 1.0);
}
