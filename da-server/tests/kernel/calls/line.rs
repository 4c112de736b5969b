//! Two networks of a test's own, and a line between them that takes its time.
//!
//! Each network has one end of the line as a device whose packets a thread reads, keeps for the delay
//! and writes into the other one's: what `tc netem` does where the kernel has it.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use da_testkit::programs::{are_there, skip};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::runtime::{Builder, Runtime};

use crate::tcp_info;

/// The largest packet, bytes: Ethernet's.
const MTU_BYTES: usize = 1_500;
/// The name of a line's end in its network.
const DEVICE: &str = "line";

/// What a test needs of this machine that has a line, and loses packets of it.
const NEEDED: &[&str] = &["ip", "nft", "/dev/net/tun"];

/// Whether lines can be made here that lose packets; says so where they can't.
pub fn can_be_lossy() -> bool {
    if !are_there(NEEDED) {
        return false;
    }
    // Networks take a privilege, and a kernel may be without nftables.
    let network = Network::try_new().map_err(|error| error.to_string());
    let filters = network.and_then(|network| network.try_command("nft add table ip loss"));
    if let Err(why) = &filters {
        skip(&format!("a network that loses packets can't be had: {why}"));
    }
    filters.is_ok()
}

/// A network namespace, with a runtime whose threads are in it.
pub struct Network {
    runtime: Runtime,
}

impl Network {
    /// A network with nothing in it.
    pub fn new() -> Self {
        Self::try_new().expect("a network of its own")
    }

    fn try_new() -> io::Result<Self> {
        let namespace = std::thread::spawn(|| {
            // SAFETY: the call takes no memory; the namespace it makes is this thread's.
            if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
                return Err(io::Error::last_os_error());
            }
            File::open("/proc/thread-self/ns/net")
        });
        let namespace = namespace.join().expect("no panic")?;
        let enter = move || {
            // SAFETY: the descriptor is open, and the call takes no memory; it moves this thread.
            let failed = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(failed, 0, "entered");
        };
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).on_thread_start(enter).enable_all().build();
        Ok(Self { runtime: runtime? })
    }

    /// What that comes to in this network.
    pub fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        self.runtime.block_on(self.runtime.spawn(work)).expect("no panic")
    }

    /// A thread in this network, for work that waits: the runtime's own thread has others to serve.
    pub fn thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.run(async { std::thread::spawn(work) })
    }

    /// Runs a program in this network.
    pub fn command(&self, line: &str) {
        if let Err(why) = self.try_command(line) {
            panic!("{line}: {why}");
        }
    }

    /// The same; what is in the way, if it fails.
    fn try_command(&self, line: &str) -> Result<(), String> {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let output = self.run(async move { Command::new(&words[0]).args(&words[1..]).output() });
        let output = output.map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// From now on so many of 100 packets that come to this network are lost, each by chance.
    pub fn lose(&self, percent: u32) {
        self.drop_packets(&format!("numgen random mod 100 < {percent}"));
    }

    /// From now on one of so many packets that come to this network is lost.
    pub fn lose_every(&self, packets: u32) {
        self.drop_packets(&format!("numgen inc mod {packets} 0"));
    }

    /// Has those lost of the packets to this network that are as nftables is told.
    fn drop_packets(&self, which: &str) {
        self.command("nft add table ip loss");
        self.command("nft add chain ip loss input { type filter hook input priority 0 ; }");
        self.command(&format!("nft add rule ip loss input {which} drop"));
    }

    /// From now on this network's sockets have receive buffers of so many bytes at most.
    pub fn limit_receive_buffers(&self, bytes: u32) {
        let limits = format!("4096 {bytes} {bytes}");
        let written =
            self.run(async move { std::fs::write("/proc/sys/net/ipv4/tcp_rmem", limits) });
        written.expect("net.ipv4.tcp_rmem");
    }

    /// Segments that this network's sockets have sent again, by the kernel's own count.
    pub fn retransmits(&self) -> u64 {
        self.run(async { tcp_info::counter("RetransSegs") })
    }

    /// Brings an end of a line up in this network, at one of two addresses.
    fn end(&self, own: &str, other: &str) -> File {
        let device = self.run(async { tunnel() });
        self.command(&format!("ip address add {own} peer {other} dev {DEVICE}"));
        self.command(&format!("ip link set {DEVICE} mtu {MTU_BYTES} up"));
        device
    }
}

/// Packets that a line does not carry, on their way back to its near end.
#[derive(Default)]
pub struct Losses {
    /// Port that a packet is to, and bytes of it and of what it carries that it has at least.
    next: Mutex<Vec<(u16, usize)>>,
}

impl Losses {
    /// The next packet of at least so many bytes to that port of the near network is lost.
    pub fn lose_next_to(&self, port: u16, at_least_bytes: usize) {
        self.next.lock().expect("no panic").push((port, at_least_bytes));
    }

    /// Whether this packet is lost, which then no other is for it.
    fn take(&self, packet: &[u8]) -> bool {
        // IPv4: the header's length in words of four bytes; behind it TCP's ports, RFC 9293 §3.1.
        let to = packet.first().and_then(|first| {
            let header_bytes = usize::from(first & 0xf) * 4;
            let port = packet.get(header_bytes + 2..header_bytes + 4)?;
            Some(u16::from_be_bytes([port[0], port[1]]))
        });
        let mut next = self.next.lock().expect("no panic");
        let found = next.iter().position(|(port, at_least_bytes)| {
            to == Some(*port) && packet.len() >= *at_least_bytes
        });
        found.map(|at| next.swap_remove(at)).is_some()
    }
}

/// A device whose packets this process carries.
fn tunnel() -> File {
    let file = File::options().read(true).write(true).open("/dev/net/tun").expect("/dev/net/tun");
    // SAFETY: all zeroes are a value of the type: it is made of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is open, and the pointer is to a value of the type, alive for the call.
    let failed = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(failed, 0, "a device: {}", std::io::Error::last_os_error());
    file
}

/// A line between two networks. All packets arrive, in their order, however many are under way, but for those that a
/// test has it lose.
pub struct Line {
    /// One way, ns.
    delay_ns: Arc<AtomicU64>,
    losses: Arc<Losses>,
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Line {
    /// Joins two networks, which then have these addresses.
    pub fn between(near: (&Network, &str), far: (&Network, &str)) -> Self {
        let ends = [near.0.end(near.1, far.1), far.0.end(far.1, near.1)];
        let mut line = Self {
            delay_ns: Arc::default(),
            losses: Arc::default(),
            ended: Arc::default(),
            threads: Vec::new(),
        };
        for (from, to) in [(0, 1), (1, 0)] {
            let is_back = to == 0;
            let [from, to] = [from, to].map(|end: usize| ends[end].try_clone().expect("cloned"));
            let (sender, packets) = channel();
            let losses = if is_back { Arc::clone(&line.losses) } else { Arc::default() };
            let (delay_ns, ended) = (Arc::clone(&line.delay_ns), Arc::clone(&line.ended));
            line.threads.push(std::thread::spawn(move || {
                take(from, &sender, (&delay_ns, &losses), &ended)
            }));
            line.threads.push(std::thread::spawn(move || hand_over(to, packets)));
        }
        line
    }

    /// What is told which packets to lose.
    pub fn losses(&self) -> Arc<Losses> {
        Arc::clone(&self.losses)
    }

    /// From now on a packet and its answer are so long under way together.
    pub fn set_round_trip(&self, round_trip: Duration) {
        self.delay_ns.store(round_trip.as_nanos() as u64 / 2, Ordering::Relaxed);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            assert!(thread.join().is_ok() || std::thread::panicking(), "the line broke");
        }
    }
}

/// Takes packets that are not to be lost from a line's end, each with the time at which it is due at the other one.
fn take(
    mut from: File,
    packets: &Sender<(Instant, Vec<u8>)>,
    (delay_ns, losses): (&AtomicU64, &Losses),
    ended: &AtomicBool,
) {
    let mut packet = [0; MTU_BYTES];
    let patience = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    while !ended.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(&from, PollFlags::IN)];
        if poll(&mut ready, Some(&patience)).expect("polled") == 0 {
            continue;
        }
        let bytes = match from.read(&mut packet) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => panic!("reads: {error}"),
        };
        if losses.take(&packet[..bytes]) {
            continue;
        }
        let delay = Duration::from_nanos(delay_ns.load(Ordering::Relaxed));
        if packets.send((Instant::now() + delay, packet[..bytes].to_vec())).is_err() {
            return;
        }
    }
}

/// Hands each packet over when it is due.
fn hand_over(mut to: File, packets: Receiver<(Instant, Vec<u8>)>) {
    for (due, packet) in packets {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        assert_eq!(to.write(&packet).expect("writes"), packet.len());
    }
}
