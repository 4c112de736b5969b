//! `/api/config`: what a page needs to know before it connects. Nothing in it is secret.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::config::Config;
use crate::game::Game;
use crate::game::scene::{Color, Control, Difficulty, Scene, Variable};

#[derive(Serialize)]
struct PublicConfig<'a> {
    /// The media type of the characters' first voice; null if they can't be heard. Each line tells
    /// its own.
    audio_mime: Option<String>,
    max_line_characters: usize,
    difficulties: [&'static str; 3],
    scenes: Vec<SceneView<'a>>,
}

#[derive(Serialize)]
struct SceneView<'a> {
    id: &'a str,
    title: &'a str,
    description: &'a str,
    character: CharacterView<'a>,
    variables: Vec<VariableView<'a>>,
    controls: Vec<ControlView<'a>>,
}

#[derive(Serialize)]
struct CharacterView<'a> {
    id: &'a str,
    name: &'a str,
    description: &'a str,
}

#[derive(Serialize)]
struct VariableView<'a> {
    name: &'a str,
    label: &'a str,
    unit: &'a str,
    min: f64,
    max: f64,
}

#[derive(Serialize)]
struct ControlView<'a> {
    id: &'a str,
    label: &'a str,
    description: &'a str,
    color: Color,
}

impl<'a> From<&'a Scene> for SceneView<'a> {
    fn from(scene: &'a Scene) -> Self {
        let variable = |Variable { name, label, unit, min, max, .. }: &'a Variable| VariableView {
            name,
            label,
            unit,
            min: *min,
            max: *max,
        };
        let control = |Control { id, label, description, color, .. }: &'a Control| ControlView {
            id,
            label,
            description,
            color: *color,
        };
        let character = &scene.character;
        Self {
            id: &scene.id,
            title: &scene.title,
            description: &scene.description,
            character: CharacterView {
                id: &character.id,
                name: &character.name,
                description: &character.description,
            },
            variables: scene.variables.iter().map(variable).collect(),
            controls: scene.controls.iter().map(control).collect(),
        }
    }
}

/// `/api/config`
pub(super) fn router(game: Arc<Game>, config: &Config) -> Router {
    let format = config.tts.format().ok().filter(|_| game.has_voice());
    let view = PublicConfig {
        audio_mime: format.map(|format| format.mime()),
        max_line_characters: config.game.max_line_characters,
        difficulties: Difficulty::ALL.map(Difficulty::as_str),
        scenes: game.scenes().iter().map(|scene| SceneView::from(&**scene)).collect(),
    };
    let view = serde_json::json!(view);
    Router::new().route("/api/config", get(|| async { Json(view) }))
}
