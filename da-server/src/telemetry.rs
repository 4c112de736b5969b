//! Logging: where the program's own words go.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Sends events to standard error as `config` says, for the rest of the process's life.
///
/// # Errors
/// The level is not a filter, or a subscriber is already installed.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.level).with_context(|| {
        let level = &config.level;
        format!(
            "log level {level:?}: use error, warn, info, debug, trace or \"info,da_server=debug\""
        )
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match config.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("can't start logging: {error}"))
}
