//! What the programs say they cost, against what the kernel says.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use da_server::kernel::{Hooks, Unlisted};

use crate::lab::{Lab, endpoint, hooks};
use crate::turns::undisturbed;

/// The programs that follow every connection, by the hooks under test.
fn programs() -> [&'static str; 3] {
    match hooks() {
        Hooks::Older => ["sock_state", "syscall_send", "tcp_segment"],
        Hooks::Newest => ["sock_state", "sock_send", "sock_arrival"],
    }
}

/// A line of a program's fdinfo.
fn fdinfo(program: u32, key: &str) -> f64 {
    let programs = loaded_programs().filter_map(Result::ok);
    let found = programs.into_iter().find(|one| one.id() == program).expect("loaded");
    let fd = found.fd().expect("a descriptor");
    let path = format!("/proc/self/fdinfo/{}", std::os::fd::AsFd::as_fd(&fd).as_raw_fd());
    let text = fs::read_to_string(path).expect("fdinfo");
    let line = text.lines().find_map(|line| line.strip_prefix(key)).expect(key);
    line.trim_matches([':', '\t', ' ']).parse().expect("a number")
}

/// The newest loaded program of each name: this test's own.
fn newest(name: &str) -> u32 {
    let programs = loaded_programs().filter_map(Result::ok);
    let named = programs.filter(|one| one.name_as_str() == Some(name));
    named.map(|one| one.id()).max().expect("loaded")
}

/// Runs and seconds of each program, as exported and as the kernel has them.
struct Cost {
    exported: [(f64, f64); 3],
    kernel: [(f64, f64); 3],
}

fn cost(lab: &Lab, ids: [u32; 3]) -> Cost {
    let exported = programs().map(|name| {
        let of = |family| lab.value(&format!("digital_actors_{family}{{program=\"{name}\"}}"));
        (of("ebpf_program_runs_total"), of("ebpf_program_run_seconds_total"))
    });
    let kernel = ids.map(|id| (fdinfo(id, "run_cnt"), fdinfo(id, "run_time_ns") / 1e9));
    Cost { exported, kernel }
}

/// 2,000 connections with ten small exchanges each.
fn work() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = listener.local_addr().expect("an address");
    let echo = std::thread::spawn(move || {
        for socket in listener.incoming().take(2_000) {
            let mut socket = socket.expect("a client");
            let mut byte = [0];
            while socket.read_exact(&mut byte).is_ok() {
                socket.write_all(&byte).expect("writes");
            }
        }
    });
    for _ in 0..2_000 {
        let mut socket = TcpStream::connect(to).expect("connects");
        for _ in 0..10 {
            socket.write_all(b"x").expect("writes");
            socket.read_exact(&mut [0]).expect("reads");
        }
    }
    echo.join().expect("the echo");
}

/// What was counted from one reading to the next, for each program.
struct Ratios {
    /// Runs, ours by the kernel's.
    runs: [f64; 3],
    /// Run time, ours by the kernel's.
    run_time: [f64; 3],
}

fn ratios(before: &Cost, after: &Cost) -> Ratios {
    let (mut runs, mut run_time) = ([0.0; 3], [0.0; 3]);
    for (index, name) in programs().into_iter().enumerate() {
        let more = |of: fn(&Cost) -> &[(f64, f64); 3]| {
            let (from, to) = (of(before)[index], of(after)[index]);
            (to.0 - from.0, to.1 - from.1)
        };
        let (ours, ours_s) = more(|cost| &cost.exported);
        let (kernels, kernels_s) = more(|cost| &cost.kernel);
        println!(
            "{name:<13} {ours:>7} runs (kernel {kernels:>7}), {:>5.0} ns each (kernel {:>5.0})",
            ours_s / ours * 1e9,
            kernels_s / kernels * 1e9
        );
        assert!(ours > 5_000.0, "{name} ran");
        (runs[index], run_time[index]) = (ours / kernels, ours_s / kernels_s);
    }
    Ratios { runs, run_time }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// One run in 64 is timed and stands for all: where an interrupt of 0.1 ms meets a timed one, it counts
/// as 6 ms. So the middle of several measurements is judged, each of which says what it was.
#[test]
fn runs_and_run_time_agree_with_the_kernels_own_statistics() {
    const MEASUREMENTS: usize = 7;
    let _alone = undisturbed();
    let watched = [endpoint("cost", "cost.kernel.test")];
    let Some(lab) = Lab::open(&watched, Unlisted::Other) else { return };
    let _statistics = enable_stats(Stats::RunTime).expect("statistics");
    let ids = programs().map(newest);
    let mut before = cost(&lab, ids);
    let measured: Vec<_> = (0..MEASUREMENTS)
        .map(|_| {
            work();
            let after = cost(&lab, ids);
            let ratios = ratios(&before, &after);
            before = after;
            ratios
        })
        .collect();
    for (index, name) in programs().into_iter().enumerate() {
        let of = |values: fn(&Ratios) -> &[f64; 3]| {
            median(measured.iter().map(|one| values(one)[index]).collect())
        };
        let (runs, run_time) = (of(|one| &one.runs), of(|one| &one.run_time));
        // Something of the host may run between the two readings.
        assert!((runs - 1.0).abs() < 0.01, "{name}: {runs} of the kernel's runs");
        // The kernel's own look at the clock is in its time and not in ours, and so is whatever
        // interrupts the way there.
        assert!((0.4..1.15).contains(&run_time), "{name}: {run_time} of the kernel's run time");
    }
}
