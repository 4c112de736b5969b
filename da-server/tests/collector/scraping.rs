//! Scrapers that ask for more than they read: what others get meanwhile, and what becomes of them.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::program::{Program, get};

/// Each asks again and again on a connection of its own.
const GREEDY: usize = 64;

/// A scraper that sends one request after the other and never reads.
struct Greedy {
    socket: TcpStream,
    /// The rest of a request of which the socket took a part.
    rest: &'static [u8],
}

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";

impl Greedy {
    fn connect(to: SocketAddr) -> Self {
        let socket = TcpStream::connect(to).expect("connects");
        socket.set_nonblocking(true).expect("non-blocking");
        Self { socket, rest: REQUEST }
    }

    /// Sends what the socket takes, a few thousand requests at most; whether it is still open.
    fn ask(&mut self) -> bool {
        for _ in 0..4_000 {
            match self.socket.write(self.rest) {
                Ok(sent) if sent < self.rest.len() => self.rest = &self.rest[sent..],
                Ok(_) => self.rest = REQUEST,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }
}

/// The shortest time of a few tries: what it takes where nothing but the server is in the way.
fn shortest(of: impl Fn()) -> Duration {
    let time = |_| {
        let begun = Instant::now();
        of();
        begun.elapsed()
    };
    (0..5).map(time).min().expect("some tries")
}

#[test]
fn those_that_never_read_keep_nobody_else_from_it_and_are_let_go() {
    let collector = Program::start(&["collect"], "", |command| {
        command.env("DA_KERNEL__ENABLED", "false");
    });
    let at = collector.listens(1)[0];
    let ask = |path: &str| assert_eq!(get(at, path, "").0, 200, "{path}");
    let undisturbed = shortest(|| ask("/metrics"));
    let mut greedy: Vec<_> = (0..GREEDY).map(|_| Greedy::connect(at)).collect();
    assert!(greedy.iter_mut().all(Greedy::ask), "nobody is sent away for asking");

    let disturbed = ["/health", "/metrics"].map(|path| shortest(|| ask(path)));
    println!("undisturbed {undisturbed:?}, /health and /metrics {disturbed:?}");
    // One after the other they would be as many times as slow.
    let bound = undisturbed * (GREEDY as u32 / 2);
    assert!(disturbed.iter().all(|time| *time < bound), "{disturbed:?}, not within {bound:?}");

    let deadline = Instant::now() + Duration::from_secs(60);
    while !greedy.is_empty() {
        assert!(Instant::now() < deadline, "{} are still there", greedy.len());
        std::thread::sleep(Duration::from_millis(100));
        greedy.retain_mut(Greedy::ask);
    }
    ask("/metrics");
}
