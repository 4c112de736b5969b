//! Which numbers make sense. Beyond these a setting would stop the game or overflow a clock, and
//! only once somebody plays; so they are refused when the server starts.

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::Config;
use crate::llm::LlmConfig;

const HOUR_SECONDS: u64 = 3600;
const DAY_SECONDS: u64 = 24 * HOUR_SECONDS;

/// More connections than a process may have open.
const MAX_CONCURRENT: usize = 1_000_000;

/// A number that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{key} = {value}: use {allowed}")]
pub(super) struct OutOfRange {
    /// Where it stands.
    pub(super) key: String,
    value: String,
    allowed: String,
}

/// Checks the numbers that belong to no section with a check of its own.
///
/// # Errors
/// Names the key and what is allowed there.
pub(super) fn validate(config: &Config) -> Result<(), OutOfRange> {
    let Config { game, websocket, store, llm, tts, calls, .. } = config;
    within("grace_seconds", config.grace_seconds, 0..=HOUR_SECONDS)?;
    within("keep_alive_seconds", config.keep_alive_seconds, 1..=HOUR_SECONDS)?;

    within("store.retention_days", store.retention_days, 1..=36_500)?;
    within("store.max_connections", store.max_connections, 1..=1000)?;

    within("game.max_line_characters", game.max_line_characters, 1..=100_000)?;
    within("game.requests_per_minute", game.requests_per_minute, 1..=100_000)?;
    within("game.queue_entries", game.queue_entries, 1..=1000)?;
    within("game.history_turns", game.history_turns, 0..=1000)?;
    temperature("game", game.temperature)?;
    within("game.max_tokens", game.max_tokens, 1..=100_000)?;

    model("llm", llm)?;
    for (index, fallback) in llm.fallback.iter().enumerate() {
        model(&format!("llm.fallback.{index}"), fallback)?;
    }
    within("tts.max_concurrent", tts.max_concurrent, 1..=MAX_CONCURRENT)?;
    for (index, fallback) in tts.fallback.iter().enumerate() {
        let key = format!("tts.fallback.{index}.max_concurrent");
        within(&key, fallback.max_concurrent, 1..=MAX_CONCURRENT)?;
    }
    within("calls.latest", calls.latest, 0..=100_000)?;
    within("calls.slowest", calls.slowest, 0..=10_000)?;
    within("calls.file_megabytes", calls.file_megabytes, 1..=65_536)?;

    within("websocket.max_sessions", websocket.max_sessions, 1..=1_000_000)?;
    let per_address = websocket.max_sessions_per_address;
    within("websocket.max_sessions_per_address", per_address, 1..=1_000_000)?;
    within("websocket.starts_per_minute", websocket.starts_per_minute, 1..=1_000_000)?;
    let per_address = websocket.starts_per_minute_per_address;
    within("websocket.starts_per_minute_per_address", per_address, 1..=1_000_000)?;
    let per_address = websocket.requests_per_minute_per_address;
    within("websocket.requests_per_minute_per_address", per_address, 1..=1_000_000)?;
    within("websocket.max_message_bytes", websocket.max_message_bytes, 256..=1024 * 1024)?;
    within("websocket.heartbeat_seconds", websocket.heartbeat_seconds, 1..=HOUR_SECONDS)?;
    within("websocket.idle_seconds", websocket.idle_seconds, 1..=DAY_SECONDS)?;
    within("websocket.write_timeout_seconds", websocket.write_timeout_seconds, 1..=HOUR_SECONDS)?;
    within("websocket.outbound_messages", websocket.outbound_messages, 1..=65_536)?;
    within("websocket.outbound_bytes", websocket.outbound_bytes, 16_384..=16_777_216)
}

fn model(section: &str, llm: &LlmConfig) -> Result<(), OutOfRange> {
    within(&format!("{section}.max_concurrent"), llm.max_concurrent, 1..=MAX_CONCURRENT)?;
    temperature(section, llm.temperature)?;
    let Some(tokens) = llm.context_tokens else { return Ok(()) };
    within(&format!("{section}.context_tokens"), tokens, 1..=100_000_000)
}

/// Not every provider takes all of these.
fn temperature(section: &str, temperature: Option<f64>) -> Result<(), OutOfRange> {
    let Some(temperature) = temperature else { return Ok(()) };
    within(&format!("{section}.temperature"), temperature, 0.0..=2.0)
}

fn within<T: PartialOrd + Display>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), OutOfRange> {
    if range.contains(&value) {
        return Ok(());
    }
    let allowed = format!("{} to {}", range.start(), range.end());
    Err(OutOfRange { key: key.to_owned(), value: value.to_string(), allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        validate(&Config::default()).expect("in range");
    }

    #[test]
    fn each_number_that_makes_no_sense_is_refused_by_its_name() {
        let cases: &[(&str, &str, &str)] = &[
            ("", "grace_seconds", "18446744073709551"),
            ("", "keep_alive_seconds", "0"),
            ("store", "retention_days", "0"),
            ("store", "max_connections", "0"),
            ("game", "max_line_characters", "0"),
            ("game", "requests_per_minute", "0"),
            ("game", "queue_entries", "0"),
            ("game", "queue_entries", "1000000000000"),
            ("game", "history_turns", "4000000000"),
            ("game", "temperature", "nan"),
            ("game", "temperature", "-0.1"),
            ("game", "max_tokens", "0"),
            ("llm", "max_concurrent", "0"),
            ("llm", "temperature", "2.1"),
            ("llm", "context_tokens", "0"),
            ("tts", "max_concurrent", "0"),
            ("tts", "max_concurrent", "9000000000000000000"),
            ("calls", "latest", "100001"),
            ("calls", "slowest", "10001"),
            ("calls", "file_megabytes", "0"),
            ("websocket", "max_sessions", "0"),
            ("websocket", "max_sessions", "9000000000000000000"),
            ("websocket", "max_message_bytes", "0"),
            ("websocket", "heartbeat_seconds", "0"),
            ("websocket", "heartbeat_seconds", "9000000000000000000"),
            ("websocket", "idle_seconds", "0"),
            ("websocket", "write_timeout_seconds", "0"),
            ("websocket", "max_sessions_per_address", "0"),
            ("websocket", "starts_per_minute", "0"),
            ("websocket", "starts_per_minute_per_address", "0"),
            ("websocket", "requests_per_minute_per_address", "0"),
            ("websocket", "outbound_bytes", "0"),
            ("websocket", "outbound_messages", "0"),
            ("websocket", "outbound_messages", "9000000000000000000"),
        ];
        for (section, key, value) in cases {
            let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
            let config: Config =
                toml::from_str(&format!("{header}{key} = {value}")).expect("a number");
            let message = validate(&config).expect_err(key).to_string();
            let name = if section.is_empty() { (*key).into() } else { format!("{section}.{key}") };
            assert!(
                message.starts_with(&format!("{name} = ")) && message.contains(": use "),
                "{message}"
            );
        }
    }
}
