//! The configuration: a TOML file, overridden by the environment.

mod changes;
mod environment;
mod file;
mod http;
mod proxies;
mod ranges;
mod services;
mod trusted_proxy;
mod warnings;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, anyhow};
use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::Dict;
use serde::Deserialize;

use crate::calls::CallsConfig;
use crate::game::GameConfig;
use crate::kernel::{EndpointConfig, KernelConfig};
use crate::llm::{LlmConfig, PriceConfig, Prices};
use crate::provider::HttpConfig;
use crate::store::StoreConfig;
use crate::tts::TtsConfig;
pub use changes::Mode;
use environment::Environment;
use file::ConfigFile;
pub use http::{MetricsConfig, WebSocketConfig};
pub use trusted_proxy::TrustedProxy;

/// Sections that only the game uses.
const GAME_SECTIONS: [&str; 7] =
    ["game", "websocket", "store", "llm", "tts", "http_client", "price"];

/// Everything that can be configured. Keys that are not listed here are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the game is served.
    pub listen: SocketAddr,
    /// How long open sessions may go on after SIGTERM before they are closed, seconds.
    pub grace_seconds: u64,
    /// How long a connection of HTTP/1.1 may wait for its next request before it is closed, seconds.
    pub keep_alive_seconds: u64,
    /// Logging.
    pub log: LogConfig,
    /// The game.
    pub game: GameConfig,
    /// Players' connections.
    pub websocket: WebSocketConfig,
    /// Where conversations are kept.
    pub store: StoreConfig,
    /// The language model.
    pub llm: LlmConfig,
    /// Speech.
    pub tts: TtsConfig,
    /// Connections to both.
    pub http_client: HttpConfig,
    /// What tokens cost, beside the built-in price list.
    pub price: Vec<PriceConfig>,
    /// What is remembered of calls to both.
    pub calls: CallsConfig,
    /// The exposition of metrics.
    pub metrics: MetricsConfig,
    /// The kernel view.
    pub kernel: KernelConfig,
    /// Services whose sockets are watched, beside the built-in catalogue.
    pub endpoint: Vec<EndpointConfig>,
    /// Environment variables with the prefix `DA_` that are no settings.
    #[serde(skip)]
    pub unknown_variables: Vec<String>,
    /// The settings that the file and the environment set.
    #[serde(skip)]
    explicit: Dict,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8888)),
            grace_seconds: 10,
            keep_alive_seconds: 75,
            log: LogConfig::default(),
            game: GameConfig::default(),
            websocket: WebSocketConfig::default(),
            store: StoreConfig::default(),
            llm: LlmConfig::default(),
            tts: TtsConfig::default(),
            http_client: HttpConfig::default(),
            price: Vec::new(),
            calls: CallsConfig::default(),
            metrics: MetricsConfig::default(),
            kernel: KernelConfig::default(),
            endpoint: Vec::new(),
            unknown_variables: Vec::new(),
            explicit: Dict::new(),
        }
    }
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// A level, or a filter such as `info,da_server=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads `file`, if there is one, lays `variables` over it and checks the whole.
    ///
    /// # Errors
    /// Names the line of the file or the variable, the key, and what is allowed there.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let environment = Environment::new(variables);
        let port = environment.port()?;
        let environment_url = environment.database_url()?;
        let unknown_variables = environment.unknown.clone();
        let file = file.map(ConfigFile::read).transpose()?;
        let mut figment = Figment::new();
        if let Some(file) = &file {
            file.check()?;
            figment = figment.merge(Toml::string(file.text()));
        }
        let figment = figment.merge(environment);
        let mut config: Self = figment.extract().context("configuration")?;
        config.explicit = figment.extract().context("configuration")?;
        config.unknown_variables = unknown_variables;
        if let Some(port) = port {
            config.listen.set_port(port);
        }
        config.store.url = environment_url;
        let place = |key: &str| locate(key, &figment, file.as_ref());
        config.name_providers().map_err(|bad| anyhow!("{}: {bad}", place(&bad.key())))?;
        Prices::with(&config.price).map_err(|bad| anyhow!("{}: {bad}", place(&bad.key())))?;
        config.llm.check_fallbacks().map_err(|bad| anyhow!("{}: {bad}", place(&bad.key())))?;
        config.tts.check_fallbacks().map_err(|bad| anyhow!("{}: {bad}", place(&bad.key())))?;
        config.tts.check_formats().map_err(|(key, bad)| anyhow!("{}: {bad}", place(&key)))?;
        config.kernel.validate().map_err(|bad| anyhow!("{}: {bad}", place(bad.key())))?;
        ranges::validate(&config).map_err(|bad| anyhow!("{}: {bad}", place(&bad.key)))?;
        Ok(config)
    }

    /// The same with the variables of this process.
    ///
    /// # Errors
    /// See [`Self::load`].
    pub fn of_process(file: Option<&Path>) -> anyhow::Result<Self> {
        Self::load(
            file,
            std::env::vars_os().filter_map(|(name, value)| {
                // A variable that is not UTF-8 can't be one of ours.
                Some((name.into_string().ok()?, value.into_string().ok()?))
            }),
        )
    }

    /// The sections that are set, and that only the game uses.
    pub fn sections_of_the_game(&self) -> impl Iterator<Item = &'static str> {
        GAME_SECTIONS.into_iter().filter(|section| self.explicit.contains_key(*section))
    }
}

/// Where the value of `key` comes from: a variable, or a line of the file.
fn locate(key: &str, figment: &Figment, file: Option<&ConfigFile>) -> String {
    // An array has one source for all that is in it.
    let arrays = ["endpoint", "price", "llm.fallback", "tts.fallback"];
    let array = arrays.into_iter().find(|array| key.starts_with(array));
    let whole = array.unwrap_or(key);
    match (figment.find_metadata(whole), file) {
        (Some(source), Some(file)) if source.name != environment::NAME => file.locate(key),
        _ => environment::variable_of(whole),
    }
}

#[cfg(test)]
mod tests;
