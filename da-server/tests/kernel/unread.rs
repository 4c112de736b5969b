//! Bytes that wait long to be read: beyond the end of their exchange, and in a read under way.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use da_server::kernel::{KernelConfig, Unlisted};

use crate::lab::{self, Lab, endpoint};
use crate::plain;
use crate::tcp_info;

const NAME: &str = "unread.kernel.test";
/// `TCP_CLOSE_WAIT`, include/net/tcp_states.h: the other side has closed its half.
const CLOSE_WAIT: u8 = 8;
const LABELS: &str = "kind=\"llm\",provider=\"unread\"";

fn value(lab: &Lab, series: &str) -> f64 {
    lab.value(&format!("digital_actors_socket_{series}"))
}

fn pickups(lab: &Lab) -> (f64, f64) {
    let of = |part| value(lab, &format!("pickup_seconds_{part}{{{LABELS}}}"));
    (of("count"), of("sum"))
}

/// A server that answers each request with so many writes of four bytes.
fn serve(requests: usize, writes: usize, pause: Duration) -> (TcpStream, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let socket = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
    let server = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("a client");
        peer.set_nodelay(true).expect("no delay");
        for _ in 0..requests {
            assert_ne!(peer.read(&mut [0; 512]).expect("reads"), 0);
            for _ in 0..writes {
                peer.write_all(b"four").expect("writes");
                std::thread::sleep(pause);
            }
        }
        let _ = peer.read(&mut [0; 1]);
    });
    (socket, server)
}

#[test]
fn a_read_that_waits_for_more_takes_what_came_first() {
    const WRITES: usize = 6;
    const RESPONSES: usize = 3;
    // So that each pause is a long gap.
    let settings = KernelConfig { long_gap_ms: 60, ..lab::config() };
    let watched = [endpoint("unread", NAME)];
    let Some(mut lab) = Lab::with(&settings, &watched, Unlisted::Drop) else { return };
    let pause = Duration::from_millis(100);
    let (mut socket, server) = serve(RESPONSES, WRITES, pause);
    let mut at_most = Duration::ZERO;
    for _ in 0..RESPONSES {
        let began = Instant::now();
        socket.write_all(&plain::request(NAME)).expect("writes");
        let mut response = [0_u8; 4 * WRITES];
        // SAFETY: the descriptor is open, and the buffer is as long as it is said to be.
        let read = unsafe {
            let buffer = response.as_mut_ptr().cast();
            libc::recv(socket.as_raw_fd(), buffer, response.len(), libc::MSG_WAITALL)
        };
        assert_eq!(usize::try_from(read), Ok(response.len()));
        at_most += began.elapsed();
    }
    drop(socket);
    server.join().expect("the server");
    lab.wait_closed(1);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let (count, seconds) = pickups(&lab);
    println!("{count} waits, {seconds} s, at most {at_most:?} by the client's clock");
    let long_gaps =
        |cause: &str| value(&lab, &format!("long_gap_seconds_count{{cause=\"{cause}\",{LABELS}}}"));
    let all = (RESPONSES * (WRITES - 1)) as f64;
    assert_eq!(long_gaps("provider"), all, "what it waited for was not there");
    assert_eq!(["client", "window", "network"].map(long_gaps), [0.0; 3]);
    assert_eq!(count, RESPONSES as f64, "one read each");
    // From the first write's arrival on; the writes after it are so far apart.
    let at_least = (RESPONSES * (WRITES - 1)) as f64 * pause.as_secs_f64();
    assert!(at_least < seconds && seconds < at_most.as_secs_f64(), "{seconds} s");
}

/// A client, and its server, which writes when the test has it write.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connects");
    let (server, _) = listener.accept().expect("a client");
    server.set_nodelay(true).expect("no delay");
    (client, server)
}

fn ask(client: &mut TcpStream, server: &mut TcpStream) {
    let request = plain::request(NAME);
    client.write_all(&request).expect("writes");
    server.read_exact(&mut vec![0; request.len()]).expect("reads");
}

/// Writes so many pieces of four bytes, and waits until the client could read them all.
fn answer(client: &TcpStream, server: &mut TcpStream, pieces: usize) {
    for _ in 0..pieces {
        server.write_all(b"four").expect("writes");
    }
    let mut buffer = [0; 64];
    while client.peek(&mut buffer[..4 * pieces]).expect("looks") < 4 * pieces {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_stall_beyond_the_end_of_its_exchange_counts_with_it() {
    const PIECES: usize = 4;
    let settings = KernelConfig { silence_seconds: 1, ..lab::config() };
    let watched = [endpoint("unread", NAME)];
    let Some(mut lab) = Lab::with(&settings, &watched, Unlisted::Drop) else { return };
    let ok = "exchanges_total{kind=\"llm\",outcome=\"ok\",provider=\"unread\"}";
    let clients = [0, 1, 2].map(|read_at_once| {
        let (mut client, mut server) = pair();
        ask(&mut client, &mut server);
        // In pieces, each of which had come into an empty buffer.
        for _ in 0..read_at_once {
            answer(&client, &mut server, 1);
            client.read_exact(&mut [0; 4]).expect("reads");
        }
        answer(&client, &mut server, PIECES - read_at_once);
        (client, server, 4 * (PIECES - read_at_once))
    });
    let stalled = Instant::now();
    let deadline = stalled + Duration::from_secs(30);
    while value(&lab, ok) < 3.0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(value(&lab, ok), 3.0, "counted while it waits to be read");
    assert_eq!(pickups(&lab).0, 3.0, "waits of those that had begun to read");
    let stall = stalled.elapsed();
    for (mut client, mut server, unread) in clients {
        client.read_exact(&mut [0; 16][..unread]).expect("reads");
        // One more exchange, in a single read; it reports the one before.
        ask(&mut client, &mut server);
        answer(&client, &mut server, PIECES);
        client.read_exact(&mut [0; 16]).expect("reads");
    }
    lab.wait_closed(3);
    assert_eq!(value(&lab, ok), 6.0);
    assert!(lab.losses().is_empty(), "{:?}", lab.losses());
    let (count, seconds) = pickups(&lab);
    println!("{count} waits, {seconds} s, three of them of {stall:?} at least");
    assert_eq!(count, 3.0 + 3.0 + 3.0, "at once, after the stall, of the second exchanges");
    assert!(seconds > 3.0 * stall.as_secs_f64(), "{seconds} s");
}

#[test]
fn a_read_that_takes_the_peers_end_as_well_has_waited_for_what_came_before_it() {
    let Some(mut lab) = Lab::open(&[endpoint("unread", NAME)], Unlisted::Drop) else { return };
    let (mut client, mut server) = pair();
    ask(&mut client, &mut server);
    server.write_all(plain::RESPONSE).expect("writes");
    drop(server);
    // The end comes once the kernel says so.
    let mut all = [0; 512];
    while tcp_info::of(&client).tcpi_state != CLOSE_WAIT {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(client.read(&mut all).expect("reads"), plain::RESPONSE.len());
    drop(client);
    lab.wait_closed(1);
    assert_eq!(pickups(&lab).0, 1.0, "{}", lab.metrics());
}
