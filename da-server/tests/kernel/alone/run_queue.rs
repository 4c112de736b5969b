//! Whose doing a wait to be read is: the thread's, or that of others which kept it from a CPU.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use da_server::kernel::{SeenExchange, Unlisted, What};
use da_testkit::programs::skip;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::lab::{Lab, endpoint};
use crate::plain::{RESPONSE, request};
use crate::turns::{alone, in_real_time};

const NAME: &str = "run-queue.kernel.test";
/// For how long a CPU is taken away, or used.
const INJECTED: Duration = Duration::from_millis(80);
/// What a thread runs for until its read has returned, and what a hook comes late by.
const SLACK: Duration = Duration::from_millis(5);

/// A connection on which a request was sent from this thread, and its server's side.
fn asked() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let mut socket = TcpStream::connect(at).expect("connects");
    let (mut peer, _) = listener.accept().expect("a client");
    socket.write_all(&request(NAME)).expect("writes");
    assert_ne!(peer.read(&mut [0; 512]).expect("reads"), 0);
    (socket, peer)
}

fn read(socket: &mut TcpStream) {
    socket.read_exact(&mut [0; RESPONSE.len()]).expect("reads");
}

/// Runs only on that CPU from now on.
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).expect("a CPU");
}

/// Those that this thread may run on.
pub fn cpus() -> Vec<usize> {
    let set = sched_getaffinity(None).expect("the CPUs");
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

/// CPU time that this thread has used.
fn used() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn run_for(time: Duration) {
    let from = used();
    while used() - from < time {
        std::hint::spin_loop();
    }
}

/// The only exchange, and how long its answer waited to be read.
fn seen(mut lab: Lab) -> (Box<SeenExchange>, Duration) {
    lab.wait_closed(1);
    let exchange = lab.seen().iter().find_map(|one| match &one.what {
        What::Exchange(exchange) => Some(exchange.clone()),
        _ => None,
    });
    let exchange = exchange.expect("an exchange");
    let waited_ns = exchange.first_pickup.expect("a read").waited_ns;
    let by_cause = |cause: &str| {
        let labels = format!("cause=\"{cause}\",kind=\"llm\",provider=\"run-queue\"");
        let family = "digital_actors_socket_pickup_cause_seconds_total";
        Duration::from_secs_f64(lab.value(&format!("{family}{{{labels}}}")))
    };
    let [cpu, process, unknown] = ["cpu", "process", "unknown"].map(by_cause);
    println!("waited {waited_ns} ns: cpu {cpu:?}, process {process:?}, unknown {unknown:?}");
    let run_delay = exchange.run_delay_ns.map(Duration::from_nanos);
    let is_near = |one: Duration, other: Duration| one.abs_diff(other) < Duration::from_micros(1);
    assert!(is_near(run_delay.unwrap_or_default(), cpu), "{run_delay:?}");
    assert!(is_near(cpu + process + unknown, Duration::from_nanos(waited_ns)));
    assert_eq!(run_delay.is_none(), unknown > Duration::ZERO);
    (exchange, Duration::from_nanos(waited_ns))
}

#[test]
fn a_thread_that_is_kept_from_a_cpu_waits_for_that() {
    let [taken_cpu, other_cpu, ..] = cpus()[..] else {
        return skip("one CPU would be taken from everybody");
    };
    let _alone = alone();
    let Some(lab) = Lab::open(&[endpoint("run-queue", NAME)], Unlisted::Drop) else { return };
    let over = AtomicBool::new(false);
    let may = thread::scope(|scope| {
        let (asks, asked_for) = channel();
        let client = scope.spawn(move || {
            pin(taken_cpu);
            let (mut socket, peer) = asked();
            asks.send(peer).expect("somebody answers");
            read(&mut socket);
        });
        let mut peer = asked_for.recv().expect("a connection");
        pin(other_cpu);
        let (takes, taken) = channel();
        let is_over = &over;
        scope.spawn(move || {
            pin(taken_cpu);
            takes.send(in_real_time(1).is_ok()).expect("somebody waits");
            while !is_over.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let may = taken.recv().expect("it runs");
        peer.write_all(RESPONSE).expect("writes");
        thread::sleep(INJECTED);
        over.store(true, Ordering::Relaxed);
        client.join().expect("reads");
        may
    });
    if !may {
        return skip("no thread may go before others here");
    }
    let (exchange, waited) = seen(lab);
    let run_delay = exchange.run_delay_ns.map(Duration::from_nanos).expect("the thread that asked");
    // The answer came while the CPU was taken; half is for a machine that is slow to say so.
    assert!(run_delay >= INJECTED / 2 && run_delay <= waited, "{run_delay:?} of {waited:?}");
}

#[test]
fn a_thread_that_does_something_else_is_not_kept_from_a_cpu() {
    let _alone = alone();
    let Some(lab) = Lab::open(&[endpoint("run-queue", NAME)], Unlisted::Drop) else { return };
    let (mut socket, mut peer) = asked();
    peer.write_all(RESPONSE).expect("writes");
    run_for(INJECTED);
    read(&mut socket);
    drop((socket, peer));
    let (exchange, waited) = seen(lab);
    let run_delay = exchange.run_delay_ns.map(Duration::from_nanos).expect("the thread that asked");
    assert!(waited - run_delay + SLACK >= INJECTED, "{run_delay:?} of {waited:?}");
}

#[test]
fn of_a_thread_that_has_not_used_the_connection_before_it_is_not_known() {
    let _alone = alone();
    let Some(lab) = Lab::open(&[endpoint("run-queue", NAME)], Unlisted::Drop) else { return };
    let (mut socket, mut peer) = asked();
    peer.write_all(RESPONSE).expect("writes");
    thread::sleep(Duration::from_millis(1));
    thread::spawn(move || read(&mut socket)).join().expect("reads");
    drop(peer);
    let (exchange, _) = seen(lab);
    assert_eq!(exchange.run_delay_ns, None);
}
