//! The ways of watching, each with what proves that it watched.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::collector::{Collector, Settings, losses};
use crate::figure::Bar;
use crate::stage::{BEGINNING, Stage};
use crate::web::{CONNECTIONS, HOST, Load, WebServer};
use da_testkit::program::Program;
use rustix::process::Signal;

const BPFTRACE: &str = include_str!("same.bt");

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// Our collector, which looks for another host.
    NotTargeting,
    /// Our collector, which follows every request.
    Targeting,
    /// The same, and it times the client's system calls.
    TimingSyscalls,
    /// bpftrace with a script that measures the same.
    Bpftrace,
    /// tcpdump, which writes to nowhere.
    Tcpdump,
    /// strace, which counts the server's system calls.
    Strace,
}

impl Contender {
    /// All of them, in the order in which they take turns.
    pub const ALL: [Self; 6] = [
        Self::NotTargeting,
        Self::Targeting,
        Self::TimingSyscalls,
        Self::Bpftrace,
        Self::Tcpdump,
        Self::Strace,
    ];

    /// What its rows are called.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotTargeting => "collector, not targeting it",
            Self::Targeting => "collector, targeting it",
            Self::TimingSyscalls => "collector, targeting it, system calls timed",
            Self::Bpftrace => "bpftrace, the same measurements",
            Self::Tcpdump => "tcpdump -w /dev/null",
            Self::Strace => "strace -c on the server",
        }
    }

    /// The share of requests that must be left.
    pub fn bar(self) -> Option<Bar> {
        match self {
            Self::NotTargeting => Some(Bar::AtLeast(0.97)),
            Self::Targeting => Some(Bar::AtLeast(0.92)),
            Self::TimingSyscalls | Self::Bpftrace | Self::Tcpdump | Self::Strace => None,
        }
    }
}

/// One of them at work.
pub enum Watching {
    /// Our collector; whether it follows the requests.
    Collector(Collector, bool),
    /// A program, and what it says at its end if it saw anything.
    Program(Program, fn(&str) -> bool),
}

impl Watching {
    /// Starts it, and waits until it watches.
    pub fn start(contender: Contender, stage: &Stage, web: &WebServer) -> Result<Self> {
        let (command, ready, proof): (_, _, fn(&str) -> bool) = match contender {
            Contender::NotTargeting => {
                let settings = Settings::default().watch("elsewhere.bench.test");
                return Ok(Self::Collector(Collector::start(stage, &settings)?, false));
            }
            Contender::Targeting | Contender::TimingSyscalls => {
                let are_timed = contender == Contender::TimingSyscalls;
                let settings = Settings::default().watch(HOST).syscalls(are_timed);
                return Ok(Self::Collector(Collector::start(stage, &settings)?, true));
            }
            Contender::Bpftrace => {
                mount_tracefs()?;
                let script = stage.scratch.join("same.bt");
                fs::write(&script, BPFTRACE)?;
                let mut command = Command::new("bpftrace");
                command.args(["-B", "none"]).arg(script);
                (command, "Attaching", |said| said.contains("@first_byte_us"))
            }
            Contender::Tcpdump => {
                let mut command = Command::new("tcpdump");
                command.args(["--interface", "lo", "-w", "/dev/null"]);
                (command, "listening on", |said| {
                    let line = said.lines().find_map(|line| line.strip_suffix(" packets captured"));
                    line.and_then(|count| count.parse::<u64>().ok())
                        .is_some_and(|count| count > 1000)
                })
            }
            Contender::Strace => {
                let mut command = Command::new("strace");
                command.args(["-c", "-f", "-p", &web.id().to_string()]);
                (command, "attached", |said| said.contains("epoll_wait"))
            }
        };
        let name = contender.as_str().split([' ', ',']).next().unwrap_or_default();
        let mut program = stage.start(name, command)?;
        program.wait_for(BEGINNING, |said| said.contains(ready).then_some(()))?;
        if contender == Contender::Bpftrace {
            thread::sleep(Duration::from_secs(1)); // it says so before it does
        }
        Ok(Self::Program(program, proof))
    }

    /// Ends it, and checks that it did what its run was compared for.
    pub fn prove(self, load: &Load) -> Result<()> {
        match self {
            Self::Collector(collector, follows) => {
                let expected = if follows { load.requests() } else { 0.0 };
                // wrk leaves a request under way on each connection when its time is over.
                let most = expected + CONNECTIONS as f64;
                let family = "digital_actors_socket_exchanges_total";
                let scrape =
                    collector.scrape_until(|scrape| scrape.total(family, &[]) >= expected)?;
                let counted = scrape.total(family, &[]);
                let lost = losses(&scrape);
                ensure!(
                    (expected..=most).contains(&counted) && lost == 0.0,
                    "it counted {counted} exchanges of {expected}, and {lost} as lost"
                );
                Ok(())
            }
            Self::Program(program, proof) => {
                let said = program.end(Signal::INT)?;
                ensure!(proof(&said), "it saw nothing, and said: {}", said.trim());
                Ok(())
            }
        }
    }
}

/// bpftrace wants it; this mount namespace is ours.
fn mount_tracefs() -> Result<()> {
    let folder = "/sys/kernel/tracing";
    if fs::exists(format!("{folder}/events")).is_ok_and(|is_there| is_there) {
        return Ok(());
    }
    let mut mount = Command::new("mount");
    let status = mount.args(["-t", "tracefs", "tracefs", folder]).status().context("no mount")?;
    ensure!(status.success(), "tracefs can't be mounted, and bpftrace needs it");
    Ok(())
}
