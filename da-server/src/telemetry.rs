//! Logging: where the program's own words go.

use std::io::IsTerminal;

use anyhow::Context;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::config::{LogConfig, LogFormat};

/// Whose events and spans may be more detailed than [`OF_OTHERS`].
const OWN: &str = "da_server";

/// Below this level libraries write what passes through them: whole messages, frames, requests. What
/// players and characters say, and what opens a session, is nobody else's business, however much an
/// operator wants to know. So this bounds every library, known or not, whatever the configured filter says.
const OF_OTHERS: Level = Level::INFO;

/// Sends events to standard error as `config` says, for the rest of the process's life.
///
/// # Errors
/// The level is not a filter, or a subscriber is already installed.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    let words = fmt::layer().with_writer(std::io::stderr);
    let words = match config.format {
        LogFormat::Json => words.json().flatten_event(true).boxed(),
        LogFormat::Text => words.with_ansi(std::io::stderr().is_terminal()).boxed(),
    };
    let discreet =
        filter_fn(|metadata: &Metadata<'_>| is_discreet(metadata.target(), *metadata.level()));
    let log = Registry::default().with(filter(&config.level)?).with(discreet).with(words);
    let installed = log.try_init();
    installed.map_err(|error| anyhow::anyhow!("can't start logging: {error}"))
}

/// Whether an event of this target and level may hold nobody's words.
fn is_discreet(target: &str, level: Level) -> bool {
    let is_own =
        target.strip_prefix(OWN).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    is_own || level <= OF_OTHERS
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
            assert!(
                is_discreet(target, Level::WARN) && is_discreet(target, Level::INFO),
                "{target}"
            );
            assert!(!is_discreet(target, Level::DEBUG) && !is_discreet(target, Level::TRACE));
        }
        assert!(
            is_discreet("da_server", Level::TRACE) && is_discreet("da_server::game", Level::TRACE)
        );
    }
}
