//! What the programs say they cost, against what the kernel says.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use da_server::kernel::{Hooks, Unlisted};

use crate::lab::{Lab, endpoint, hooks};

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

#[test]
fn runs_and_run_time_agree_with_the_kernels_own_statistics() {
    let watched = [endpoint("cost", "cost.kernel.test")];
    let Some(lab) = Lab::open(&watched, Unlisted::Other) else { return };
    let _statistics = enable_stats(Stats::RunTime).expect("statistics");
    let ids = programs().map(newest);
    // A machine that stands still in the middle of a run shows in one of the two: try again then.
    let agreed = (0..5).any(|_| {
        let before = cost(&lab, ids);
        work();
        let after = cost(&lab, ids);
        let agreements = (0..programs().len()).map(|index| {
            let more = |of: fn(&Cost) -> &[(f64, f64); 3]| {
                let (from, to) = (of(&before)[index], of(&after)[index]);
                (to.0 - from.0, to.1 - from.1)
            };
            let (runs, seconds) = more(|cost| &cost.exported);
            let (kernel_runs, kernel_seconds) = more(|cost| &cost.kernel);
            println!(
                "{:<13} {runs:>7} runs (kernel {kernel_runs:>7}), {:>5.0} ns each (kernel {:>5.0})",
                programs()[index],
                seconds / runs * 1e9,
                kernel_seconds / kernel_runs * 1e9
            );
            assert!(runs > 5_000.0, "{} ran", programs()[index]);
            // Something of the host may run between the two readings.
            assert!((runs / kernel_runs - 1.0).abs() < 0.01, "{}: runs", programs()[index]);
            (0.6..1.6).contains(&(seconds / kernel_seconds))
        });
        agreements.collect::<Vec<_>>().iter().all(|agree| *agree)
    });
    assert!(agreed, "run times differ");
}
