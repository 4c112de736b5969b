//! What the documents' commands are typed beside: a game and a Prometheus where
//! readers have theirs, in a network of their own.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use da_testkit::built;
use da_testkit::changed::Changed;
use da_testkit::program::Program;
use da_testkit::programs::{are_there, skip};
use da_testkit::prometheus::Prometheus;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use tempfile::TempDir;

use crate::page::root;

/// How long until the game has been played and scraped.
const STARTING: Duration = Duration::from_secs(60);
/// How long a block of commands may take, by `timeout` of the coreutils: only one that hangs takes it.
const PATIENCE: &str = "300s";
/// Where Prometheus listens if nobody says otherwise.
const PROMETHEUS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Everything that the commands need.
pub struct Stage {
    prometheus: Prometheus,
    game: Program,
    path: OsString,
    folder: TempDir,
}

impl Stage {
    /// Takes this thread into a network of its own and starts all of it there. `None` without root.
    pub fn open() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skip(
                "what the documents tell to type is typed in a network of its own, which takes root",
            );
            return None;
        }
        if !are_there(&["ip", "prometheus", "promtool", "curl"]) {
            return None;
        }
        // SAFETY: only the network is unshared, no file descriptors and no memory; it is this thread's
        // from now on, and of the programs it starts.
        if let Err(why) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
            skip(&format!("a network of its own can't be had: {why}"));
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = search_path(folder.path());
        run(Command::new("ip").args(["link", "set", "lo", "up"])).expect("a loopback");

        let mut demo = Command::new(built::program("da-demo").expect("is built"));
        demo.arg("--programs").arg(built::folder().expect("is there"));
        demo.arg("--folder").arg(folder.path().join("demo"));
        let mut game = Program::start(demo, &folder.path().join("demo.log")).expect("starts");
        game.wait_for(STARTING, |said| said.contains("first scrape").then_some(()))
            .unwrap_or_else(|error| panic!("{error:#}"));
        let prometheus = Prometheus::start_at(PROMETHEUS, &configuration(folder.path()))
            .unwrap_or_else(|error| panic!("{error:#}"));
        let stage = Self { prometheus, game, path, folder };
        stage.wait_for_calls();
        Some(stage)
    }

    /// Types `commands`.
    ///
    /// # Errors
    /// What they said, if one of them fails.
    pub fn run(&self, commands: &str) -> Result<(), String> {
        let mut shell = Command::new("timeout");
        shell
            .args([PATIENCE, "bash", "-euo", "pipefail", "-c", commands])
            .current_dir(root())
            .env("PATH", &self.path)
            .env("HOME", self.folder.path());
        run(&mut shell)
    }

    /// Asks Prometheus.
    ///
    /// # Errors
    /// What it says, if it can't answer.
    pub fn ask(&self, query: &str) -> Result<(), String> {
        self.prometheus.query(query).map(drop).map_err(|error| format!("{error:#}"))
    }

    /// Until both views of a call have come as far as Prometheus: commands may ask for one.
    fn wait_for_calls(&self) {
        let begun = Instant::now();
        let joined = r#"sum(digital_actors_call_join_total{result="joined"}) > 3"#;
        while self.prometheus.query(joined).expect("parses").is_empty() {
            assert!(begun.elapsed() < STARTING, "no call was joined: {}", self.game.said());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// A `PATH` on which the programs of this build come first, as if they had been installed. Tests run as
/// root, so `sudo` has nothing to do.
fn search_path(folder: &Path) -> OsString {
    let bin = folder.join("bin");
    fs::create_dir(&bin).expect("a folder");
    script_in(&bin, "sudo", "#!/bin/sh\nexec \"$@\"\n");
    let server = built::program("da-server").expect("is built");
    let server = server.to_str().expect("a path in UTF-8").replace('\'', r"'\''");
    // `check` ends with 1 where a kernel can't measure everything: that is an answer too.
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = check ] || exec '{server}' \"$@\"\n'{server}' \"$@\" || [ $? -eq 1 ]\n"
    );
    script_in(&bin, "da-server", &script);
    let before = env::var_os("PATH").unwrap_or_default();
    env::join_paths([bin].into_iter().chain(env::split_paths(&before))).expect("a path")
}

fn script_in(bin: &Path, name: &str, text: &str) {
    let script = bin.join(name);
    fs::write(&script, text).expect("a script");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// The shipped configuration, with the names of this host and less patience.
fn configuration(folder: &Path) -> PathBuf {
    let shipped = root().join("deploy/prometheus");
    symlink(shipped.join("rules"), folder.join("rules")).expect("a link");
    let path = folder.join("prometheus.yml");
    changed(&shipped.join("prometheus.yml"), &path).unwrap_or_else(|error| panic!("{error:#}"));
    path
}

fn changed(shipped: &Path, path: &Path) -> anyhow::Result<()> {
    Changed::read(shipped)?
        .replace("da-server:8888", "127.0.0.1:8888")?
        .replace("alertmanager:9093", "127.0.0.1:9093")?
        .replace("15s", "1s")?
        .replace("scrape_timeout: 10s", "scrape_timeout: 1s")?
        .write(path)
}

/// # Errors
/// What it said, if it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&said)))
}
