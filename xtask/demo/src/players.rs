//! Scripted players: they play every scene of the server over WebSockets, as the page does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use da_testkit::player::{Player, Received};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};

/// What a player says, in turn; it fits any scene.
const LINES: [&str; 8] = [
    "Hello! Who are you?",
    "What do you see around you?",
    "What should I do next?",
    "Why do you think so?",
    "And what if that goes wrong?",
    "Tell me more about it.",
    "I trust you. Go on.",
    "What would you do in my place?",
];

/// From the end of an answer to a player's next line: reading it takes a while.
const THINKING: Duration = Duration::from_millis(1500);
/// A line that is not answered by then is given up.
const PATIENCE: Duration = Duration::from_secs(20);
/// Before a player comes back.
const RETURNING: Duration = Duration::from_secs(1);

/// What the players noticed, all together.
#[derive(Default)]
pub struct Noticed {
    /// Answers that came to their end.
    pub answers: AtomicU64,
    /// Audio, bytes.
    pub audio_bytes: AtomicU64,
    /// Sentences about something that did not work, and lost connections.
    pub errors: AtomicU64,
}

/// What a player needs to know of a scene, from `/api/config`.
#[derive(Clone, Deserialize)]
pub struct Scene {
    id: String,
    controls: Vec<Control>,
}

#[derive(Clone, Deserialize)]
struct Control {
    id: String,
}

/// The scenes in the server's answer to `/api/config`.
pub fn scenes(config: &str) -> Result<Vec<Scene>> {
    #[derive(Deserialize)]
    struct Config {
        scenes: Vec<Scene>,
    }
    let config: Config = serde_json::from_str(config).context("/api/config is not understood")?;
    Ok(config.scenes)
}

/// Plays `scene` over and over. `seat` tells the players apart: no two speak in step.
pub async fn play(server: SocketAddr, scene: Scene, seat: usize, noticed: Arc<Noticed>) {
    sleep(THINKING.mul_f64(seat as f64 / 4.0 % 1.0)).await;
    let mut script = Script { scene, lines: seat, presses: seat };
    loop {
        if play_once(server, &mut script, &noticed).await.is_err() {
            noticed.errors.fetch_add(1, Ordering::Relaxed);
        }
        sleep(RETURNING).await;
    }
}

/// What a player does next.
struct Script {
    scene: Scene,
    lines: usize,
    presses: usize,
}

impl Script {
    /// Mostly a line; every fourth time a control is pressed, if the scene has any.
    fn next(&mut self) -> Value {
        let controls = &self.scene.controls;
        if (self.lines + self.presses) % 4 == 3 && !controls.is_empty() {
            self.presses += 1;
            return json!({"type": "press", "control": controls[self.presses % controls.len()].id});
        }
        self.lines += 1;
        json!({"type": "say", "text": LINES[self.lines % LINES.len()]})
    }
}

/// One game, until it is decided or the server ends it.
async fn play_once(server: SocketAddr, script: &mut Script, noticed: &Noticed) -> Result<()> {
    let mut player = Player::connect_from(server, None).await?;
    player.send(json!({"type": "start", "scene": script.scene.id})).await;
    let mut act_at = Instant::now() + THINKING;
    loop {
        let received = tokio::select! {
            received = player.receive() => received,
            () = sleep_until(act_at) => {
                player.send(script.next()).await;
                act_at = Instant::now() + PATIENCE;
                continue;
            }
        };
        let message = match received {
            Received::Closed(Some(_)) => return Ok(()),
            Received::Closed(None) => bail!("the connection was lost"),
            Received::Audio(audio) => {
                noticed.audio_bytes.fetch_add(audio.len() as u64, Ordering::Relaxed);
                continue;
            }
            Received::Message(message) => message,
        };
        match message["type"].as_str() {
            Some("turn_start") => act_at = Instant::now() + PATIENCE,
            Some("turn_end") => {
                if message["status"] == "success" {
                    noticed.answers.fetch_add(1, Ordering::Relaxed);
                }
                act_at = Instant::now() + THINKING;
            }
            Some("error") => {
                noticed.errors.fetch_add(1, Ordering::Relaxed);
            }
            // Decided: the next game begins on a new connection.
            Some("state") if !message["outcome"].is_null() => {
                player.leave().await;
                return Ok(());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_speaks_every_line_and_presses_every_control() {
        let config = r#"{"voice":true,"scenes":[{"id":"boat","title":"Boat","controls":
            [{"id":"pump","label":"Pump"},{"id":"horn","label":"Horn"}]}]}"#;
        let scene = scenes(config).unwrap().remove(0);
        let mut script = Script { scene, lines: 0, presses: 0 };
        let actions: Vec<_> = (0..32).map(|_| script.next()).collect();
        for control in ["pump", "horn"] {
            let press = json!({"type": "press", "control": control});
            assert!(actions.contains(&press), "{control}");
        }
        for line in LINES {
            assert!(actions.contains(&json!({"type": "say", "text": line})), "{line}");
        }
        assert_eq!(actions.iter().filter(|action| action["type"] == "press").count(), 8);
    }

    #[test]
    fn a_scene_without_controls_is_talked_through() {
        let scene = scenes(r#"{"scenes":[{"id":"bare","controls":[]}]}"#).unwrap().remove(0);
        let mut script = Script { scene, lines: 0, presses: 0 };
        assert!((0..8).all(|_| script.next()["type"] == "say"));
    }
}
