//! Changes of the configuration that take a restart.

use std::collections::BTreeMap;

use figment::value::{Dict, Value};

use super::{Config, GAME_SECTIONS};
use crate::llm::LlmConfig;
use crate::provider::fallback::Section;
use crate::tts::TtsConfig;

/// What is read again while the program runs.
const RELOADED: [&str; 2] = ["endpoint", "kernel.unlisted"];

/// Which program runs with the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The game server, which uses every section.
    Game,
    /// The collector, without the game.
    Collector,
}

impl Config {
    /// Keys whose values differ in `other`, of those that are used in this `mode` and only read at the
    /// start.
    pub fn changes_for_a_restart(&self, other: &Self, mode: Mode) -> Vec<String> {
        let (before, after) = (leaves(&self.explicit), leaves(&other.explicit));
        let ignored: &[&str] = if mode == Mode::Collector { &GAME_SECTIONS } else { &[] };
        let matters = |key: &&String| {
            let section = key.split('.').next().unwrap_or_default();
            !RELOADED.contains(&key.as_str()) && !ignored.contains(&section)
        };
        let mut keys: Vec<_> = before.keys().chain(after.keys()).filter(matters).collect();
        keys.retain(|key| before.get(*key) != after.get(*key));
        keys.sort();
        keys.dedup();
        let mut keys: Vec<_> = keys.into_iter().cloned().collect();
        let names = |config: &Self| {
            let llm = config.llm.in_order().map(LlmConfig::provider);
            llm.chain(config.tts.in_order().map(TtsConfig::provider)).collect::<Vec<_>>()
        };
        // The kernel view takes a new name over, and the game's families don't.
        if mode == Mode::Game && names(self) != names(other) {
            keys.push("what the [[endpoint]] of a provider is called".to_owned());
        }
        keys
    }
}

/// Every value that is no table, by its key: `kernel.ring_bytes`.
fn leaves(explicit: &Dict) -> BTreeMap<String, &Value> {
    let mut all = BTreeMap::new();
    for (key, value) in explicit {
        match value {
            Value::Dict(_, table) => {
                all.extend(leaves(table).into_iter().map(|(rest, v)| (format!("{key}.{rest}"), v)));
            }
            _ => {
                all.insert(key.clone(), value);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str) -> Config {
        Config { explicit: toml::from_str(toml).expect("TOML"), ..Config::default() }
    }

    #[test]
    fn a_provider_keeps_its_name_until_a_restart() {
        let named = |name: &str| {
            let mut config = config("");
            config.tts.provider = Some(name.into());
            config
        };
        let changes = |reader| named("old").changes_for_a_restart(&named("new"), reader);
        assert_eq!(changes(Mode::Game), ["what the [[endpoint]] of a provider is called"]);
        assert!(changes(Mode::Collector).is_empty());
        assert!(named("old").changes_for_a_restart(&named("old"), Mode::Game).is_empty());
    }

    #[test]
    fn only_what_a_reload_cant_take_over_is_told() {
        let before = config(
            "listen = '127.0.0.1:1'\n[kernel]\nunlisted = 'drop'\nring_bytes = 65536\n[llm]\nmodel = 'm'\n[[endpoint]]\nname = 'a'",
        );
        let same = config(
            "listen = '127.0.0.1:1'\n[kernel]\nunlisted = 'other'\nring_bytes = 65536\n[llm]\nmodel = 'm'",
        );
        let changes = |after, reader| before.changes_for_a_restart(after, reader);
        assert!(changes(&same, Mode::Game).is_empty());
        let other = config(
            "listen = '127.0.0.1:2'\n[kernel]\nmax_connections = 5\n[llm]\nmodel = 'n'\n[log]\nlevel = 'debug'",
        );
        let of_both = ["kernel.max_connections", "kernel.ring_bytes", "listen", "log.level"];
        assert_eq!(changes(&other, Mode::Collector), of_both);
        let mut of_the_game = [&of_both[..], &["llm.model"]].concat();
        of_the_game.sort_unstable();
        assert_eq!(changes(&other, Mode::Game), of_the_game);
    }
}
