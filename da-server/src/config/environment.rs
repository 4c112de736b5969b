//! The environment as a configuration source.
//!
//! `DA_` and the key, nested by `__`: `DA_LLM__MODEL` is `model` in `[llm]`. Beside those, the
//! names that the game's deployments have always used. An empty variable counts as unset, since
//! compose files pass on unset variables as empty ones.

use std::collections::BTreeMap;

use anyhow::Context;
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use crate::store::DatabaseUrl;

const PREFIX: &str = "DA_";

/// What error messages call it.
pub(super) const NAME: &str = "the environment";

/// The top-level keys. A variable whose first part is none of them is not ours to refuse: other
/// programs may use the prefix as well. It is reported, for it may be a slip.
const SECTIONS: &[&str] = &[
    "listen",
    "grace_seconds",
    "keep_alive_seconds",
    "log",
    "game",
    "websocket",
    "store",
    "llm",
    "tts",
    "http_client",
    "price",
    "calls",
    "metrics",
    "kernel",
    "endpoint",
];

/// Names without [`PREFIX`] that say something to the build or the tests, and nothing here. Cargo
/// sets the first one for whatever it runs in the workspace.
const OF_BUILD_AND_TESTS: &[&str] = &["EBPF_OBJECT", "COMMIT", "TEST_OUTPUT", "REQUIRE_KERNEL"];

/// Names without [`PREFIX`], and the key each one sets.
const ALIASES: &[(&str, &str)] =
    &[("LOG_LEVEL", "log.level"), ("LOG_FORMAT", "log.format"), ("ELEVENLABS_MODEL", "tts.model")];

/// And a character's id: its voice.
const VOICE_PREFIX: &str = "ELEVENLABS_VOICE_";

/// The variables that say something to this program.
pub(super) struct Environment {
    variables: BTreeMap<String, String>,
    /// Variables with our prefix that set nothing.
    pub(super) unknown: Vec<String>,
}

impl Environment {
    pub(super) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut variables: BTreeMap<_, _> = variables.into_iter().collect();
        variables.retain(|_, value| !value.trim().is_empty());
        let sets_nothing = |name: &String| name.strip_prefix(PREFIX).is_some_and(|key| !sets(key));
        let is_slip = |name: &&String| sets_nothing(name) && !is_of_build_or_tests(name);
        let unknown: Vec<String> = variables.keys().filter(is_slip).cloned().collect();
        variables.retain(|name, _| !sets_nothing(name));
        Self { variables, unknown }
    }

    /// `PORT`, which replaces only the port of `listen`.
    ///
    /// # Errors
    /// It is not a port number.
    pub(super) fn port(&self) -> anyhow::Result<Option<u16>> {
        let Some(port) = self.variables.get("PORT") else { return Ok(None) };
        let parsed = port.trim().parse();
        parsed.map(Some).with_context(|| format!("PORT={port:?}: use a number from 0 to 65535"))
    }

    /// `DATABASE_URL`. It is no setting like others: it may hold a password, which no message about
    /// those may show.
    ///
    /// # Errors
    /// It is not the URL of a PostgreSQL database.
    pub(super) fn database_url(&self) -> anyhow::Result<Option<DatabaseUrl>> {
        let Some(url) = self.variables.get("DATABASE_URL") else { return Ok(None) };
        url.parse().map(Some).context("DATABASE_URL")
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named(NAME).interpolater(|_, keys| variable_of(&keys.join(".")))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut dict = Dict::new();
        for (name, value) in &self.variables {
            if let Some(key) = name.strip_prefix(PREFIX) {
                let key = key.to_ascii_lowercase().replace("__", ".");
                // Numbers, booleans and lists are written as in TOML; what is none is a string.
                let Ok(value) = value.parse::<Value>();
                insert(&mut dict, &key, value);
            }
            if let Some(character) = name.strip_prefix(VOICE_PREFIX) {
                let key = format!("game.voices.{}", character.to_ascii_lowercase());
                insert(&mut dict, &key, Value::from(value.as_str()));
            }
        }
        for (name, key) in ALIASES {
            if let Some(value) = self.variables.get(*name) {
                insert(&mut dict, key, Value::from(value.as_str()));
            }
        }
        Ok(Profile::Default.collect(dict))
    }
}

/// Whether the variable called `DA_` and `key` sets something.
fn sets(key: &str) -> bool {
    let section = key.split("__").next().unwrap_or_default();
    SECTIONS.contains(&section.to_ascii_lowercase().as_str())
}

fn is_of_build_or_tests(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|key| OF_BUILD_AND_TESTS.contains(&key))
}

/// How an operator would write `key`, for error messages.
pub(super) fn variable_of(key: &str) -> String {
    let alias = ALIASES.iter().find(|(_, aliased)| *aliased == key);
    alias.map_or_else(
        || format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__")),
        |(name, _)| (*name).to_owned(),
    )
}

/// Sets `a.b.c` in nested dictionaries. Where a shorter key already holds a plain value, the
/// longer one replaces it, and extraction says what is wrong with it.
fn insert(dict: &mut Dict, key: &str, value: Value) {
    let Some((head, rest)) = key.split_once('.') else {
        dict.insert(key.to_owned(), value);
        return;
    };
    let slot = dict.entry(head.to_owned()).or_insert_with(|| Value::from(Dict::new()));
    if !matches!(slot, Value::Dict(..)) {
        *slot = Value::from(Dict::new());
    }
    if let Value::Dict(_, inner) = slot {
        insert(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sections_are_those_of_the_configuration() {
        let error =
            toml::from_str::<crate::config::Config>("no_such_key = 1").expect_err("unknown");
        let known: Vec<&str> = error.message().split('`').skip(3).step_by(2).collect();
        assert_eq!(known, SECTIONS, "{}", error.message());
    }
}
