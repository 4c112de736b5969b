//! The benchmarks behind `cargo xtask bench`, which installs what they need, builds what they
//! measure and starts this program in network and mount namespaces of its own: nobody else's
//! traffic is in the way, and none of ours leaves.
//!
//! One module per benchmark: `hooks`, `server`, `reader`, `join`, `scrape`, `accuracy`, `players`, `speech`, `answers`.
//! What they find are `figure`s; `report` and `document` show them, with the `machine` they were found on.

mod accuracy;
mod answers;
mod client;
mod collector;
mod document;
mod exchanges;
mod figure;
mod hooks;
mod join;
mod machine;
mod players;
mod reader;
mod report;
mod scrape;
mod server;
mod speech;
mod stage;
mod statistics;
mod usage;
mod watch;
mod web;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};

use crate::figure::Figure;
use crate::machine::Machine;
use crate::report::Report;
use crate::stage::Stage;

/// Measures what the kernel view costs, how exact it is, and how many players a server carries.
#[derive(Parser)]
struct Arguments {
    /// da-server, optimized
    #[arg(long)]
    server: PathBuf,
    /// The object with the empty BPF program
    #[arg(long)]
    empty_object: PathBuf,
    /// da-bench-asker, optimized
    #[arg(long)]
    asker: PathBuf,
    /// Where NAME.json and what the programs said go
    #[arg(long)]
    output: PathBuf,
    /// The document whose sections are brought up to date, unless this is quick
    #[arg(long)]
    document: PathBuf,
    /// Two minutes for everything instead of fifteen; the spread is wide
    #[arg(long)]
    quick: bool,
    /// Only this one
    name: Option<Benchmark>,
}

/// The benchmarks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    Hooks,
    Server,
    Reader,
    Join,
    Scrape,
    Accuracy,
    Players,
    Speech,
    Answers,
}

impl Benchmark {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hooks => "hooks",
            Self::Server => "server",
            Self::Reader => "reader",
            Self::Join => "join",
            Self::Scrape => "scrape",
            Self::Accuracy => "accuracy",
            Self::Players => "players",
            Self::Speech => "speech",
            Self::Answers => "answers",
        }
    }

    /// What is done, in words.
    fn done(self) -> &'static str {
        match self {
            Self::Hooks => hooks::DONE,
            Self::Server => server::DONE,
            Self::Reader => reader::DONE,
            Self::Join => join::DONE,
            Self::Scrape => scrape::DONE,
            Self::Accuracy => accuracy::DONE,
            Self::Players => players::DONE,
            Self::Speech => speech::DONE,
            Self::Answers => answers::DONE,
        }
    }

    fn measure(self, stage: &Stage) -> Result<Vec<Figure>> {
        match self {
            Self::Hooks => hooks::measure(stage),
            Self::Server => server::measure(stage),
            Self::Reader => reader::measure(stage),
            Self::Join => join::measure(stage),
            Self::Scrape => scrape::measure(stage),
            Self::Accuracy => accuracy::measure(stage),
            Self::Players => players::measure(stage),
            Self::Speech => speech::measure(stage),
            Self::Answers => answers::measure(stage),
        }
    }
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    let scratch = arguments.output.join("scratch");
    fs::create_dir_all(&scratch).with_context(|| format!("cannot create {}", scratch.display()))?;
    let stage = Stage {
        server: arguments.server.canonicalize().context("no da-server")?,
        empty_object: arguments.empty_object.canonicalize().context("no empty BPF program")?,
        asker: arguments.asker.canonicalize().context("no da-bench-asker")?,
        scratch: scratch.canonicalize()?,
        quick: arguments.quick,
    };
    bring_loopback_up()?;
    for benchmark in Benchmark::value_variants() {
        if arguments.name.is_none_or(|only| only == *benchmark) {
            run(*benchmark, &stage, arguments)?;
        }
    }
    Ok(())
}

fn run(benchmark: Benchmark, stage: &Stage, arguments: &Arguments) -> Result<()> {
    let name = benchmark.as_str();
    println!("\n{name}");
    let machine = Machine::now();
    let figures = benchmark.measure(stage).with_context(|| format!("the benchmark {name}"))?;
    let done = benchmark.done().to_owned();
    let report = Report { name, quick: stage.quick, machine, done, figures };
    println!("\n{}\n{}", report.table(), report.machine);
    report.write_json(&arguments.output)?;
    if !stage.quick {
        document::update(&arguments.document, name, &report.markdown())?;
    }
    Ok(())
}

/// A new network namespace has nothing but a loopback device, and that is down.
fn bring_loopback_up() -> Result<()> {
    let status = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    ensure!(status.success(), "the loopback device can't be brought up");
    Ok(())
}
