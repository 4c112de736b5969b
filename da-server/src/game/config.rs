//! What the operator says about the game: `[game]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// `[game]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GameConfig {
    /// A folder of scene files, beside the built-in ones.
    pub scenes_dir: Option<PathBuf>,
    /// Character id → voice of ElevenLabs, in place of the scene file's.
    pub voices: BTreeMap<String, String>,
    /// Longest line of a player, in characters.
    pub max_line_characters: usize,
    /// How many requests a player may make in a minute; a third of them at once.
    pub requests_per_minute: u32,
    /// How many lines may wait for the character to say them.
    pub queue_entries: usize,
    /// How many past turns the character remembers.
    pub history_turns: u32,
    /// 0: the likeliest words. 1 and more: a wider choice. Left out of the request unless it is set:
    /// newer models refuse it.
    pub temperature: Option<f64>,
    /// Longest answer, in tokens.
    pub max_tokens: u32,
}

impl Default for GameConfig {
    fn default() -> Self {
        Self {
            scenes_dir: None,
            voices: BTreeMap::new(),
            max_line_characters: 1000,
            requests_per_minute: 30,
            queue_entries: 8,
            history_turns: 20,
            temperature: None,
            max_tokens: 800,
        }
    }
}
