//! Servers, and a Prometheus that watches them with the configuration that is shipped for it.

use std::env;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use da_testkit::alertmanager::Alertmanager;
use da_testkit::built;
use da_testkit::changed::Changed;
use da_testkit::program::Program;
use da_testkit::prometheus::Prometheus;
use tempfile::TempDir;

/// How often the demo is scraped, and rules are evaluated, so that a minute is enough.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// How long a demo may take until it serves its metrics.
const STARTING: Duration = Duration::from_secs(60);
/// A test that is not done by then never will be.
const LONGEST: &str = "300";

/// A game whose model is nowhere.
const UNSEEN_GAME: &str = "
[store]
path = \"unseen.sqlite\"
[kernel]
enabled = false
[llm]
base_url = \"http://127.0.0.1:1\"
";
/// A collector that asks nobody for names.
const COLLECTOR: &str = "
[kernel]
resolve = false
";
/// Where it is to be scraped: shipped as a comment, for whoever has one.
const COLLECTOR_JOB: &str = "
  # - job_name: digital-actors-collector
  #   static_configs:
  #     - targets: [\"worker-1:9464\", \"worker-2:9464\"]
";

/// What a test takes for it to go well, or wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Play {
    /// Everything works.
    Healthy,
    /// Providers fail now and then.
    Faulty,
}

/// Three servers and what watches them; all end with this value.
pub struct Stage {
    /// What watches.
    pub prometheus: Prometheus,
    _alertmanager: Alertmanager,
    demo: Option<Program>,
    _others: [Program; 2],
    demo_address: SocketAddr,
    folder: TempDir,
}

impl Stage {
    /// Starts a demo, a game without a kernel view that nobody plays, a collector, and Prometheus.
    ///
    /// # Errors
    /// If one does not start: what it said.
    pub fn start(play: Play) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [demo_address, game, collector, itself] = free_addresses()?;
        let demo = Some(start_demo(folder.path(), demo_address, play)?);
        let others = [
            start_server(folder.path(), "serve", game, UNSEEN_GAME)?,
            start_server(folder.path(), "collect", collector, COLLECTOR)?,
        ];
        let alertmanager = Alertmanager::start(&shipped().join("alertmanager.yml"))?;
        let watched = Watched {
            games: [demo_address, game],
            collector,
            prometheus: itself,
            alertmanager: alertmanager.address(),
        };
        let config = write_config(folder.path(), &watched)?;
        let prometheus = Prometheus::start_at(itself, &config)?;
        Ok(Self {
            prometheus,
            _alertmanager: alertmanager,
            demo,
            _others: others,
            demo_address,
            folder,
        })
    }

    /// Ends the demo, and starts another in its place.
    ///
    /// # Errors
    /// If it does not start: what it said.
    pub fn play_again(&mut self, play: Play) -> Result<()> {
        self.demo = None;
        self.demo = Some(start_demo(self.folder.path(), self.demo_address, play)?);
        Ok(())
    }
}

/// Where nobody listens now.
fn free_addresses() -> Result<[SocketAddr; 4]> {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0"));
    let addresses = listeners.into_iter().map(|listener| listener?.local_addr());
    let addresses = addresses.collect::<std::io::Result<Vec<_>>>()?;
    addresses.try_into().map_err(|_| anyhow!("as many as there were listeners"))
}

fn start_demo(folder: &Path, address: SocketAddr, play: Play) -> Result<Program> {
    let mut command = Command::new(built::program("da-demo")?);
    command.args(["--seconds", LONGEST, "--port", &address.port().to_string()]);
    command.arg("--programs").arg(built::folder()?);
    command.arg("--folder").arg(folder.join("demo"));
    if play == Play::Faulty {
        command.arg("--faults");
    }
    let mut demo = Program::start(command, &folder.join(format!("{play:?}.log")))?;
    demo.wait_for(STARTING, |said| said.contains("metrics: http").then_some(()))?;
    Ok(demo)
}

/// Starts `da-server MODE` with these settings.
fn start_server(folder: &Path, mode: &str, address: SocketAddr, settings: &str) -> Result<Program> {
    let config = folder.join(format!("{mode}.toml"));
    fs::write(&config, format!("listen = \"{address}\"\n{settings}"))?;
    let mut command = Command::new(built::program("da-server")?);
    command.arg("--config").arg(config).arg(mode).env_clear().current_dir(folder);
    let mut server = Program::start(command, &folder.join(format!("{mode}.log")))?;
    server.wait_for(STARTING, |_| TcpStream::connect(address).ok().map(drop))?;
    Ok(server)
}

/// Whom Prometheus scrapes.
struct Watched {
    games: [SocketAddr; 2],
    collector: SocketAddr,
    prometheus: SocketAddr,
    alertmanager: SocketAddr,
}

/// The shipped configuration of Prometheus and Alertmanager.
fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/prometheus")
}

/// That of Prometheus and its rules, but for the addresses and a quicker pace.
fn write_config(folder: &Path, watched: &Watched) -> Result<PathBuf> {
    let shipped = shipped();
    let quoted = |address: &SocketAddr| format!("\"{address}\"");
    let collector_job = COLLECTOR_JOB
        .replace("# ", "")
        .replace("\"worker-1:9464\", \"worker-2:9464\"", &quoted(&watched.collector));
    let interval = format!("{}s", INTERVAL.as_secs());
    let config = Changed::read(&shipped.join("prometheus.yml"))?
        .replace("scrape_interval: 15s", &format!("scrape_interval: {interval}"))?
        .replace("scrape_timeout: 10s", &format!("scrape_timeout: {interval}"))?
        .replace("evaluation_interval: 15s", &format!("evaluation_interval: {interval}"))?
        .replace("\"da-server:8888\"", &watched.games.map(|game| quoted(&game)).join(", "))?
        .replace(COLLECTOR_JOB, &collector_job)?
        .replace("alertmanager:9093", &watched.alertmanager.to_string())?
        .replace("localhost:9090", &watched.prometheus.to_string())?;
    let path = folder.join("prometheus.yml");
    config.write(&path)?;

    let rules = folder.join("rules");
    fs::create_dir(&rules)?;
    for entry in fs::read_dir(shipped.join("rules"))? {
        let file = entry?.path();
        let text = fs::read_to_string(&file)?;
        let name = file.file_name().context("a file has a name")?;
        let text = text.replace("interval: 1m", &format!("interval: {interval}"));
        fs::write(rules.join(name), text)?;
    }
    Ok(path)
}
