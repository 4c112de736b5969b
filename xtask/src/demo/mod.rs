//! `cargo xtask demo`: providers, a server and players, and what the server's `/metrics` says of
//! them while they play.

mod config;
mod endpoint;
mod exposition;
mod faults;
mod players;
mod process;
mod screen;
mod stage;
mod summary;

use std::env;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::Instant;

use crate::build::{AS_FOR_TESTS, bpf_object, host_programs};
use crate::command::step;
use crate::workspace::Workspace;
use stage::{Programs, Stage};

/// Play the game with stand-in providers and show what is measured
#[derive(clap::Args)]
pub struct Arguments {
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
    #[arg(long, hide = true, conflicts_with = "real")]
    faults: bool,
    /// Take the programs of this folder as they are, instead of building them
    #[arg(long, hide = true, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// Builds what is shown, and shows it.
///
/// # Errors
/// If anything could not be started, ended on its own, or no call succeeded.
pub fn demo(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    if arguments.real {
        config::require_keys(|name| env::var(name).ok())?;
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    require_free(address)?;

    let programs = match &arguments.programs {
        Some(folder) => {
            Programs { server: folder.join("da-server"), stand_in: folder.join("da-standin") }
        }
        None => build(workspace)?,
    };
    let folder = workspace.demo(arguments.port);
    empty(&folder)?;

    step(&format!("play; configuration and logs are in {}", folder.display()));
    let stage = Stage {
        programs,
        folder,
        address,
        players: arguments.players,
        real: arguments.real,
        faults: arguments.faults,
        lasts: arguments.seconds.map(Duration::from_secs),
        begun,
    };
    // One thread: the programs live as long as the thread that starts them.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(stage.run())
}

fn build(workspace: &Workspace) -> Result<Programs> {
    bpf_object(workspace)?;
    let programs = host_programs(&["--bin", "da-server", "--bin", "da-standin", AS_FOR_TESTS])?;
    let program = |name: &str| {
        programs.get(name).cloned().with_context(|| format!("cargo built no program {name}"))
    };
    Ok(Programs { server: program("da-server")?, stand_in: program("da-standin")? })
}

/// Checks that nobody listens there yet, before minutes go into building.
fn require_free(address: SocketAddr) -> Result<()> {
    TcpListener::bind(address).map(drop).with_context(|| {
        format!("{address} can't be listened on: choose another port with --port N")
    })
}

/// A folder with nothing in it from an earlier demo.
fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_the_way_out() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let said = require_free(address).unwrap_err().to_string();
        assert!(said.contains(&address.to_string()) && said.contains("--port"), "{said}");
        drop(taken);
        assert!(require_free(address).is_ok());
    }
}
