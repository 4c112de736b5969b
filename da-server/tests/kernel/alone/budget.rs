//! The CPU budget: what costs too much is shed and taken back, by a server without any privilege.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use da_testkit::server::ServerProgram;

use crate::lab::cant_load;
use crate::syscalls::{Client, NAME, request, serve};
use crate::turns::alone;
use da_testkit::programs::skip;

const SHED: &str = "digital_actors_ebpf_tier_shed{tier=\"syscalls\"}";
const SHEDS: &str = "digital_actors_ebpf_tier_sheds_total{tier=\"syscalls\"}";
const RECEIVES: &str =
    "digital_actors_syscall_seconds_count{kind=\"llm\",provider=\"syscalls\",syscall=\"recvfrom\"}";
const RUNS: &str = "digital_actors_ebpf_program_runs_total{program=\"sys_enter\"}";
const EXCHANGES: &str =
    "digital_actors_socket_exchanges_total{kind=\"llm\",outcome=\"ok\",provider=\"syscalls\"}";
/// So often it may be taken back only to be shed again.
const PERIODS: usize = 5;
/// A machine may be slow; only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

fn state(program: &str, state: &str) -> String {
    format!("digital_actors_ebpf_program_state{{program=\"{program}\",state=\"{state}\"}}")
}

/// Waits until a series has this value, or fails.
fn wait_until(server: &ServerProgram, series: &str, wanted: f64) {
    let deadline = Instant::now() + PATIENCE;
    while server.value(series) != Some(wanted) {
        let value = server.value(series);
        assert!(
            Instant::now() < deadline,
            "{series} is {value:?}, not {wanted}: {:#?}",
            server.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Ends the load, also where the test fails under it.
struct Unload<'a>(&'a AtomicBool);

impl Drop for Unload<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Calls on `/dev/zero` as fast as they go, as long as `body` runs.
fn under_load(body: impl FnOnce()) {
    let loaded = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut zero = std::fs::File::open("/dev/zero").expect("opens");
            while loaded.load(Ordering::Relaxed) {
                zero.read_exact(&mut [0]).expect("reads");
            }
        });
        let _unload = Unload(&loaded);
        body();
    });
}

#[test]
fn the_syscall_tier_is_shed_under_load_and_taken_back_when_it_is_over() {
    let _alone = alone();
    if let Some(why) = cant_load() {
        return skip(&why);
    }
    let toml = format!(
        "[kernel]\ncpu_budget = 0.08\nmax_processes = 0\n\
         [[endpoint]]\nname = \"syscalls\"\nkind = \"llm\"\nhosts = [\"{NAME}\"]\n"
    );
    let server = ServerProgram::start(&["collect"], &toml, |_| {});
    let mut client = Client::connect(serve(request(NAME).len(), Duration::ZERO), NAME);
    client.send();
    client.receive();
    wait_until(&server, RECEIVES, f64::from(client.reads));
    assert_eq!(server.value(SHED), Some(0.0));
    assert_eq!(server.value(&state("sys_enter", "attached")), Some(1.0));

    under_load(|| wait_until(&server, SHED, 1.0));
    server.logged(&["system calls are not timed for a while"]);
    for program in ["sys_enter", "sys_exit"] {
        assert_eq!(server.value(&state(program, "shed")), Some(1.0), "{program}");
    }
    let counted = || {
        let (_, text) = server.get("/metrics");
        let of = |series| text.lines().find(|line| line.starts_with(series)).map(str::to_owned);
        [RECEIVES, RUNS].map(|series| of(series).expect(series))
    };
    let before = counted();
    for _ in 0..2 {
        client.send();
        client.receive();
    }
    // The second of these ends the first, which the programs report: until then nothing else was.
    wait_until(&server, EXCHANGES, 2.0);
    assert_eq!(counted(), before, "no program runs meanwhile, and nothing is timed");

    // Whatever else this host is busy with may have it shed again; then it is taken back again.
    for _ in 0..PERIODS {
        wait_until(&server, SHED, 0.0);
        let sheds = server.value(SHEDS).expect("counted");
        assert!(sheds >= 1.0, "it was shed");
        let (counted, reads) = (server.value(RECEIVES), client.reads);
        client.send();
        client.receive();
        let more = counted.expect("counted before") + f64::from(client.reads - reads);
        let deadline = Instant::now() + PATIENCE;
        while server.value(RECEIVES) != Some(more) && server.value(SHEDS) == Some(sheds) {
            assert!(Instant::now() < deadline, "receives are not timed again: {:#?}", server.log());
            std::thread::sleep(Duration::from_millis(100));
        }
        if server.value(RECEIVES) == Some(more) {
            return;
        }
        println!("shed again, {sheds} times before");
    }
    panic!("shed {PERIODS} times more by what else this host is busy with");
}
