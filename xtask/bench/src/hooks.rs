//! Run time of each program beside an empty one on the same hook, for the same events.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aya::programs::RawTracePoint;
use aya::sys::{Stats, enable_stats};
use aya::{Ebpf, EbpfLoader};
use da_ebpf_common::program::{Hook, Program};

use crate::collector::{Collector, Settings};
use crate::exchanges::Exchanges;
use crate::exposition::Exposition;
use crate::figure::{Bar, Figure, Unit};
use crate::stage::Stage;

const TRACKED: &str = "tracked.bench.test";
const UNTRACKED: &str = "untracked.bench.test";
const CONNECTIONS: usize = 16;

/// Programs that run once for each exchange on either end.
const PER_EXCHANGE: [Program; 3] = [Program::SockSend, Program::SockArrival, Program::SockRecv];

/// Run time of one program and of the empty one beside it, ns a run.
#[derive(Debug, Clone, Copy)]
struct Beside {
    runs: f64,
    own_ns: f64,
    empty_ns: f64,
}

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
    before, is taken off.";

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let _statistics = enable_stats(Stats::RunTime).context("the kernel keeps no statistics")?;
    let mut rounds = Rounds::new();
    for round in 0..stage.pace(4, 16) {
        one_round(stage, round % 2 == 0, &mut rounds)?;
    }
    Ok(figures(&rounds))
}

fn one_round(stage: &Stage, empty_first: bool, rounds: &mut Rounds) -> Result<()> {
    let settings = Settings::default().watch(TRACKED);
    let mut empty = None;
    if empty_first {
        empty = Some(EmptyPrograms::attach(stage)?);
    }
    let collector = Collector::start(stage, &settings)?;
    let empty = match empty {
        Some(empty) => empty,
        None => EmptyPrograms::attach(stage)?,
    };
    let bench = Bench { collector, empty };

    for host in [UNTRACKED, TRACKED] {
        let before = bench.collector.scrape()?;
        let mut exchanges = Exchanges::open(host, CONNECTIONS)?;
        exchanges.round()?;
        // Until the collector has read the name of a host, the programs follow its connections.
        let read = |scrape: &Exposition| {
            scrape.sum("digital_actors_ebpf_events_total", &["event=\"first_bytes\""])
        };
        bench
            .collector
            .scrape_until(|scrape| read(scrape) - read(&before) >= CONNECTIONS as f64)?;
        thread::sleep(Duration::from_millis(100)); // others may have been read in their place
        let times = stage.pace(1_500, 6_000);
        let measured = bench.during(|| (0..times).try_for_each(|_| exchanges.round()))?;
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
    let measured = bench.during(|| {
        let mut exchanges = Exchanges::open(TRACKED, stage.pace(1_000, 4_000))?;
        exchanges.round()
    })?;
    let state = Program::SockState.as_str();
    let sample = Sample { beside: measured[state], of_tracked: 0.0 };
    rounds.entry((state, TRACKED)).or_default().push(sample);
    Ok(())
}

fn figures(rounds: &Rounds) -> Vec<Figure> {
    let mut figures = Vec::new();
    let empty: Vec<_> = rounds.values().flatten().map(|sample| sample.beside.empty_ns).collect();
    figures.push(Figure::of_rounds("empty program, any hook", Unit::Nanoseconds, &empty));
    for program in PER_EXCHANGE {
        let name = program.as_str();
        let (Some(untracked), Some(mixed)) =
            (rounds.get(&(name, UNTRACKED)), rounds.get(&(name, TRACKED)))
        else {
            continue;
        };
        let untracked: Vec<_> = untracked.iter().map(|sample| sample.beside).collect();
        let rounds = mixed.iter().zip(&untracked);
        let tracked: Vec<_> =
            rounds.map(|(mixed, untracked)| mixed.tracked_alone(untracked.own_ns)).collect();
        figures.extend(pair(&format!("{name}, untracked"), &untracked, Bar::AtMost(1.8)));
        figures.extend(pair(&format!("{name}, tracked"), &tracked, Bar::AtMost(4.0)));
    }
    let state = Program::SockState.as_str();
    if let Some(mixed) = rounds.get(&(state, TRACKED)) {
        let what = format!("{state}, mean of a connection's life, both ends");
        let mixed: Vec<_> = mixed.iter().map(|sample| sample.beside).collect();
        figures.extend(pair(&what, &mixed, Bar::AtMost(4.0)));
    }
    figures
}

fn pair(what: &str, rounds: &[Beside], bar: Bar) -> [Figure; 2] {
    let own: Vec<_> = rounds.iter().map(|beside| beside.own_ns).collect();
    let ratio: Vec<_> = rounds.iter().map(|beside| beside.own_ns / beside.empty_ns).collect();
    [
        Figure::of_rounds(what, Unit::Nanoseconds, &own),
        Figure::of_rounds(format!("{what}: × empty"), Unit::Ratio, &ratio).with_bar(bar),
    ]
}

/// Collector and empty programs, attached.
struct Bench {
    collector: Collector,
    empty: EmptyPrograms,
}

impl Bench {
    /// What a run of each program cost while something was done, by the program's name.
    fn during(&self, work: impl FnOnce() -> Result<()>) -> Result<BTreeMap<&'static str, Beside>> {
        let before = self.totals()?;
        work()?;
        let after = self.totals()?;
        let mut measured = BTreeMap::new();
        for (name, [own, empty]) in &after {
            let [own_before, empty_before] = &before[name];
            let beside = Beside {
                runs: own.0 - own_before.0,
                own_ns: (own.1 - own_before.1) / (own.0 - own_before.0),
                empty_ns: (empty.1 - empty_before.1) / (empty.0 - empty_before.0),
            };
            measured.insert(*name, beside);
        }
        Ok(measured)
    }

    /// Runs and ns of every program, and of the empty one on its hook.
    fn totals(&self) -> Result<BTreeMap<&'static str, [(f64, f64); 2]>> {
        let own = self.collector.programs()?;
        let mut totals = BTreeMap::new();
        for (program, empty) in &self.empty.0 {
            let name = program.as_str();
            let own = own.iter().find(|one| one.name_as_str() == Some(name));
            let own = own.with_context(|| format!("{name} is not loaded"))?;
            let found = empty.program("empty").context("no empty program")?;
            let empty = found.info()?;
            let total = |info: &aya::programs::ProgramInfo| {
                (info.run_count() as f64, info.run_time().as_nanos() as f64)
            };
            totals.insert(name, [total(own), total(&empty)]);
        }
        Ok(totals)
    }
}

/// An empty program on the hook of each of ours that is measured.
struct EmptyPrograms(Vec<(Program, Ebpf)>);

impl EmptyPrograms {
    fn attach(stage: &Stage) -> Result<Self> {
        let attach = |program: Program| {
            let mut ebpf = EbpfLoader::new().load_file(&stage.empty_object)?;
            let found = ebpf.program_mut("empty").context("the object has no empty program")?;
            let empty: &mut RawTracePoint = found.try_into()?;
            empty.load()?;
            let (Hook::RawTracepoint(tracepoint) | Hook::BtfTracepoint(tracepoint)) =
                program.hook()
            else {
                bail!("{} is not on a tracepoint", program.as_str())
            };
            empty.attach(tracepoint)?;
            Ok((program, ebpf))
        };
        let measured = PER_EXCHANGE.into_iter().chain([Program::SockState]);
        measured.map(attach).collect::<Result<_>>().map(Self)
    }
}
