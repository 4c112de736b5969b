//! Run time of each program beside an empty one on the same hook, for the same events.

mod attached;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::sys::{Stats, enable_stats};
use da_ebpf_common::program::Program;

use self::attached::{Attached, Beside};
use crate::collector::Settings;
use crate::exchanges::Exchanges;
use crate::figure::{Bar, Figure, Unit};
use crate::stage::Stage;

const TRACKED: &str = "tracked.bench.test";
/// After so long the syscall tier ignores a process that has connected to nobody of interest.
const FORGOTTEN: Duration = Duration::from_millis(3_500);
const UNTRACKED: &str = "untracked.bench.test";

/// Programs that run once for each exchange on either end.
const PER_EXCHANGE: [Program; 3] = [Program::SockSend, Program::SockArrival, Program::SockRecv];

/// One round of one program.
#[derive(Debug, Clone, Copy)]
struct Sample {
    beside: Beside,
    /// So many of the runs were of tracked sockets.
    of_tracked: f64,
}

impl Sample {
    /// The same for the runs of tracked sockets alone, where the others cost `untracked_ns`.
    fn tracked_alone(self, untracked_ns: f64) -> Beside {
        let Beside { runs, own_ns, empty_ns } = self.beside;
        let others_ns = (runs - self.of_tracked) * untracked_ns;
        Beside {
            runs: self.of_tracked,
            own_ns: (runs * own_ns - others_ns) / self.of_tracked,
            empty_ns,
        }
    }
}

/// By name of a program, and of the host that was talked to.
type Rounds = BTreeMap<(&'static str, &'static str), Vec<Sample>>;

/// What was done.
pub const DONE: &str = "Both programs are attached at once, in turns the one or the other first, and run for the same \
    events of loopback exchanges whose two ends are one thread's; times are the kernel's own \
    (`BPF_ENABLE_STATS`), which include about 40 ns for taking them. A server's socket is never \
    tracked: of the runs during tracked exchanges half are not, and their share, measured just \
    before, is taken off. The syscall tier runs at all system calls, and ends early in processes that \
    talk to no endpoint.";

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let _statistics = enable_stats(Stats::RunTime).context("the kernel keeps no statistics")?;
    let mut rounds = Rounds::new();
    for round in 0..stage.pace(4, 16) {
        one_round(stage, round % 2 == 0, &mut rounds)?;
    }
    for round in 0..stage.pace(2, 8) {
        round_of_syscalls(stage, round % 2 == 0, &mut rounds)?;
    }
    Ok(figures(&rounds))
}

fn one_round(stage: &Stage, empty_first: bool, rounds: &mut Rounds) -> Result<()> {
    let programs = [&PER_EXCHANGE[..], &[Program::SockState]].concat();
    let settings = Settings::default().watch(TRACKED);
    let attached = Attached::start(stage, &settings, &programs, empty_first)?;
    for host in [UNTRACKED, TRACKED] {
        let mut exchanges = attached.open(host)?;
        let times = stage.pace(1_500, 6_000);
        let measured = attached.during(|| (0..times).try_for_each(|_| exchanges.round()))?;
        for program in PER_EXCHANGE {
            let name = program.as_str();
            let beside = measured[name];
            let made = (times * exchanges.connections()) as f64;
            ensure!(beside.runs >= 2.0 * made, "{name} missed some of {made} exchanges");
            // One end of a loopback connection is a client's, and what else there is on the host
            // is not tracked either.
            let of_tracked = if host == TRACKED { made } else { 0.0 };
            let sample = Sample { beside, of_tracked };
            rounds.entry((name, host)).or_default().push(sample);
        }
    }
    // Births and deaths, which come once a connection. Nobody knows yet whose it is.
    let measured = attached.during(|| {
        let mut exchanges = Exchanges::open(TRACKED, stage.pace(1_000, 4_000))?;
        exchanges.round()
    })?;
    let state = Program::SockState.as_str();
    let sample = Sample { beside: measured[state], of_tracked: 0.0 };
    rounds.entry((state, TRACKED)).or_default().push(sample);
    Ok(())
}

/// The syscall tier by itself: where it is on, the other programs note something for it.
fn round_of_syscalls(stage: &Stage, empty_first: bool, rounds: &mut Rounds) -> Result<()> {
    let settings = Settings::default().watch(TRACKED).syscalls(true);
    let attached = Attached::start(stage, &settings, &Program::SYSCALLS, empty_first)?;
    for host in [UNTRACKED, TRACKED] {
        let mut exchanges = attached.open(host)?;
        if host == UNTRACKED {
            thread::sleep(FORGOTTEN);
        }
        let times = stage.pace(1_500, 6_000);
        let measured = attached.during(|| (0..times).try_for_each(|_| exchanges.round()))?;
        for program in Program::SYSCALLS {
            let name = program.as_str();
            // Both ends are this process's, and each writes and reads once.
            let made = (4 * times * exchanges.connections()) as f64;
            let of_tracked = if host == TRACKED { made } else { 0.0 };
            let sample = Sample { beside: measured[name], of_tracked };
            rounds.entry((name, host)).or_default().push(sample);
        }
    }
    Ok(())
}

fn figures(rounds: &Rounds) -> Vec<Figure> {
    let mut figures = Vec::new();
    let empty: Vec<_> = rounds.values().flatten().map(|sample| sample.beside.empty_ns).collect();
    figures.push(Figure::of_rounds("empty program, any hook", Unit::Nanoseconds, &empty));
    for program in PER_EXCHANGE {
        let name = program.as_str();
        let Some([untracked, tracked]) = apart(rounds, name) else { continue };
        figures.extend(pair(&format!("{name}, untracked"), &untracked, Some(Bar::AtMost(1.8))));
        figures.extend(pair(&format!("{name}, tracked"), &tracked, Some(Bar::AtMost(4.0))));
    }
    let state = Program::SockState.as_str();
    if let Some(mixed) = rounds.get(&(state, TRACKED)) {
        let what = format!("{state}, mean of a connection's life, both ends");
        let mixed: Vec<_> = mixed.iter().map(|sample| sample.beside).collect();
        figures.extend(pair(&what, &mixed, Some(Bar::AtMost(4.0))));
    }
    for program in Program::SYSCALLS {
        let name = program.as_str();
        let Some([others, own]) = apart(rounds, name) else { continue };
        figures.extend(pair(&format!("{name}, other processes"), &others, None));
        figures.extend(pair(&format!("{name}, processes with tracked sockets"), &own, None));
    }
    figures
}

/// What the runs of untracked and of tracked sockets cost, round by round.
fn apart(rounds: &Rounds, program: &'static str) -> Option<[Vec<Beside>; 2]> {
    let (untracked, mixed) = (rounds.get(&(program, UNTRACKED))?, rounds.get(&(program, TRACKED))?);
    let untracked: Vec<_> = untracked.iter().map(|sample| sample.beside).collect();
    let pairs = mixed.iter().zip(&untracked);
    let tracked = pairs.map(|(mixed, untracked)| mixed.tracked_alone(untracked.own_ns)).collect();
    Some([untracked, tracked])
}

fn pair(what: &str, rounds: &[Beside], bar: Option<Bar>) -> [Figure; 2] {
    let own: Vec<_> = rounds.iter().map(|beside| beside.own_ns).collect();
    let ratio: Vec<_> = rounds.iter().map(|beside| beside.own_ns / beside.empty_ns).collect();
    [
        Figure::of_rounds(what, Unit::Nanoseconds, &own),
        Figure { bar, ..Figure::of_rounds(format!("{what}: × empty"), Unit::Ratio, &ratio) },
    ]
}
