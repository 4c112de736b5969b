//! The shape of a scene file. What it must mean beyond that is in `check`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::Color;
use crate::game::queue::Priority;

/// `scenes/<id>.toml`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SceneFile {
    pub title: String,
    pub description: String,
    pub character: Spanned<Character>,
    #[serde(default, rename = "opening")]
    pub openings: Vec<Spanned<OpeningLine>>,
    #[serde(default, rename = "variable")]
    pub variables: Vec<Spanned<VariableEntry>>,
    #[serde(default, rename = "control")]
    pub controls: Vec<Spanned<ControlEntry>>,
    #[serde(default, rename = "cue")]
    pub cues: Vec<Spanned<CueEntry>>,
    #[serde(default)]
    pub on_message: OnMessageEntry,
    pub rapid_action: Option<Spanned<RapidActionEntry>>,
    #[serde(default, rename = "success")]
    pub successes: Vec<Spanned<CriterionEntry>>,
    #[serde(default, rename = "failure")]
    pub failures: Vec<Spanned<CriterionEntry>>,
}

/// `[character]`: whom the player meets.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Character {
    /// The value of the `character` label.
    pub id: String,
    /// For the player.
    pub name: String,
    /// For the player, one line.
    pub description: String,
    /// What made the character what it is.
    pub back_story: String,
    /// How the character behaves.
    pub instructions: String,
    /// What the character is good at.
    #[serde(default)]
    pub skills: Vec<String>,
    /// How the character sounds.
    pub emotion_style: String,
    /// What the character knows about the scene.
    #[serde(default)]
    pub facts: Vec<String>,
    /// The voice, as ElevenLabs names it.
    pub voice: String,
}

/// `[[opening]]`: what the character says unasked.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningLine {
    /// The line.
    pub text: String,
    /// After the scene's begin, seconds.
    #[serde(default)]
    pub delay_seconds: f64,
}

/// Effects as written, with where.
pub(super) type EffectsEntry = BTreeMap<Spanned<String>, f64>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VariableEntry {
    pub name: String,
    pub label: String,
    #[serde(default)]
    pub unit: String,
    pub initial: f64,
    pub min: f64,
    pub max: f64,
    #[serde(default)]
    pub update_rate: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ControlEntry {
    pub id: String,
    pub label: String,
    pub description: String,
    #[serde(default)]
    pub color: Color,
    #[serde(default)]
    pub effects: EffectsEntry,
    #[serde(default)]
    pub cooldown_seconds: f64,
    pub max_presses: Option<u32>,
    pub enabled_when: Option<Spanned<String>>,
    pub noticed: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CueEntry {
    pub id: String,
    pub condition: Spanned<String>,
    pub direction: String,
    #[serde(default = "CueEntry::default_priority")]
    pub priority: Priority,
}

impl CueEntry {
    fn default_priority() -> Priority {
        Priority::Normal
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnMessageEntry {
    #[serde(default)]
    pub effects: EffectsEntry,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RapidActionEntry {
    pub count: usize,
    pub window_seconds: f64,
    pub effects: EffectsEntry,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CriterionEntry {
    pub id: String,
    pub condition: Spanned<String>,
    pub message: String,
}
