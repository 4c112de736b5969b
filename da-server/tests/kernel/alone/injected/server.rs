//! A server that does to each call what its path says.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::alone::run_queue::{cpus, pin};
use crate::turns::in_real_time;

/// How long an answer pauses, and how long one that never comes is waited for: much longer than DNS takes.
const PAUSE: Duration = Duration::from_millis(700);
const HANGS: Duration = Duration::from_secs(2);
/// How long a CPU is taken away: longer than DNS takes as well.
const STARVES: Duration = Duration::from_millis(800);
/// How long a client may take until it waits.
const SLEEPS: Duration = Duration::from_millis(200);
/// What a proxy's buffer holds.
const BURST_BYTES: usize = 4_096;

/// See [`Server::start`].
pub struct Server {
    port: u16,
    taken_cpu: usize,
}

impl Server {
    /// Listens at that address; none where no CPU can be taken away.
    pub fn start(address: IpAddr) -> Option<Self> {
        let [taken_cpu, other_cpu, ..] = cpus()[..] else { return None };
        if !thread::spawn(|| in_real_time(1).is_ok()).join().expect("no panic") {
            return None;
        }
        let listener = TcpListener::bind((address, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || {
                    // Whoever asked may have gone.
                    let _ = answer(socket, taken_cpu, other_cpu);
                });
            }
        });
        Some(Self { port, taken_cpu })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same program on the CPU that is taken away, if it is to be.
    pub fn pinned(&self, is_pinned: bool, command: Command) -> Command {
        if !is_pinned {
            return command;
        }
        let mut pinned = Command::new("taskset");
        pinned.args(["--cpu-list", &self.taken_cpu.to_string()]);
        pinned.arg(command.get_program()).args(command.get_args());
        pinned.stdout(Stdio::null());
        pinned
    }
}

fn answer(mut socket: TcpStream, taken_cpu: usize, other_cpu: usize) -> std::io::Result<()> {
    let mut request = [0; 4096];
    let bytes = socket.read(&mut request)?;
    let request = String::from_utf8_lossy(&request[..bytes]);
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    match path.as_str() {
        "/hung" => thread::sleep(HANGS),
        "/provider" => {
            socket.write_all(head)?;
            for _ in 0..3 {
                socket.write_all(&[b'x'; 100])?;
                thread::sleep(PAUSE);
            }
            socket.write_all(b"x")?;
        }
        "/buffered" => {
            socket.write_all(head)?;
            for _ in 0..4 {
                socket.write_all(&[b'x'; BURST_BYTES])?;
                thread::sleep(PAUSE);
            }
            socket.write_all(&[b'x'; BURST_BYTES])?;
        }
        "/cpu" => starve(taken_cpu, other_cpu, || {
            socket.write_all(head)?;
            socket.write_all(&[b'x'; 100])
        })?,
        _ => {
            socket.write_all(head)?;
            socket.write_all(&[b'x'; 100])?;
        }
    }
    Ok(())
}

/// Does something while nobody else gets a CPU, and for a while after that.
fn starve<T>(taken_cpu: usize, other_cpu: usize, what: impl FnOnce() -> T) -> T {
    pin(other_cpu);
    // By then whoever asked waits for the answer, and for no CPU.
    thread::sleep(SLEEPS);
    let over = Arc::new(AtomicBool::new(false));
    let (takes, taken) = channel();
    let is_over = Arc::clone(&over);
    let hog = thread::spawn(move || {
        pin(taken_cpu);
        takes.send(in_real_time(1)).expect("somebody waits");
        while !is_over.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    });
    taken.recv().expect("it runs").expect("it may, as it was tried");
    let done = what();
    thread::sleep(STARVES);
    over.store(true, Ordering::Relaxed);
    hog.join().expect("no panic");
    done
}
