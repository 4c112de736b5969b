//! `cargo xtask demo`: builds what is shown, and has `da-demo` show it.

use std::env;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::build::{AS_FOR_TESTS, bpf_object, host_programs};
use crate::workspace::Workspace;

/// The providers that the server asks, and the variable with the key of each.
const KEYS: [&str; 2] = ["ANTHROPIC_API_KEY", "ELEVENLABS_API_KEY"];

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
    /// Have the server record what it sees into this file, for `da-server replay`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// Builds what is shown, and becomes the program that shows it: signals are that one's.
///
/// # Errors
/// If keys are missing, the port is taken, or anything could not be built.
pub fn demo(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let begun = Instant::now();
    if arguments.real {
        require_keys(|name| env::var(name).ok())?;
    }
    require_free(SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port)))?;

    bpf_object(workspace)?;
    let bins = ["--bin", "da-server", "--bin", "da-standin", "--bin", "da-demo", AS_FOR_TESTS];
    let program = host_programs(&bins)?.remove("da-demo").context("cargo built no da-demo")?;
    let mut demo = Command::new(&program);
    demo.arg("--programs").arg(program.parent().context("da-demo is in no folder")?);
    demo.arg("--folder").arg(workspace.demo(arguments.port));
    demo.args(["--port", &arguments.port.to_string()]);
    demo.args(["--players", &arguments.players.to_string()]);
    demo.args(arguments.seconds.map(|seconds| format!("--seconds={seconds}")));
    demo.args(arguments.real.then_some("--real"));
    if let Some(file) = &arguments.record {
        demo.arg("--record").arg(file);
    }
    demo.args(["--asked-seconds-ago", &begun.elapsed().as_secs_f64().to_string()]);
    Err(demo.exec()).context("cannot start da-demo")
}

/// Checks that there are keys for the real providers.
///
/// # Errors
/// Names the variables that are missing.
pub fn require_keys(variable: impl Fn(&str) -> Option<String>) -> Result<()> {
    let is_missing = |name: &&str| variable(name).is_none_or(|key| key.trim().is_empty());
    let missing: Vec<_> = KEYS.into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!(
        "--real asks the real providers, which want keys: set {}, or leave out --real",
        missing.join(" and ")
    )
}

/// Checks that nobody listens there yet, before minutes go into building.
fn require_free(address: SocketAddr) -> Result<()> {
    TcpListener::bind(address).map(drop).with_context(|| {
        format!("{address} can't be listened on: choose another port with --port N")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_named() {
        let only = |name: &'static str| move |asked: &str| (asked == name).then(|| "k".to_owned());
        let said = require_keys(only("ANTHROPIC_API_KEY")).unwrap_err().to_string();
        assert!(said.contains("ELEVENLABS_API_KEY") && !said.contains("ANTHROPIC"), "{said}");
        let blank = |_: &str| Some(" ".to_owned());
        let said = require_keys(blank).unwrap_err().to_string();
        assert!(said.contains("ELEVENLABS") && said.contains("ANTHROPIC"), "{said}");
        assert!(require_keys(|_| Some("k".to_owned())).is_ok());
    }

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
