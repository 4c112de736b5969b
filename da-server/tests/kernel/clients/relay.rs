//! Stands between client and server and counts what passes: connections and bytes as they are on
//! the client's socket, whatever is spoken inside.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One connection that has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Bytes that the client sent.
    pub from_client: u64,
    /// Bytes written to the client.
    pub to_client: u64,
}

/// A listener on all addresses, both families.
pub struct Relay {
    /// Where it listens.
    pub port: u16,
    ended: Arc<Mutex<Vec<Passed>>>,
}

impl Relay {
    /// Leads to the Unix socket `to`, for as long as the process lives.
    pub fn start(to: PathBuf) -> Self {
        let listener = TcpListener::bind("[::]:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let ended = Arc::new(Mutex::new(Vec::new()));
        let relay = Self { port, ended: Arc::clone(&ended) };
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, ended) = (client.expect("a client"), Arc::clone(&ended));
                let server = UnixStream::connect(&to).expect("the server");
                std::thread::spawn(move || {
                    let passed = pass(&client, &server);
                    ended.lock().unwrap_or_else(PoisonError::into_inner).push(passed);
                });
            }
        });
        relay
    }

    /// The connections that have ended since the last call, once there are `expected` of them, or
    /// after a minute.
    pub fn take(&self, expected: usize) -> Vec<Passed> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.lock().len() < expected && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Passed>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pass(client: &TcpStream, server: &UnixStream) -> Passed {
    client.set_nodelay(true).expect("no delay");
    std::thread::scope(|scope| {
        let back = scope.spawn(|| {
            let (_, to_client) = copy(server, client);
            // The client may have gone by itself.
            let _ = client.shutdown(Shutdown::Write);
            to_client
        });
        let (from_client, _) = copy(client, server);
        let _ = server.shutdown(Shutdown::Write);
        Passed { from_client, to_client: back.join().expect("the way back") }
    })
}

/// Bytes read from `from` until it ends or breaks, and those of them that `to` took.
fn copy(mut from: impl Read, mut to: impl Write) -> (u64, u64) {
    let mut buffer = [0; 64 * 1024];
    let (mut read_bytes, mut written_bytes, mut takes) = (0, 0, true);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return (read_bytes, written_bytes),
            Ok(bytes) => {
                read_bytes += bytes as u64;
                takes = takes && to.write_all(&buffer[..bytes]).is_ok();
                written_bytes += if takes { bytes as u64 } else { 0 };
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return (read_bytes, written_bytes),
        }
    }
}
