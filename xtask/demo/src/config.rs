//! What the demo's server and stand-in are told.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

/// The names that the stand-in takes the place of.
const HOSTS: [&str; 4] = [
    "api.anthropic.com",
    "api.openai.com",
    "api.elevenlabs.io",
    "generativelanguage.googleapis.com",
];

/// The file with the key for the stand-in.
pub const KEY_FILE: &str = "stand-in-key";

/// The stand-in's delays: those of a quick model, and of a voice that is quicker still.
pub const PLANS: &[&str] = &[
    "--plan",
    r#"{"handshake_ms":{"normal":[12,3]},"first_byte_ms":{"normal":[380,70]},"between_chunks_ms":{"exponential":25}}"#,
    "--plan-for",
    r#"api.elevenlabs.io={"handshake_ms":{"normal":[12,3]},"first_byte_ms":{"normal":[160,30]},"between_chunks_ms":{"exponential":20}}"#,
];

/// Where the stand-in is, and what proves that it is itself.
pub struct StandIn {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate authority, a PEM file.
    pub ca_file: PathBuf,
}

#[derive(Serialize)]
struct Config<'a> {
    listen: SocketAddr,
    grace_seconds: u64,
    store: Store<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    llm: Option<Provider<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tts: Option<Provider<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_client: Option<HttpClient<'a>>,
    kernel: Kernel,
}

#[derive(Serialize)]
struct Store<'a> {
    path: &'a Path,
}

#[derive(Clone, Copy, Serialize)]
struct Provider<'a> {
    api_key_file: &'a Path,
}

#[derive(Serialize)]
struct Kernel {
    resolve: bool,
}

#[derive(Serialize)]
struct HttpClient<'a> {
    ca_file: &'a Path,
    resolve: BTreeMap<&'static str, SocketAddr>,
}

/// Writes the server's configuration into `folder`. Without a stand-in it asks the real providers.
pub fn write(folder: &Path, listen: SocketAddr, stand_in: Option<&StandIn>) -> Result<PathBuf> {
    let database = folder.join("game.sqlite");
    // The stand-in takes any key, but the server sends none that it was not given.
    let key = folder.join(KEY_FILE);
    let provider = stand_in.map(|_| Provider { api_key_file: &key });
    if stand_in.is_some() {
        fs::write(&key, "stand-in").with_context(|| format!("cannot write {}", key.display()))?;
    }
    let config = Config {
        listen,
        grace_seconds: 1,
        store: Store { path: &database },
        llm: provider,
        tts: provider,
        http_client: stand_in.map(|stand_in| HttpClient {
            ca_file: &stand_in.ca_file,
            resolve: HOSTS.map(|host| (host, stand_in.address)).into(),
        }),
        // Nothing leaves this machine where a stand-in answers.
        kernel: Kernel { resolve: stand_in.is_none() },
    };
    let path = folder.join("da-server.toml");
    let text = toml::to_string(&config).context("the configuration can't be written as TOML")?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Takes out of the server's environment what would overrule the file: the caller's keys must not
/// go to the stand-in, nor the demo to another port or into a database that others use.
pub fn isolate(command: &mut Command, real: bool) {
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let is_setting = text.starts_with("DA_") || text.ends_with("_API_KEY");
        if name == "PORT" || name == "DATABASE_URL" || (is_setting && !real) {
            command.env_remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(stand_in: Option<&StandIn>) -> toml::Table {
        let folder = tempfile::tempdir().unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], 8888));
        let path = write(folder.path(), listen, stand_in).unwrap();
        fs::read_to_string(path).unwrap().parse().unwrap()
    }

    #[test]
    fn every_provider_is_found_at_the_stand_in() {
        let stand_in = StandIn {
            address: SocketAddr::from(([127, 0, 0, 1], 4443)),
            ca_file: PathBuf::from("/tmp/it's here/ca.pem"),
        };
        let config = written(Some(&stand_in));
        assert_eq!(config["listen"].as_str(), Some("127.0.0.1:8888"));
        assert_eq!(config["http_client"]["ca_file"].as_str(), Some("/tmp/it's here/ca.pem"));
        for host in HOSTS {
            assert_eq!(
                config["http_client"]["resolve"][host].as_str(),
                Some("127.0.0.1:4443"),
                "{host}"
            );
        }
    }

    #[test]
    fn the_real_providers_are_left_where_they_are() {
        let config = written(None);
        for key in ["llm", "tts", "http_client"] {
            assert!(!config.contains_key(key), "{key}");
        }
    }
}
