//! Scrapers that ask for more than they read: what others get meanwhile, and what becomes of them.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use da_testkit::server::{ServerProgram, get};
use rustix::net::sockopt::set_socket_recv_buffer_size;

/// Each asks again and again on a connection of its own.
const GREEDY: usize = 64;

/// A scraper that sends one request after the other and never reads.
struct Greedy<'a> {
    socket: TcpStream,
    /// Requests, sent again and again.
    requests: &'a [u8],
    /// Those of which the socket has not taken all.
    rest: &'a [u8],
}

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// As few writes as that: all have asked long before the first of them is let go.
const REQUESTS_IN_A_WRITE: usize = 100;

impl<'a> Greedy<'a> {
    fn connect(to: SocketAddr, requests: &'a [u8]) -> Self {
        let socket = TcpStream::connect(to).expect("connects");
        // Or the kernels of both sides take megabytes before anybody has to wait.
        set_socket_recv_buffer_size(&socket, 4_096).expect("a small buffer");
        socket.set_nonblocking(true).expect("non-blocking");
        Self { socket, requests, rest: requests }
    }

    /// Sends what the socket takes, a few hundred requests at most; whether it is still open.
    fn ask(&mut self) -> bool {
        for _ in 0..4 {
            match self.socket.write(self.rest) {
                Ok(sent) if sent < self.rest.len() => self.rest = &self.rest[sent..],
                Ok(_) => self.rest = self.requests,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }
}

/// Rounds in which others must be served while every greedy scraper is still there. They are let go
/// after ten seconds at the earliest, in which time there are dozens of rounds.
const ROUNDS: usize = 5;

/// That one exposition is enough for all who wait, and is made beside the runtime, is counted in
/// src/http/scrape/tests.rs. This is about connections whose other end takes nothing.
#[test]
fn those_that_never_read_keep_nobody_else_from_it_and_are_let_go() {
    let collector = ServerProgram::start(&["collect"], "", |command| {
        command.env("DA_KERNEL__ENABLED", "false");
    });
    let at = collector.listens(1)[0];
    let ask = |path: &str| assert_eq!(get(at, path, "").0, 200, "{path}");
    let requests = REQUEST.repeat(REQUESTS_IN_A_WRITE);
    let mut greedy: Vec<_> = (0..GREEDY).map(|_| Greedy::connect(at, &requests)).collect();
    assert!(greedy.iter_mut().all(Greedy::ask), "nobody is sent away for asking");

    // Not how soon others are served, but that it is before any of these is let go.
    let mut served_beside_all = 0;
    let deadline = Instant::now() + Duration::from_secs(180);
    while !greedy.is_empty() {
        assert!(Instant::now() < deadline, "{} are still there", greedy.len());
        ask("/health");
        ask("/metrics");
        greedy.retain_mut(Greedy::ask);
        served_beside_all += usize::from(greedy.len() == GREEDY);
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("{served_beside_all} rounds beside all {GREEDY}");
    assert!(served_beside_all >= ROUNDS, "{served_beside_all} rounds: others wait for their end");
    ask("/metrics");
}
