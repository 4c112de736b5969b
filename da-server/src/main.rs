//! Parse, build, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use da_server::cli::{Cli, Command};
use da_server::config::Config;
use da_server::metrics::Metrics;
use da_server::{App, Listeners, shutdown, telemetry};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(&cli),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("da-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The order matters: the ports are bound and the BPF programs loaded while this is still the
/// only thread, since privileges are dropped per thread.
fn serve(cli: &Cli) -> anyhow::Result<()> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        // A variable that is not UTF-8 can't be one of ours.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    });
    let config = Config::load(cli.config.as_deref(), variables)?;
    telemetry::init(&config.log)?;
    let metrics = Metrics::new()?;
    let listeners = Listeners::bind(&config)?;

    // Here the kernel view is loaded and privileges are dropped.

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = shutdown::on_signal()?;
        let app = App::new(config, metrics).await?;
        da_server::run(app, listeners, shutdown).await
    })
}
