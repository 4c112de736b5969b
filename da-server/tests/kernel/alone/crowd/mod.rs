//! Very many connections at once: all of them followed, or none.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use da_server::kernel::{Hooks, KernelConfig, Unlisted};
use da_testkit::programs::are_there;

use crate::alone::judged::judge;
use crate::lab::{Lab, config, endpoint, hooks};
use crate::plain;
use crate::turns::{alone, undisturbed};

const CROWD: usize = 65_536;
/// Watched by nobody.
const STRANGER: &str = "stranger.kernel.test";
const STRANGERS: usize = 16_384;
const MEMBER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/alone/crowd/member.py");
const NAME: &str = "crowd.kernel.test";
/// Sockets of this host that have nothing to do with it find room beside the crowd.
const OTHERS: u32 = 8_192;

/// Connections that one process may have, both ends of each, by its limit of descriptors.
fn connections_per_process() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a value of the type that the call fills, alive for the call.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
    usize::try_from(limit.rlim_max / 2).expect("fits").saturating_sub(64)
}

/// Processes with connections, which they close when it is dropped.
struct Crowd(Vec<Child>);

impl Crowd {
    /// `size` connections to `name` with one exchange each, made by as few processes as may, and kept.
    fn gather(name: &str, size: usize) -> Self {
        let members = size.div_ceil(connections_per_process()).max(4);
        let counts =
            (0..members).map(|member| size / members + usize::from(member < size % members));
        let start = |count: usize| {
            // Not in real time, although the test may be: they keep a processor busy while they connect.
            let mut python = Command::new("chrt");
            python.args(["--other", "0", "python3", MEMBER, name, &count.to_string()]);
            python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 starts")
        };
        let mut crowd = Self(counts.map(start).collect());
        for member in &mut crowd.0 {
            let mut line = String::new();
            let output = member.stdout.as_mut().expect("its output");
            BufReader::new(output).read_line(&mut line).expect("reads");
            assert_eq!(line, "open\n", "a member of the crowd has failed: see above");
        }
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|member| drop(member.stdin.take()));
        // Its status has nothing to tell: its connections are counted.
        self.0.iter_mut().for_each(|member| drop(member.wait()));
    }
}

/// Waits until `value` is `expected`, or 5 min; returns it.
fn settles(expected: f64, value: impl Fn() -> f64) -> f64 {
    let deadline = Instant::now() + Duration::from_secs(300);
    while value() != expected && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    value()
}

fn entries(lab: &Lab) -> f64 {
    lab.value("digital_actors_ebpf_map_entries{map=\"connections\"}")
}

#[test]
fn a_crowd_is_followed_to_the_last_connection() {
    if !are_there(&["python3"]) {
        return;
    }
    // Four processes connect faster than a busy machine reads: the ring must hold what they report.
    let _alone = alone();
    let (max_connections, ring_bytes) = (CROWD as u32 + OTHERS, 64 << 20);
    let config = KernelConfig { max_connections, ring_bytes, ..config() };
    let watched = [endpoint("crowd", NAME)];
    let Some(lab) = Lab::with(&config, &watched, Unlisted::Drop) else { return };
    let began = Instant::now();
    let crowd = Crowd::gather(NAME, CROWD);
    let gathered = began.elapsed();
    let open = "digital_actors_socket_open_connections{kind=\"llm\",provider=\"crowd\"}";
    let at_once = settles(CROWD as f64, || lab.value(open));
    assert_eq!(at_once, CROWD as f64, "open at once; lost: {:?}", lab.losses());
    assert!(entries(&lab) >= CROWD as f64, "{} are followed", entries(&lab));
    let began = Instant::now();
    drop(crowd);
    let ok =
        "digital_actors_socket_exchanges_total{kind=\"llm\",outcome=\"ok\",provider=\"crowd\"}";
    let counted = settles(CROWD as f64, || lab.value(ok));
    let closed = settles(0.0, || lab.value(open));
    println!(
        "{CROWD} connections at once: opened in {gathered:.1?}, closed and counted in {:.1?}; \
         {counted} exchanges",
        began.elapsed()
    );
    assert_eq!((counted, closed), (CROWD as f64, 0.0), "exchanges, connections left open");
    // The times of system calls before it is known whose they are have a narrower bound.
    let lost = lab.losses_but("early_calls");
    assert!(lost.is_empty(), "{lost:?}");
}

/// Batches of exchanges whose cheapest is judged, and exchanges in each.
const BATCHES: u32 = 5;
const EXCHANGES: u32 = 10_000;

/// Nanoseconds that a run takes of programs which every connection comes to, while one that is followed by
/// nobody is busy.
fn untracked_run_ns(lab: &Lab, socket: &mut TcpStream, name: &str) -> f64 {
    let programs = match hooks() {
        Hooks::Newest => ["sock_send", "sock_arrival"],
        // That in place of the first runs at the end of every system call of the host.
        Hooks::Older => ["tcp_segment", "tcp_read"],
    };
    let total = |family: &str| -> f64 {
        let of = |program| {
            lab.value(&format!("digital_actors_ebpf_program_{family}{{program=\"{program}\"}}"))
        };
        programs.map(of).iter().sum()
    };
    let batch = |_| {
        let before = (total("runs_total"), total("run_seconds_total"));
        for _ in 0..EXCHANGES {
            plain::exchange(socket, name);
        }
        let runs = total("runs_total") - before.0;
        assert!(runs >= 3.0 * f64::from(EXCHANGES), "{runs} runs");
        (total("run_seconds_total") - before.1) / runs * 1e9
    };
    // What disturbs a batch makes it dearer, never cheaper.
    (0..BATCHES).map(batch).fold(f64::INFINITY, f64::min)
}

#[test]
fn a_crowd_of_no_interest_costs_no_more_than_one_such_connection() {
    if !are_there(&["python3"]) {
        return;
    }
    let _alone = undisturbed();
    judge("a run amid the crowd", || {
        let Some(lab) = Lab::open(&[endpoint("crowd", NAME)], Unlisted::Drop) else {
            return true; // it has said that it was skipped
        };
        let to = plain::serve("127.0.0.1:0");
        let mut socket = TcpStream::connect(to).expect("connects");
        plain::exchange(&mut socket, STRANGER);
        std::thread::sleep(Duration::from_millis(200)); // its name is read, and it is forgotten
        let alone_ns = untracked_run_ns(&lab, &mut socket, STRANGER);
        let _crowd = Crowd::gather(STRANGER, STRANGERS);
        // Their names are read, and they are forgotten.
        let deadline = Instant::now() + Duration::from_secs(60);
        while entries(&lab) >= 1_000.0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let followed = entries(&lab);
        assert!(followed < 1_000.0, "{followed} are still followed");
        let amid_ns = untracked_run_ns(&lab, &mut socket, STRANGER);
        println!(
            "a run for a socket that is not followed: {alone_ns:.0} ns, amid {STRANGERS} more \
             {amid_ns:.0} ns; {followed} followed"
        );
        amid_ns < 1.3 * alone_ns
    });
}
