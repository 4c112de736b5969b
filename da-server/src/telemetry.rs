//! Logging: where the program's own words go.

use std::io::IsTerminal;

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Libraries that write what passes through them into the log below this level. What players and
/// characters say is nobody else's business, however much an operator wants to know.
const DISCREET: [&str; 1] = ["tungstenite=info"];

/// Sends events to standard error as `config` says, for the rest of the process's life.
///
/// # Errors
/// The level is not a filter, or a subscriber is already installed.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let filter = filter(&config.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match config.format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("can't start logging: {error}"))
}

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    let mut filter = EnvFilter::try_new(level).with_context(|| {
        format!(
            "log level {level:?}: use error, warn, info, debug, trace or \"info,da_server=debug\""
        )
    })?;
    for directive in DISCREET {
        filter = filter.add_directive(directive.parse()?);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_read_and_slips_are_explained() {
        for level in ["INFO", "debug", "info,da_server=trace", "off"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        let said = format!("{:#}", filter("da_server=loud").expect_err("refused"));
        assert!(said.contains("da_server=loud") && said.contains("use error, warn"), "{said}");
    }
}
