//! The collector's programs and empty ones, attached to the same hooks.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aya::programs::RawTracePoint;
use aya::{Ebpf, EbpfLoader};
use da_ebpf_common::program::{Hook, Program};

use crate::collector::{Collector, Settings};
use crate::exchanges::Exchanges;
use crate::stage::Stage;
use da_testkit::exposition::Exposition;

const CONNECTIONS: usize = 16;

/// Run time of one program and of the empty one beside it, ns a run.
#[derive(Debug, Clone, Copy)]
pub struct Beside {
    /// Runs of the program.
    pub runs: f64,
    /// Run time of the program.
    pub own_ns: f64,
    /// Run time of the empty one.
    pub empty_ns: f64,
}

/// Collector and empty programs, attached.
pub struct Attached {
    collector: Collector,
    empty: EmptyPrograms,
}

impl Attached {
    /// Starts both, with an empty program beside each of `programs`.
    pub fn start(
        stage: &Stage,
        settings: &Settings,
        programs: &[Program],
        empty_first: bool,
    ) -> Result<Self> {
        if empty_first {
            let empty = EmptyPrograms::attach(stage, programs)?;
            return Ok(Self { collector: Collector::start(stage, settings)?, empty });
        }
        let collector = Collector::start(stage, settings)?;
        Ok(Self { collector, empty: EmptyPrograms::attach(stage, programs)? })
    }

    /// Connections to a host of which the collector has read the name: until then, the programs
    /// follow any.
    pub fn open(&self, host: &str) -> Result<Exchanges> {
        let read = |scrape: &Exposition| {
            scrape.total("digital_actors_ebpf_events_total", &[("event", "first_bytes")])
        };
        let before = read(&self.collector.scrape()?);
        let mut exchanges = Exchanges::open(host, CONNECTIONS)?;
        exchanges.round()?;
        self.collector.scrape_until(|scrape| read(scrape) - before >= CONNECTIONS as f64)?;
        thread::sleep(Duration::from_millis(100)); // others may have been read in their place
        Ok(exchanges)
    }

    /// What a run of each program cost while something was done, by the program's name.
    pub fn during(
        &self,
        work: impl FnOnce() -> Result<()>,
    ) -> Result<BTreeMap<&'static str, Beside>> {
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
    fn attach(stage: &Stage, programs: &[Program]) -> Result<Self> {
        let attach = |program: &Program| {
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
            Ok((*program, ebpf))
        };
        programs.iter().map(attach).collect::<Result<_>>().map(Self)
    }
}
