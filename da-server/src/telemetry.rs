//! Logging.

use std::io::IsTerminal;

use anyhow::Context;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::{LogConfig, LogFormat};

/// The target whose events and spans may be more detailed than [`MAX_LIBRARY_LEVEL`].
const OWN_TARGET: &str = "da_server";

/// Below this level libraries write what passes through them: whole messages, frames, requests. What
/// players and characters say, and what opens a session, is nobody else's business, however much an
/// operator wants to know. So this bounds every library, known or not, whatever the configured filter says.
const MAX_LIBRARY_LEVEL: Level = Level::INFO;

/// Sends events to standard error as `config` says, for the rest of the process's life.
///
/// # Errors
/// The level is not a filter, or a subscriber is already installed.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let writer = fmt::layer().with_writer(std::io::stderr);
    let writer = match config.format {
        LogFormat::Json => writer.json().flatten_event(true).boxed(),
        LogFormat::Text => writer.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    let library_cap =
        filter_fn(|metadata: &Metadata<'_>| is_allowed(metadata.target(), *metadata.level()));
    let log = Registry::default().with(filter(&config.level)?).with(library_cap).with(writer);
    let installed = log.try_init();
    installed.map_err(|error| anyhow::anyhow!("can't start logging: {error}"))
}

/// Whether an event of this target and level can't hold anybody's words.
fn is_allowed(target: &str, level: Level) -> bool {
    let is_own = target
        .strip_prefix(OWN_TARGET)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    is_own || level <= MAX_LIBRARY_LEVEL
}

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(level).with_context(|| {
        format!(
            "log level {level:?}: use error, warn, info, debug, trace or \"info,da_server=debug\""
        )
    })
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

    #[test]
    fn libraries_say_no_more_than_their_news() {
        for target in ["tungstenite::protocol", "h2", "da_server_of_others", "log", ""] {
            assert!(is_allowed(target, Level::WARN) && is_allowed(target, Level::INFO), "{target}");
            assert!(!is_allowed(target, Level::DEBUG) && !is_allowed(target, Level::TRACE));
        }
        assert!(
            is_allowed("da_server", Level::TRACE) && is_allowed("da_server::game", Level::TRACE)
        );
    }
}
