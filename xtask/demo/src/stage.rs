//! Starts everything, watches it, and ends it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use da_testkit::exposition::Exposition;
use da_testkit::program::Program;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::config::{self, StandIn};
use crate::faults;
use crate::players::{self, Noticed};
use crate::screen::Screen;
use crate::summary::Summary;

/// How long a program may take to begin its work.
const STARTING: Duration = Duration::from_secs(30);
/// How long the server may take to answer.
const ANSWERING: Duration = Duration::from_secs(20);

/// Everything that a demo depends on.
pub struct Stage {
    /// The program da-server.
    pub server: PathBuf,
    /// The program da-standin.
    pub stand_in: PathBuf,
    /// Where they keep what they need.
    pub folder: PathBuf,
    /// Where the server listens.
    pub address: SocketAddr,
    /// How many players come.
    pub players: usize,
    /// Whether the real providers are asked.
    pub real: bool,
    /// Whether the stand-ins fail now and then.
    pub faults: bool,
    /// Where the server records what it sees, if anywhere.
    pub record: Option<PathBuf>,
    /// When it ends by itself, if it does.
    pub lasts: Option<Duration>,
    /// How long the command had been given when it began.
    pub asked_before: Duration,
    /// When it began.
    pub begun: Instant,
}

/// What is left when the playing ends, however it does.
#[derive(Default)]
struct Played {
    programs: Vec<Program>,
    noticed: Arc<Noticed>,
    first_scrape_after: Option<Duration>,
    last_scrape: Option<Exposition>,
}

/// The wishes that it may end.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

impl Stage {
    /// Plays until the time is over or somebody wishes the end.
    pub async fn run(self) -> Result<()> {
        // From here on a signal ends what was started, instead of just this process.
        let mut ends = Ends {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        };
        let mut played = Played::default();
        let result = tokio::select! {
            result = self.play(&mut played) => result,
            () = ends.wished() => Ok(()),
        };
        // The server first: it says goodbye to the players and to the providers.
        while let Some(program) = played.programs.pop() {
            drop(program);
        }
        let summary =
            played.last_scrape.as_ref().map(|scrape| Summary::new(scrape, &played.noticed));
        if let Some(summary) = &summary {
            self.report(summary, played.first_scrape_after);
        }
        println!("\nEverything that was started has ended. Logs: {}", self.folder.display());
        result?;
        ensure!(
            summary.is_some_and(|summary| summary.calls_were_made()),
            "no call to a language model, or none to a voice, succeeded; see {}",
            self.log("da-server").display()
        );
        Ok(())
    }

    async fn play(&self, played: &mut Played) -> Result<()> {
        let stand_in = match self.real {
            true => None,
            false => Some(self.start_stand_in(&mut played.programs)?),
        };
        let config = config::write(&self.folder, self.address, stand_in.as_ref())?;
        if self.faults {
            faults::add_settings(&config, &self.folder)?;
        }
        let mut command = Command::new(&self.server);
        command.arg("--config").arg(config).arg("serve");
        if let Some(file) = &self.record {
            command.arg("--record").arg(file);
        }
        config::isolate(&mut command, self.real);
        played.programs.push(Program::start(command, &self.log("da-server"))?);

        played.last_scrape = Some(self.first_scrape(&mut played.programs).await?);
        let after = self.asked_before + self.begun.elapsed();
        played.first_scrape_after = Some(after);
        println!("    first scrape after {:.1} s", after.as_secs_f64());
        for line in self.header() {
            println!("    {line}");
        }

        let _players = self.players(&played.noticed).await?;
        self.watch(played).await
    }

    /// The last word on how it went.
    fn report(&self, summary: &Summary, first_scrape_after: Option<Duration>) {
        println!("\n{}", summary.lines().join("\n"));
        if let Some(after) = first_scrape_after {
            println!("\nThe first scrape came {:.1} s after the command.", after.as_secs_f64());
        }
        if summary.kernel_view_missing().as_deref() == Some("missing_capability") {
            println!(
                "\nThe kernel view takes root. Run this as root, or type\n\n    \
                 sudo setcap cap_bpf,cap_perfmon+ep {}\n\n\
                 and run it again. (Each build of the server needs that anew.)",
                self.server.display()
            );
        }
    }

    fn start_stand_in(&self, programs: &mut Vec<Program>) -> Result<StandIn> {
        let ca_file = self.folder.join("stand-in-ca.pem");
        let mut command = Command::new(&self.stand_in);
        command
            .arg("--ca-out")
            .arg(&ca_file)
            .arg("--log")
            .arg(self.folder.join("stand-in.jsonl"))
            .args(if self.faults { faults::PLANS } else { config::PLANS });
        let mut program = Program::start(command, &self.log("da-standin"))?;
        let address = |said: &str| {
            let mut lines = said.lines().map(serde_json::from_str::<serde_json::Value>);
            lines.find_map(|ready| ready.ok()?["listening"].as_str()?.parse().ok())
        };
        let address = program.wait_for(STARTING, address)?;
        programs.push(program);
        Ok(StandIn { address, ca_file })
    }

    /// The first answer of `/metrics`.
    async fn first_scrape(&self, programs: &mut [Program]) -> Result<Exposition> {
        let begun = Instant::now();
        loop {
            all_alive(programs)?;
            match self.scrape().await {
                Ok(scrape) => return Ok(scrape),
                Err(error) if begun.elapsed() > STARTING => {
                    return Err(error).context("da-server does not answer");
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    fn header(&self) -> [String; 2] {
        let address = self.address;
        [format!("play:    http://{address}/"), format!("metrics: http://{address}/metrics")]
    }

    async fn players(&self, noticed: &Arc<Noticed>) -> Result<JoinSet<()>> {
        let scenes = players::scenes(&self.get("/api/config").await?)?;
        ensure!(!scenes.is_empty(), "the server has no scene to play");
        let mut players = JoinSet::new();
        for (seat, scene) in scenes.into_iter().cycle().take(self.players).enumerate() {
            players.spawn(players::play(self.address, scene, seat, noticed.clone()));
        }
        Ok(players)
    }

    /// Shows every second how it stands, until the time is over.
    async fn watch(&self, played: &mut Played) -> Result<()> {
        let begun = Instant::now();
        let mut screen = Screen::new();
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.lasts.is_none_or(|lasts| begun.elapsed() < lasts) {
            ticks.tick().await;
            all_alive(&mut played.programs)?;
            let scrape = played.last_scrape.insert(self.scrape().await?);
            let summary = Summary::new(scrape, &played.noticed);
            let seconds = begun.elapsed().as_secs();
            let clock = match self.lasts {
                Some(lasts) => format!("{seconds} of {} s", lasts.as_secs()),
                None => format!("{seconds} s, until Ctrl-C"),
            };
            let mut lines = vec![format!("Digital Actors: {clock}")];
            lines.extend(self.header());
            lines.extend(summary.lines());
            screen.show(&lines, &format!("{seconds} s: {}", summary.line()))?;
        }
        Ok(())
    }

    async fn scrape(&self) -> Result<Exposition> {
        Ok(Exposition(self.get("/metrics").await?))
    }

    async fn get(&self, path: &str) -> Result<String> {
        let url = format!("http://{}{path}", self.address);
        let get = move || -> Result<String> {
            let config = ureq::Agent::config_builder().timeout_global(Some(ANSWERING)).build();
            Ok(config.new_agent().get(&url).call()?.body_mut().read_to_string()?)
        };
        spawn_blocking(get).await?.with_context(|| format!("GET {path}"))
    }

    fn log(&self, program: &str) -> PathBuf {
        self.folder.join(format!("{program}.log"))
    }
}

impl Ends {
    async fn wished(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Checks that nothing ended on its own.
fn all_alive(programs: &mut [Program]) -> Result<()> {
    for program in programs {
        if let Some(status) = program.ended()? {
            let said = program.said();
            let last = said.lines().last().unwrap_or("nothing");
            bail!("{} ended on its own ({status}). It said: {last}", program.name());
        }
    }
    Ok(())
}
