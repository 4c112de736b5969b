//! A demo in which things go wrong, so that what is made of that can be tested.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::config::KEY_FILE;

/// The stand-in's delays and faults. The model is often at its limit; the one that is asked in its
/// place, and in the voice's, breaks off now and then; the voice wants a new connection for everything, and often takes
/// none.
pub const PLANS: &[&str] = &[
    "--plan",
    r#"{"handshake_ms":12,"first_byte_ms":200,"between_chunks_ms":20,
        "fault":{"kind":"rate_limited","retry_after_ms":100},"fault_probability":0.6}"#,
    "--plan-for",
    r#"api.openai.com={"handshake_ms":12,"first_byte_ms":200,"between_chunks_ms":20,
        "fault":{"kind":"reset_before_first_token"},"fault_probability":0.6}"#,
    "--plan-for",
    r#"api.elevenlabs.io={"handshake_ms":12,"first_byte_ms":100,"between_chunks_ms":15,"close":true,
        "fault":{"kind":"bad_handshake"},"fault_probability":0.6}"#,
];

/// Settings by which the server answers faults with all that it has.
const SETTINGS: &str = r#"
[calls]
slow_seconds = 0.5

[llm.retry]
max_retries = 1
initial_backoff_seconds = 0.1

[[llm.fallback]]
protocol = "openai"
api_key_file = "KEY"

[tts.retry]
max_retries = 1
initial_backoff_seconds = 0.1

[[tts.fallback]]
protocol = "openai"
api_key_file = "KEY"
voice = "nova"
retry.max_retries = 0

[tts.breaker]
failures = 2
cool_down_seconds = 2
"#;

/// Adds settings to the server's `config`, which is in `folder`.
pub fn add_settings(config: &Path, folder: &Path) -> Result<()> {
    let read = || format!("cannot change {}", config.display());
    let mut text = fs::read_to_string(config).with_context(read)?;
    let key = toml::Value::from(folder.join(KEY_FILE).display().to_string()).to_string();
    text += &SETTINGS.replace("\"KEY\"", &key);
    fs::write(config, text).with_context(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_added_to_those_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("da-server.toml");
        fs::write(&config, "listen = \"127.0.0.1:1\"\n[llm]\nmodel = \"m\"\n[tts]\n").unwrap();
        add_settings(&config, folder.path()).unwrap();
        let all: toml::Table = fs::read_to_string(config).unwrap().parse().unwrap();
        assert_eq!(all["llm"]["model"].as_str(), Some("m"));
        let key = all["llm"]["fallback"][0]["api_key_file"].as_str().map(Path::new);
        assert_eq!(key, Some(folder.path().join(KEY_FILE).as_path()));
        assert_eq!(all["tts"]["fallback"][0]["voice"].as_str(), Some("nova"));
        assert_eq!(all["tts"]["breaker"]["failures"].as_integer(), Some(2));
    }
}
