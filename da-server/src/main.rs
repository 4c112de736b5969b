//! Parse, build, run, exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use da_server::calls::{CallHistory, KernelView, Observed, finish, observe};
use da_server::check::{self, Table, exit_code};
use da_server::cli::{Cli, Command, RecordArgs};
use da_server::config::{Config, Mode};
use da_server::health;
use da_server::kernel::catalogue::doubts;
use da_server::kernel::{
    EndpointKind, Kernel, Observation, Preflight, Reason, Service, Watch, with_services,
};
use da_server::metrics::Metrics;
use da_server::recording::Recorder;
use da_server::reload::Reload;
use da_server::replay::Recording;
use da_server::terminal::{self, CallsArgs};
use da_server::{App, Collector, Listeners, checked_scenes, manual, shutdown, telemetry};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How long the start waits for the addresses of the database.
const DATABASE_LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match &cli.command {
        Some(Command::Check { json }) => {
            return check(&cli, *json).unwrap_or_else(|error| {
                eprintln!("da-server: {error:#}");
                ExitCode::from(check::NOT_CHECKED)
            });
        }
        Some(Command::Calls(args)) if args.page => page_of_file(&cli, args),
        Some(Command::Calls(args)) => calls(args),
        Some(Command::Health) => health(&cli),
        Some(Command::Manual { folder, date }) => manual::write(folder, date)
            .with_context(|| format!("can't write into {}", folder.display())),
        Some(Command::Replay { file }) => replay(&cli, file.as_deref()),
        Some(Command::Collect(recorded)) => Start::prepare(&cli, recorded).and_then(collect),
        Some(Command::Serve(recorded)) => Start::prepare(&cli, recorded).and_then(serve),
        None => Start::prepare(&cli, &RecordArgs::default()).and_then(serve),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("da-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Nothing is bound and nothing given up: it only looks.
fn check(cli: &Cli, json: bool) -> anyhow::Result<ExitCode> {
    let config = Config::of_process(cli.config.as_deref())?;
    telemetry::init(&config.log)?;
    checked_scenes(&config)?;
    let found = Preflight::run(&config.kernel);
    if json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        println!("{}", Table(&found));
    }
    Ok(ExitCode::from(exit_code(found.verdict)))
}

/// What another process of this configuration says of itself.
fn health(cli: &Cli) -> anyhow::Result<()> {
    let config = Config::of_process(cli.config.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", runtime.block_on(health::ask(&config))?);
    Ok(())
}

/// Asks another process; Ctrl-C is how following ends.
fn calls(args: &CallsArgs) -> anyhow::Result<()> {
    if args.from.is_some() {
        return terminal::show_kept(args);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            shown = terminal::show(args) => shown,
            stopped = tokio::signal::ctrl_c() => Ok(stopped?),
        }
    })
}

/// The page, with what a file has.
fn page_of_file(cli: &Cli, args: &CallsArgs) -> anyhow::Result<()> {
    let config = Config::of_process(cli.config.as_deref())?;
    telemetry::init(&config.log)?;
    let calls = Some(Arc::new(CallHistory::of(terminal::kept(args)?)));
    let listeners = Listeners::bind(&config)?;
    Kernel::drop_privileges()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (metrics, shutdown) = (Metrics::new()?, shutdown::on_signal()?);
        // Of this process there is none.
        let kernel_missing = Some(Reason::Disabled);
        Collector { config, metrics, kernel_missing, calls }.run(listeners, None, shutdown).await
    })
}

/// Nothing of this host is looked at.
fn replay(cli: &Cli, file: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::of_process(cli.config.as_deref())?;
    telemetry::init(&config.log)?;
    let recording = Recording::open(file)?;
    let listeners = Listeners::bind(&config)?;
    Kernel::drop_privileges()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signal()?;
        da_server::replay::replay(recording, config, Metrics::new()?, listeners, shutdown).await
    })
}

/// What there is before the process has a second thread.
struct Start {
    file: Option<PathBuf>,
    config: Config,
    metrics: Metrics,
    listeners: Listeners,
    kernel: Kernel,
}

impl Start {
    /// The order matters: the ports are bound and the BPF programs loaded while this is still the
    /// only thread, since privileges are dropped per thread.
    fn prepare(cli: &Cli, recorded: &RecordArgs) -> anyhow::Result<Self> {
        let mut config = Config::of_process(cli.config.as_deref())?;
        telemetry::init(&config.log)?;
        for variable in &config.unknown_variables {
            warn!("unknown environment variable {variable}: separate nested keys with __");
        }
        for warning in config.warnings().into_iter().chain(doubts(&config.endpoint)) {
            warn!("{warning}");
        }
        let metrics = Metrics::new()?;
        let listeners = Listeners::bind(&config)?;
        if let Some(file) = &recorded.record {
            let recorder = Recorder::create(file)
                .with_context(|| format!("can't record into {}", file.display()))?;
            config.calls.recorder = Some(recorder.clone());
            config.kernel.recorder = Some(recorder);
        }
        let kernel = Kernel::load(&config.kernel);
        if recorded.record.is_some() && kernel.unavailable().is_some() {
            warn!("the recording can't be replayed: there is no kernel view");
        }
        if kernel.unavailable().is_none() {
            info!("the BPF programs of the kernel view are attached");
        }
        Kernel::drop_privileges()?;
        Ok(Self { file: cli.config.clone(), config, metrics, listeners, kernel })
    }

    /// Starts the kernel view's thread, which tells `subscriber` what it sees of `services` and the
    /// endpoints, and hears of SIGHUP from now on.
    fn watch(
        self,
        mode: Mode,
        services: Vec<Service>,
        subscriber: Option<SyncSender<Observation>>,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Started> {
        let Self { file, config, metrics, listeners, kernel } = self;
        let kernel_missing = kernel.unavailable().map(|why| why.reason);
        let max_processes = match mode {
            Mode::Game => 0,
            Mode::Collector => config.kernel.max_processes,
        };
        let resolved = services.iter().filter_map(Service::resolved).collect();
        let endpoints = with_services(&config.endpoint, &services)?;
        let watch = Watch { endpoints, unlisted: config.kernel.unlisted, max_processes, resolved };
        let endpoints = kernel.endpoints_in_force();
        let reload = Reload { file, config: config.clone(), mode, services, endpoints };
        reload.on_signal(metrics.registry())?;
        let view = kernel.start(watch, &metrics, subscriber, shutdown)?;
        Ok(Started { config, metrics, listeners, kernel_missing, view })
    }
}

/// The program once the kernel's events are read.
struct Started {
    config: Config,
    metrics: Metrics,
    listeners: Listeners,
    kernel_missing: Option<Reason>,
    view: Option<JoinHandle<()>>,
}

fn serve(start: Start) -> anyhow::Result<()> {
    start.config.check_proxies()?;
    if let Some(why) = start.kernel.unavailable() {
        warn!("there is no kernel view: {why}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let view = runtime.block_on(async {
        let shutdown = shutdown::on_signal()?;
        let (sender, seen) =
            KernelView::channel(start.kernel.settlements(), start.kernel.under_way());
        let services = with_database_addresses(start.config.services()).await;
        let Started { config, metrics, listeners, kernel_missing, view } =
            start.watch(Mode::Game, services, Some(sender), shutdown.clone())?;
        let app = App::new(config, metrics, kernel_missing.map_or(Ok(seen), Err))?;
        da_server::run(app, listeners, shutdown).await?;
        anyhow::Ok(view)
    })?;
    // It reads what is left and detaches the programs.
    if view.is_some_and(|view| view.join().is_err()) {
        warn!("the kernel view's reader panicked");
    }
    Ok(())
}

/// Adds the addresses of the database. Its protocol shows no name, and its connections, which stay, may be made
/// before the view's own look-ups have an answer.
async fn with_database_addresses(services: Vec<Service>) -> Vec<Service> {
    let mut found = Vec::new();
    for service in services {
        let answer = match service.host().filter(|_| service.kind() == EndpointKind::Db) {
            Some(host) => {
                tokio::time::timeout(DATABASE_LOOKUP_TIMEOUT, tokio::net::lookup_host(host)).await
            }
            None => {
                found.push(service);
                continue;
            }
        };
        let addresses: Vec<_> = answer.into_iter().flatten().flatten().collect();
        if addresses.is_empty() {
            found.push(service);
        } else {
            found.extend(addresses.into_iter().map(|address| service.clone().at(address)));
        }
    }
    found
}

fn collect(start: Start) -> anyhow::Result<()> {
    for section in start.config.sections_of_the_game() {
        // Of that section, one key says under which names any server answers.
        let but = if section == "websocket" { ", except for allowed_origins" } else { "" };
        info!("ignoring [{section}]: only the game uses it{but}");
    }
    if let Some(why) = start.kernel.unavailable() {
        error!("nothing is collected, since there is no kernel view: {why}");
    }
    // Beside the thread that reads the kernel's events there is a scrape now and then to answer.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signal()?;
        let (sender, seen) =
            KernelView::channel(start.kernel.settlements(), start.kernel.under_way());
        let Observed { history, thread } =
            observe(&start.config.calls, start.metrics.registry(), seen)?;
        let Started { config, metrics, listeners, kernel_missing, view } =
            start.watch(Mode::Collector, Vec::new(), Some(sender), shutdown.clone())?;
        let calls = Some(history);
        let collector = Collector { config, metrics, kernel_missing, calls };
        let ended = collector.run(listeners, view, shutdown).await;
        tokio::task::spawn_blocking(|| finish(thread, "take in the last calls")).await?;
        ended
    })
}
