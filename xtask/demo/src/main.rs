//! The demo that `cargo xtask demo` builds and starts: stand-in providers, a server and players, and what
//! the server's `/metrics` says of them while they play.

mod config;
mod endpoint;
mod faults;
mod players;
mod screen;
mod stage;
mod summary;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::time::Instant;

use stage::Stage;

/// Plays the game with stand-in providers and shows what is measured.
#[derive(Parser)]
struct Arguments {
    /// The folder with da-server and da-standin
    #[arg(long, value_name = "FOLDER")]
    programs: PathBuf,
    /// Where configuration, logs and database go; what is in there is deleted first
    #[arg(long)]
    folder: PathBuf,
    /// Seconds that have passed since the demo was asked for
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    asked_seconds_ago: f64,
    /// End by itself after so many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// How many scripted players there are
    #[arg(long, value_name = "N", default_value_t = 3)]
    players: usize,
    /// Port of the page and of /metrics
    #[arg(long, default_value_t = 8888, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Ask the real providers, with ANTHROPIC_API_KEY and ELEVENLABS_API_KEY
    #[arg(long)]
    real: bool,
    /// Let the stand-ins fail now and then, for tests of what is made of that
    #[arg(long, conflicts_with = "real")]
    faults: bool,
    /// Have the server record what it sees into this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

// One thread: the programs live as long as the thread that starts them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match demo(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What stopped us first, then what it was needed for, as all of `cargo xtask` does.
            eprintln!();
            for cause in error.chain().collect::<Vec<_>>().iter().rev() {
                eprintln!("error: {cause}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn demo(arguments: Arguments) -> Result<()> {
    let asked_before = Duration::try_from_secs_f64(arguments.asked_seconds_ago)?;
    empty(&arguments.folder)?;
    eprintln!("\n==> play; configuration and logs are in {}", arguments.folder.display());
    let stage = Stage {
        server: arguments.programs.join("da-server"),
        stand_in: arguments.programs.join("da-standin"),
        folder: arguments.folder,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port)),
        players: arguments.players,
        real: arguments.real,
        faults: arguments.faults,
        record: arguments.record,
        lasts: arguments.seconds.map(Duration::from_secs),
        asked_before,
        begun: Instant::now(),
    };
    stage.run().await
}

/// A folder with nothing in it from an earlier demo.
fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}
