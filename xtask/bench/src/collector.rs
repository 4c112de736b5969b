//! The collector under test: `da-server` as it is released, in a process of its own.

use std::collections::HashSet;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::programs::{ProgramInfo, loaded_programs};
use serde::Serialize;

use crate::stage::{BEGINNING, Stage};
use da_testkit::exposition::Exposition;
use da_testkit::program::Program;

/// Where it listens: nobody else does in this network namespace.
const ADDRESS: &str = "127.0.0.1:8888";

/// A running collector.
pub struct Collector {
    process: Program,
    agent: ureq::Agent,
}

/// What it is told.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Settings {
    kernel: KernelSettings,
    endpoint: Vec<Endpoint>,
}

#[derive(Debug, Clone, Serialize)]
struct KernelSettings {
    syscalls: bool,
    cpu_budget: f64,
}

/// Without the syscall tier, whose cost is shown by itself; with it, it is never shed.
impl Default for KernelSettings {
    fn default() -> Self {
        Self { syscalls: false, cpu_budget: 1.0 }
    }
}

#[derive(Debug, Clone, Serialize)]
struct Endpoint {
    name: String,
    kind: &'static str,
    hosts: Vec<String>,
}

#[derive(Serialize)]
struct Config<'a> {
    listen: &'a str,
    #[serde(flatten)]
    settings: &'a Settings,
}

impl Settings {
    /// The same with or without the syscall tier.
    pub fn syscalls(mut self, are_timed: bool) -> Self {
        self.kernel.syscalls = are_timed;
        self
    }

    /// Watches one host, as an endpoint of its own.
    pub fn watch(mut self, host: &str) -> Self {
        let name = host.split('.').next().unwrap_or(host).to_owned();
        self.endpoint.push(Endpoint { name, kind: "llm", hosts: vec![host.to_owned()] });
        self
    }
}

impl Collector {
    /// Starts it, and waits until it answers and its programs are attached.
    pub fn start(stage: &Stage, settings: &Settings) -> Result<Self> {
        let path = stage.scratch.join("collector.toml");
        fs::write(&path, toml::to_string(&Config { listen: ADDRESS, settings })?)?;
        let mut command = Command::new(&stage.server);
        command.arg("--config").arg(&path).arg("collect").env_clear();
        // Nobody is asked for the catalogue's hosts.
        command.env("DA_KERNEL__RESOLVE", "false");
        let process = stage.start("collector", command)?;
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10)));
        let mut collector = Self { process, agent: config.build().new_agent() };
        let agent = collector.agent.clone();
        collector.process.wait_for(BEGINNING, |_| get(&agent).ok())?;
        let up = collector.scrape()?.total("digital_actors_ebpf_up", &[]);
        ensure!(up == 1.0, "the collector has no kernel view: {}", collector.process.said());
        Ok(collector)
    }

    /// `/metrics`.
    pub fn scrape(&self) -> Result<Exposition> {
        get(&self.agent).map(Exposition).context("the collector does not answer")
    }

    /// The first scrape that is as wished; after ten seconds any, which the caller has to judge.
    pub fn scrape_until(&self, is_as_wished: impl Fn(&Exposition) -> bool) -> Result<Exposition> {
        let begun = Instant::now();
        loop {
            let scrape = self.scrape()?;
            if is_as_wished(&scrape) || begun.elapsed() > Duration::from_secs(10) {
                return Ok(scrape);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What the kernel says of the programs that it has loaded.
    pub fn programs(&self) -> Result<Vec<ProgramInfo>> {
        let folder = format!("/proc/{}/fdinfo", self.id());
        let mut own = HashSet::new();
        for file in fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))? {
            // A descriptor that was closed meanwhile is none of a program.
            let Ok(info) = fs::read_to_string(file?.path()) else { continue };
            let id = info.lines().find_map(|line| line.strip_prefix("prog_id:"));
            own.extend(id.and_then(|id| id.trim().parse::<u32>().ok()));
        }
        Ok(loaded_programs().filter_map(Result::ok).filter(|one| own.contains(&one.id())).collect())
    }
}

fn get(agent: &ureq::Agent) -> Result<String, ureq::Error> {
    agent
        .get(format!("http://{ADDRESS}/metrics"))
        .call()?
        .body_mut()
        .with_config()
        .limit(256 << 20)
        .read_to_string()
}

/// What was lost so far, for any reason; but for runs of a program that nested in another one's:
/// those show as a count that does not come out.
pub fn losses(scrape: &Exposition) -> f64 {
    let family = "digital_actors_ebpf_lost_total";
    scrape.total(family, &[]) - scrape.total(family, &[("reason", "recursion")])
}

/// CPU time of the programs so far, as the collector estimates it, seconds.
pub fn program_seconds(scrape: &Exposition) -> f64 {
    scrape.total("digital_actors_ebpf_program_run_seconds_total", &[])
}
