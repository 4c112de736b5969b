//! What the operator says: a TOML file, and the environment over it.

mod changes;
mod environment;
mod file;
mod ranges;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::Dict;
use serde::Deserialize;

use crate::calls::CallsConfig;
use crate::game::GameConfig;
use crate::http::WebSocketConfig;
use crate::kernel::catalogue::with_catalogue;
use crate::kernel::{EndpointConfig, KernelConfig};
use crate::llm::{LlmConfig, PriceConfig, Prices};
use crate::provider::HttpConfig;
use crate::store::StoreConfig;
use crate::tts::TtsConfig;
pub use changes::Reader;
use environment::Environment;
use file::ConfigFile;

/// Sections that the collector alone has no use for.
const OF_THE_GAME: [&str; 8] =
    ["game", "websocket", "store", "llm", "tts", "http_client", "calls", "price"];

/// Everything that can be configured. Keys that are not listed here are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the game is served.
    pub listen: SocketAddr,
    /// How long open sessions may go on after SIGTERM before they are closed, seconds.
    pub grace_seconds: u64,
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
    /// Environment variables that look like settings and are none.
    #[serde(skip)]
    pub unknown_variables: Vec<String>,
    /// What of all this the file and the environment say.
    #[serde(skip)]
    said: Dict,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8888)),
            grace_seconds: 10,
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
            said: Dict::new(),
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

/// `[metrics]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// A listener of its own for `/metrics` and `/health`; without it they are served beside the
    /// game.
    pub listen: Option<SocketAddr>,
    /// A file that holds the token which `Authorization: Bearer` must carry.
    pub bearer_token_file: Option<PathBuf>,
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
        let unknown_variables = environment.unknown.clone();
        let file = file.map(ConfigFile::read).transpose()?;
        let mut figment = Figment::new();
        if let Some(file) = &file {
            file.check()?;
            figment = figment.merge(Toml::string(file.text()));
        }
        let figment = figment.merge(environment);
        let mut config: Self = figment.extract().context("configuration")?;
        config.said = figment.extract().context("configuration")?;
        config.unknown_variables = unknown_variables;
        if let Some(port) = port {
            config.listen.set_port(port);
        }
        let place = |key: &str| place_of(key, &figment, file.as_ref());
        with_catalogue(&config.endpoint).map_err(|bad| anyhow!("{}: {bad}", place(&bad.key())))?;
        Prices::with(&config.price).map_err(|bad| anyhow!("{}: {bad}", place(&bad.key())))?;
        config.llm.check_fallbacks().map_err(|bad| anyhow!("{}: {bad}", place(&bad.key())))?;
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

    /// The sections that are there and mean something to the game alone.
    pub fn sections_of_the_game(&self) -> impl Iterator<Item = &'static str> {
        OF_THE_GAME.into_iter().filter(|section| self.said.contains_key(*section))
    }
}

/// Where the value of `key` comes from: a variable, or a line of the file.
fn place_of(key: &str, figment: &Figment, file: Option<&ConfigFile>) -> String {
    // An array has one source for all that is in it.
    let array =
        ["endpoint", "price", "llm.fallback"].into_iter().find(|array| key.starts_with(array));
    let whole = array.unwrap_or(key);
    match (figment.find_metadata(whole), file) {
        (Some(source), Some(file)) if source.name != environment::NAME => file.place_of(key),
        _ => environment::variable_of(whole),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(toml: &str, variables: &[(&str, &str)]) -> anyhow::Result<Config> {
        let mut file = tempfile::NamedTempFile::new().expect("temporary file");
        file.write_all(toml.as_bytes()).expect("written");
        let owned = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::load(Some(file.path()), owned)
    }

    fn refusal(toml: &str, variables: &[(&str, &str)]) -> String {
        format!("{:#}", load(toml, variables).expect_err("refused"))
    }

    #[test]
    fn nothing_said_means_the_defaults() {
        let config = Config::load(None, []).expect("loads");
        assert_eq!(config.listen.to_string(), "127.0.0.1:8888");
        assert!(config.metrics.listen.is_none());
    }

    #[test]
    fn the_environment_lies_over_the_file() {
        let toml = "listen = '127.0.0.1:1'\n[log]\nlevel = 'warn'\nformat = 'json'\n";
        let variables = [("DA_LOG__LEVEL", "debug"), ("PORT", "2"), ("DA_GRACE_SECONDS", "3")];
        let config = load(toml, &variables).expect("loads");
        assert_eq!(config.log.level, "debug");
        assert_eq!(config.log.format, LogFormat::Json);
        assert_eq!(config.listen.to_string(), "127.0.0.1:2");
        assert_eq!(config.grace_seconds, 3);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let empty = [("PORT", ""), ("LOG_LEVEL", " "), ("DA_LISTEN", "")];
        let config = load("[log]\nlevel = 'warn'", &empty).expect("loads");
        assert_eq!(config.log.level, "warn");
        assert_eq!(config.listen.port(), 8888);
    }

    #[test]
    fn the_names_of_old_deployments_still_work() {
        let variables = [
            ("ELEVENLABS_MODEL", "eleven_turbo_v2"),
            ("ELEVENLABS_VOICE_ENGINEER", "12345"),
            ("ELEVENLABS_VOICE_WIZARD", ""),
            ("LOG_LEVEL", "INFO"),
        ];
        let config = load("[game.voices]\nwizard = 'w'", &variables).expect("loads");
        assert_eq!(config.tts.model(), "eleven_turbo_v2");
        assert_eq!(config.game.voices["engineer"], "12345", "a number is a name here");
        assert_eq!(config.game.voices["wizard"], "w");
        assert_eq!(config.log.level, "INFO");
    }

    #[test]
    fn an_unknown_key_is_refused_with_where_it_stands_and_what_is_allowed() {
        let said = refusal("[metrics]\nlisten_to = '127.0.0.1:1'", &[]);
        assert!(said.contains("listen_to") && said.contains("bearer_token_file"), "{said}");
        assert!(said.contains(":2: "), "{said}");
    }

    #[test]
    fn a_mistyped_variable_is_named_as_it_is_written() {
        let said = refusal("", &[("DA_METRICS__LISTEN", "nowhere")]);
        assert!(said.contains("DA_METRICS__LISTEN"), "{said}");
        let said = refusal("", &[("LOG_FORMAT", "xml")]);
        assert!(said.contains("LOG_FORMAT") && said.contains("`json`"), "{said}");
        assert!(refusal("", &[("PORT", "http")]).contains("PORT=\"http\""));
        assert!(refusal("", &[("DA_LOG__LEVLE", "x")]).contains("levle"));
    }

    #[test]
    fn a_variable_that_sets_nothing_is_reported() {
        let slips = [("DA_LLM_MODEL", "x"), ("DA_OTHER", "y"), ("DA_LLM__MODEL", "z")];
        let config = load("", &slips).expect("loads");
        assert_eq!(config.unknown_variables, ["DA_LLM_MODEL", "DA_OTHER"]);
        assert_eq!(config.llm.model(), "z");
    }

    #[test]
    fn a_variable_of_the_build_or_the_tests_is_no_slip() {
        let theirs = ["DA_EBPF_OBJECT", "DA_COMMIT", "DA_TEST_OUTPUT", "DA_REQUIRE_KERNEL"];
        let config = load("", &theirs.map(|name| (name, "1"))).expect("loads");
        assert!(config.unknown_variables.is_empty(), "{:?}", config.unknown_variables);
    }

    #[test]
    fn a_missing_file_is_an_error_not_the_defaults() {
        let said = Config::load(Some(Path::new("/nonexistent/da.toml")), []).expect_err("refused");
        assert!(format!("{said:#}").contains("/nonexistent/da.toml"), "{said:#}");
    }

    #[test]
    fn a_number_out_of_range_is_refused_with_where_it_stands() {
        let said = refusal("", &[("DA_GAME__QUEUE_ENTRIES", "0")]);
        let expected = "DA_GAME__QUEUE_ENTRIES: game.queue_entries = 0: use 1 to 1000";
        assert_eq!(said, expected);
        let said = refusal("[game]\nqueue_entries = 0\n", &[]);
        assert!(said.ends_with(":2: game.queue_entries = 0: use 1 to 1000"), "{said}");
        let said = refusal("[kernel]\nring_bytes = 1\n", &[("DA_GAME__QUEUE_ENTRIES", "2")]);
        assert!(said.contains(":2: kernel.ring_bytes = 1: "), "{said}");
    }

    #[test]
    fn a_fallback_that_makes_no_sense_is_refused_at_load() {
        let fallback = "[[llm.fallback]]\nprovider = 'openai'\n";
        assert_eq!(load(fallback, &[]).expect("loads").llm.fallback.len(), 1);
        let said = refusal(&fallback.repeat(2), &[]);
        assert!(said.contains(":3: ") && said.contains("asked before"), "{said}");
        let said = refusal(&format!("{fallback}max_concurrent = 0\n"), &[]);
        assert!(
            said.ends_with(":3: llm.fallback.0.max_concurrent = 0: use 1 to 1000000"),
            "{said}"
        );
        let variable = [("DA_LLM__FALLBACK", "[{provider=\"openai\", max_concurrent=0}]")];
        let said = refusal("", &variable);
        assert!(said.starts_with("DA_LLM__FALLBACK: "), "{said}");
    }

    #[test]
    fn a_price_that_nobody_pays_is_refused_at_load() {
        let price = "[[price]]\nprovider = 'openai'\nmodel = 'm'\ninput = 1\noutput = 2\n";
        assert_eq!(load(price, &[]).expect("loads").price[0].output, 2.0);
        let said = refusal(&price.replace("input = 1", "input = -1"), &[]);
        assert!(said.contains(":1: ") && said.contains("dollars per million"), "{said}");
        let said = refusal(&format!("{price}{price}"), &[]);
        assert!(said.contains(":6: ") && said.contains("listed twice"), "{said}");
        let said = refusal(&price.replace("openai", "someone"), &[]);
        assert!(said.contains(":2: ") && said.contains("anthropic"), "{said}");
    }

    #[test]
    fn an_endpoint_that_could_never_match_is_refused_at_load() {
        let good = "[[endpoint]]\nname = 'x'\nkind = 'llm'\nhosts = ['a.example']\n";
        let said = refusal(&format!("{good}[[endpoint]]\nname = 'y'\nkind = 'llm'"), &[]);
        assert!(said.contains(":5: ") && said.contains("neither hosts nor addresses"), "{said}");
        let said = refusal(&format!("{good}{good}"), &[]);
        assert!(said.contains(":6: ") && said.contains("listed twice"), "{said}");
        let said = refusal(&good.replace("a.example", "a b"), &[]);
        assert!(said.contains(":4: ") && said.contains("a b"), "{said}");
        let said = refusal(&format!("{good}{}", good.replace("'x'", "'y'")), &[]);
        assert!(said.contains(":8: ") && said.contains("listed by endpoint \"x\""), "{said}");
        let said = refusal(&format!("{good}addresses = ['10.0.0.1:0']"), &[]);
        assert!(said.contains(":5: ") && said.contains("port 0"), "{said}");
    }
}
