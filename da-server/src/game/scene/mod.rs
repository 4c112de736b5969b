//! Scenes: who the character is, what the player can do, and when the scene is won or lost.
//!
//! A scene is one file `scenes/<id>.toml`; adding a scene is adding a file. [`Scenes::load`] reads
//! those built in and those of the operator's folder, and refuses a file that could not be played
//! with its line and the reason. Nothing about a scene is checked again after that.

mod check;
mod condition;
mod file;
mod library;

pub use condition::Condition;
pub use file::{Character, OpeningLine};
pub use library::Scenes;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::queue::Priority;

/// What is added to variables, by variable.
pub type Effects = BTreeMap<String, f64>;

/// A scene that was checked: every name in it refers to something.
#[derive(Debug, Clone, PartialEq)]
pub struct Scene {
    /// The file's name without `.toml`: the value of the `scene` label.
    pub id: String,
    /// For the menu.
    pub title: String,
    /// For the menu, and for the character.
    pub description: String,
    /// Whom the player meets.
    pub character: Character,
    /// What the character says unasked when the scene begins.
    pub openings: Vec<OpeningLine>,
    /// The state of the world, in the order of the file.
    pub variables: Vec<Variable>,
    /// What the player can press.
    pub controls: Vec<Control>,
    /// What makes the character speak unasked.
    pub cues: Vec<Cue>,
    /// What each line of the player does to the world.
    pub on_message: Effects,
    /// The price of pressing in haste.
    pub rapid_action: Option<RapidAction>,
    /// How the scene is won.
    pub successes: Vec<Criterion>,
    /// How it is lost.
    pub failures: Vec<Criterion>,
}

impl Scene {
    /// The value of the `character` label.
    pub fn character_id(&self) -> &str {
        &self.character.id
    }
}

/// A number of the world that changes by itself and by what the player does.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Its name in conditions and effects.
    pub name: String,
    /// For the player.
    pub label: String,
    /// Shown behind the value.
    pub unit: String,
    /// At the beginning of the scene.
    pub initial: f64,
    /// Never less.
    pub min: f64,
    /// Never more.
    pub max: f64,
    /// Change per second, by itself.
    pub update_rate: f64,
}

/// Something the player can press.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// Its name in messages.
    pub id: String,
    /// For the player.
    pub label: String,
    /// For the player: what it does.
    pub description: String,
    /// A colour name that the page knows.
    pub color: Color,
    /// What pressing does to the world.
    pub effects: Effects,
    /// How long it rests after a press.
    pub cooldown: Duration,
    /// How often it can be pressed in a scene.
    pub max_presses: Option<u32>,
    /// Pressing works only while this holds.
    pub enabled_when: Option<Condition>,
    /// What the character is told; `None` for a press that goes unnoticed.
    pub noticed: Option<String>,
}

/// How a control looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Color {
    #[default]
    Neutral,
    Blue,
    Green,
    Amber,
    Red,
}

/// Makes the character speak unasked, once, when its condition first holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Cue {
    /// For saved sessions: which cues have been given.
    pub id: String,
    /// When it is due.
    pub condition: Condition,
    /// What the character is told.
    pub direction: String,
    /// The order in the queue.
    pub priority: Priority,
}

/// The penalty for presses in quick succession.
#[derive(Debug, Clone, PartialEq)]
pub struct RapidAction {
    /// How many presses …
    pub count: usize,
    /// … within this time …
    pub window: Duration,
    /// … have these effects, times the difficulty's factor.
    pub effects: Effects,
}

/// How a scene ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    /// For programs.
    pub id: String,
    /// When it is met.
    pub condition: Condition,
    /// For the player.
    pub message: String,
}

/// How much haste costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difficulty {
    /// × 0.7
    Easy,
    /// × 1
    #[default]
    Normal,
    /// × 1.3
    Hard,
}

impl Difficulty {
    /// Every one, the easiest first.
    pub const ALL: [Self; 3] = [Self::Easy, Self::Normal, Self::Hard];

    /// What penalties are multiplied with.
    pub fn penalty_factor(self) -> f64 {
        match self {
            Self::Easy => 0.7,
            Self::Normal => 1.0,
            Self::Hard => 1.3,
        }
    }

    /// Its name in messages and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Easy => "easy",
            Self::Normal => "normal",
            Self::Hard => "hard",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.as_str() == name)
    }
}

/// Why a scene can't be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SceneError {
    /// The file.
    pub file: String,
    /// The line, counted from 1; `None` where the whole file is meant.
    pub line: Option<usize>,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl fmt::Display for SceneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.reason),
            None => write!(f, "{}: {}", self.file, self.reason),
        }
    }
}
