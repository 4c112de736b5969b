//! System calls on attributed connections: how many, how long, and whose.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use da_server::kernel::{KernelConfig, Unlisted};

use crate::lab::{Lab, endpoint};

pub const NAME: &str = "syscalls.kernel.test";
pub const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// How long the server keeps a client waiting.
pub const DELAY: Duration = Duration::from_millis(30);

pub fn request(host: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
}

/// Answers every request of every connection, of `request_bytes` each, after `delay`.
pub fn serve(request_bytes: usize, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a client");
            std::thread::spawn(move || {
                socket.set_nodelay(true).expect("no delay");
                let mut request = vec![0; request_bytes];
                while socket.read_exact(&mut request).is_ok() {
                    std::thread::sleep(delay);
                    if socket.write_all(RESPONSE).is_err() {
                        break;
                    }
                }
            });
        }
    });
    at
}

/// A connection, and what its owner measured of the calls on it.
pub struct Client {
    /// The client's end.
    pub socket: TcpStream,
    host: &'static str,
    /// Reads, and how long they took.
    pub reads: u32,
    pub reading: Duration,
}

impl Client {
    pub fn connect(to: SocketAddr, host: &'static str) -> Self {
        let socket = TcpStream::connect(to).expect("connects");
        socket.set_nodelay(true).expect("no delay");
        Self { socket, host, reads: 0, reading: Duration::ZERO }
    }

    /// One send.
    pub fn send(&mut self) {
        let request = request(self.host);
        assert_eq!(self.socket.write(&request).expect("writes"), request.len());
    }

    /// As many receives as the response takes.
    pub fn receive(&mut self) {
        let mut received = 0;
        while received < RESPONSE.len() {
            let began = Instant::now();
            received += self.socket.read(&mut [0; 1024]).expect("reads");
            self.reading += began.elapsed();
            self.reads += 1;
        }
    }
}

/// Calls and their seconds.
pub fn calls(lab: &Lab, syscall: &str) -> (f64, f64) {
    let of = |part: &str| {
        lab.value(&format!(
            "digital_actors_syscall_seconds_{part}{{kind=\"llm\",provider=\"syscalls\",syscall=\"{syscall}\"}}"
        ))
    };
    (of("count"), of("sum"))
}

/// Waits until so many calls were counted; what was counted on the way to an attribution is added
/// only then.
pub fn wait_for(lab: &Lab, syscall: &str, count: u32) -> (f64, f64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while calls(lab, syscall).0 < f64::from(count) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(100)); // would there be more?
    calls(lab, syscall)
}

#[test]
fn what_others_do_is_not_counted() {
    let Some(lab) = Lab::open(&[endpoint("syscalls", NAME)], Unlisted::Drop) else { return };
    let other = "other.syscalls.kernel.test";
    let to_other = serve(request(other).len(), Duration::ZERO);
    let at = serve(request(NAME).len(), Duration::ZERO);
    let mut client = Client::connect(at, NAME);
    client.send();
    client.receive();
    let before = wait_for(&lab, "recvfrom", client.reads);
    assert_eq!(before.0, f64::from(client.reads));

    // This very process, on a connection to a host that no endpoint lists, and on files.
    let mut unlisted = Client::connect(to_other, other);
    for _ in 0..100 {
        unlisted.send();
        unlisted.receive();
    }
    let mut zero = std::fs::File::open("/dev/zero").expect("opens");
    for _ in 0..1000 {
        zero.read_exact(&mut [0; 16]).expect("reads");
    }
    // Another process, on files, and on the connection itself.
    let inherited: OwnedFd = client.socket.try_clone().expect("duplicated").into();
    client.send();
    let child = Command::new("dd")
        .args(["bs=1024", "count=1", "status=none"])
        .stdin(Stdio::from(inherited))
        .output()
        .expect("dd runs");
    assert_eq!(child.stdout, RESPONSE, "the child has read the response");

    // Calls on a connection count once it is known whose it is, in the order of the connections:
    // when these of a later one do, nothing of those above is still on its way.
    let mut last = Client::connect(at, NAME);
    last.send();
    last.receive();
    let reads = client.reads + last.reads;
    assert_eq!(wait_for(&lab, "recvfrom", reads).0, f64::from(reads), "reads");
    assert_eq!(calls(&lab, "read").0, 0.0, "reads of the child");
    assert_eq!(calls(&lab, "sendto").0, 3.0, "sends");
    assert_eq!(calls(&lab, "connect").0, 2.0, "connects");
    client.send();
    client.receive();
    let reads = client.reads + last.reads;
    assert_eq!(calls(&lab, "recvfrom").0, f64::from(reads), "and still counts its own");
}

/// A process whose own calls are timed talks on its own connection, and on one that it was handed.
#[test]
fn what_another_process_does_on_a_connection_is_not_counted() {
    let Some(lab) = Lab::open(&[endpoint("syscalls", NAME)], Unlisted::Drop) else { return };
    let at = serve(request(NAME).len(), Duration::ZERO);
    let mut client = Client::connect(at, NAME);
    client.send();
    // bash itself reads, and not a child of it; in how many calls depends on its version.
    let (port, length) = (at.port(), RESPONSE.len());
    let own = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; \
         printf 'GET / HTTP/1.1\\r\\nhost: {NAME}\\r\\n\\r\\n' >&3; \
         IFS= read -r -N {length} answer <&3; "
    );
    let handed = format!("IFS= read -r -N {length} answer; ");
    let bash = |script: String, input: Stdio| {
        let script = script + "printf %s \"$answer\"";
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).env("LC_ALL", "C").stdin(input);
        let output = bash.output().expect("bash runs");
        assert_eq!(output.stdout, RESPONSE, "{output:?}");
    };
    bash(own.clone(), Stdio::null());
    let (reads, _) = wait_for(&lab, "read", 1);
    assert!(reads > 0.0, "reads on its own connection");
    let inherited: OwnedFd = client.socket.try_clone().expect("duplicated").into();
    bash(own + &handed, Stdio::from(inherited));
    wait_for(&lab, "connect", 3);
    assert_eq!(calls(&lab, "connect").0, 3.0, "connects");
    assert_eq!(calls(&lab, "read").0, 2.0 * reads, "reads on its own connections");
}

#[test]
fn nothing_is_timed_and_nothing_exported_where_that_is_not_wanted() {
    let config = KernelConfig { syscalls: false, ..KernelConfig::default() };
    let watched = [endpoint("syscalls", NAME)];
    let Some(mut lab) = Lab::with(&config, &watched, Unlisted::Drop) else { return };
    let mut client = Client::connect(serve(request(NAME).len(), Duration::ZERO), NAME);
    client.send();
    client.receive();
    drop(client);
    lab.wait_closed(1);
    let text = lab.metrics();
    assert!(!text.contains("digital_actors_syscall_seconds"), "{text}");
    assert!(!text.contains("digital_actors_ebpf_tier_shed"), "{text}");
    for program in ["sys_enter", "sys_exit"] {
        let series = format!(
            "digital_actors_ebpf_program_state{{program=\"{program}\",state=\"disabled\"}}"
        );
        assert_eq!(lab.value(&series), 1.0, "{series}");
    }
}
