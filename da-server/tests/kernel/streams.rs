//! What happens within a response: gaps between its arrivals, bytes that wait to be read, and its end
//! on a connection that stays open.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use da_server::kernel::{KernelConfig, SeenExchange, Unlisted, What};
use da_standin::{Event, LogEntry, Options};

use crate::client::{Client, Tls, config};
use crate::lab::{Lab, endpoint};

const NAME: &str = "streams.kernel.test";
const LABELS: &str = "kind=\"llm\",provider=\"streams\"";

fn count(lab: &Lab, family: &str) -> f64 {
    lab.value(&format!("digital_actors_{family}_count{{{LABELS}}}"))
}

fn sum(lab: &Lab, family: &str) -> f64 {
    lab.value(&format!("digital_actors_{family}_sum{{{LABELS}}}"))
}

#[test]
fn every_gap_of_a_stream_is_in_its_bucket() {
    const CHUNKS: usize = 8;
    /// As far above the edge of the bucket as that is above no gap at all: a busy machine may hand each
    /// chunk over late.
    const GAP_MS: u64 = 500;
    let Some(mut lab) = Lab::open(&[endpoint("streams", NAME)], Unlisted::Drop) else { return };
    let standin = lab.standin(Options { names: vec![NAME.to_owned()], ..Options::default() });
    let tls = config(standin.ca_pem(), Tls::V13);
    let mut client = Client::connect(standin.addr(), NAME, Some(&tls));
    client.handshake().expect("a handshake");
    let plan = format!(r#"{{"chunks":{CHUNKS},"between_chunks_ms":{GAP_MS}}}"#);
    // Where tickets come late the first response is doubtful, and has no gaps: there it pauses nowhere.
    for (plan, last) in [("{}", false), (&*plan, false), (&*plan, true)] {
        assert!(client.exchange(NAME, plan, last).starts_with(b"HTTP/1.1 200"));
    }
    client.close();
    lab.wait_closed(1);
    let mut written = standin.log();
    written.retain(|entry| matches!(entry.event, Event::Chunk { .. }));
    lab.runtime.block_on(standin.stop());
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());

    // Chunks that are written at once may arrive at once; those some time apart do not.
    let apart = |pair: &&[LogEntry]| {
        let (Event::Chunk { exchange: one, .. }, Event::Chunk { exchange: next, .. }) =
            (&pair[0].event, &pair[1].event)
        else {
            return false;
        };
        one == next && pair[1].t_ns - pair[0].t_ns > 490_000_000
    };
    let paused = written.windows(2).filter(apart).count();
    assert!(paused >= 2 * (CHUNKS - 1), "{paused}: the stand-in did not pause");
    let below = lab
        .value(&format!("digital_actors_socket_chunk_gap_seconds_bucket{{{LABELS},le=\"0.25\"}}"));
    let long = count(&lab, "socket_chunk_gap_seconds") - below;
    assert_eq!(long, paused as f64, "gaps of {GAP_MS} ms");
    // What arrives within a response spans it, whatever the scheduler did to each gap.
    let (gaps, responses) =
        (sum(&lab, "socket_chunk_gap_seconds"), sum(&lab, "socket_response_seconds"));
    assert!((gaps - responses).abs() < 1e-6, "gaps {gaps} s, responses {responses} s");
}

/// A server that answers each request in two writes, with a pause between them.
fn serve_in_two(
    pause: impl Fn() + Send + 'static,
    requests: usize,
) -> (TcpStream, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let socket = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
    let server = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("a client");
        peer.set_nodelay(true).expect("no delay");
        for _ in 0..requests {
            let mut request = [0; 512];
            assert_ne!(peer.read(&mut request).expect("reads"), 0);
            peer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nfour").expect("writes");
            pause();
            peer.write_all(b"more").expect("writes");
        }
        let _ = peer.read(&mut [0; 1]);
    });
    (socket, server)
}

fn request() -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nhost: {NAME}\r\n\r\n").into_bytes()
}

/// By the client's clock, ns: when something had arrived at the latest, and its first read.
struct FirstRead {
    arrived_before_ns: u64,
    from_ns: u64,
    to_ns: u64,
}

#[test]
fn bytes_that_wait_to_be_read() {
    const REQUESTS: usize = 10;
    let Some(mut lab) = Lab::open(&[endpoint("streams", NAME)], Unlisted::Drop) else { return };
    let (go_on, pause) = channel();
    let pause = move || pause.recv().expect("the client goes on");
    let (mut socket, server) = serve_in_two(pause, REQUESTS);
    let mut reads = Vec::new();
    let mut buffer = [0; 256];
    for _ in 0..REQUESTS {
        socket.write_all(&request()).expect("writes");
        // Busy with something else while the first half waits; it is read in pieces, then the rest.
        socket.peek(&mut buffer).expect("peeks");
        let arrived_before_ns = da_standin::now_ns();
        std::thread::sleep(Duration::from_millis(10));
        let from_ns = da_standin::now_ns();
        assert_eq!(socket.read(&mut buffer[..5]).expect("reads"), 5);
        reads.push(FirstRead { arrived_before_ns, from_ns, to_ns: da_standin::now_ns() });
        assert_eq!(socket.read(&mut buffer).expect("reads"), 37);
        go_on.send(()).expect("the server waits");
        assert_eq!(socket.read(&mut buffer).expect("reads"), 4);
    }
    drop(socket);
    server.join().expect("the server");
    lab.wait_closed(1);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    // Two times per response bytes came into an empty buffer: one sample each.
    assert_eq!(count(&lab, "socket_pickup_seconds"), 2.0 * REQUESTS as f64);
    for one in lab.close() {
        let What::Exchange(seen) = one.what else { continue };
        let SeenExchange { number, arrivals_ns, first_pickup, .. } = *seen;
        let pickup = first_pickup.expect("something was read");
        let read = &reads[number as usize - 1];
        assert!(read.from_ns < pickup.read_ns && pickup.read_ns < read.to_ns, "during the read");
        assert_eq!(pickup.read_ns - arrivals_ns[0], pickup.waited_ns, "since the first arrival");
        let (slept_ns, waited_ns) = (read.from_ns - read.arrived_before_ns, pickup.waited_ns);
        assert!(waited_ns > slept_ns, "{waited_ns} ns, the client slept for {slept_ns} ns");
    }
}

#[test]
fn the_last_exchange_of_an_idle_connection() {
    let settings = KernelConfig { silence_seconds: 1, ..KernelConfig::default() };
    let watched = [endpoint("streams", NAME)];
    let Some(mut lab) = Lab::with(&settings, &watched, Unlisted::Drop) else { return };
    let (mut socket, server) = serve_in_two(|| std::thread::sleep(Duration::from_millis(20)), 2);
    let ok =
        "digital_actors_socket_exchanges_total{kind=\"llm\",outcome=\"ok\",provider=\"streams\"}";
    let mut exchange = || {
        socket.write_all(&request()).expect("writes");
        let mut response = [0; 46];
        socket.read_exact(&mut response).expect("reads");
    };
    exchange();
    assert_eq!(lab.value(ok), 0.0, "not over yet");
    let deadline = Instant::now() + Duration::from_secs(30);
    while lab.value(ok) < 1.0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(lab.value(ok), 1.0, "counted while the connection is open");
    assert_eq!(count(&lab, "socket_chunk_gap_seconds"), 1.0);
    exchange();
    drop(socket);
    server.join().expect("the server");
    lab.wait_closed(1);
    assert_eq!(lab.value(ok), 2.0, "and not once more");
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
}

#[test]
fn waits_of_a_client_that_sends_meanwhile() {
    const CHUNKS: usize = 20;
    let Some(mut lab) = Lab::open(&[endpoint("streams", NAME)], Unlisted::Drop) else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let mut socket = TcpStream::connect(at).expect("connects");
    let (mut peer, _) = listener.accept().expect("a client");
    peer.set_nodelay(true).expect("no delay");
    socket.write_all(&request()).expect("writes");
    for _ in 0..CHUNKS {
        peer.write_all(b"four").expect("writes");
        // It is there, the client sends something else, and only then reads it.
        while socket.peek(&mut [0; 4]).expect("peeks") < 4 {}
        socket.write_all(&request()).expect("writes");
        assert_eq!(socket.read(&mut [0; 16]).expect("reads"), 4);
    }
    drop((socket, peer));
    lab.wait_closed(1);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    assert_eq!(count(&lab, "socket_pickup_seconds"), CHUNKS as f64);
}
