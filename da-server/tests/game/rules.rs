//! The rules of scenes, as a player meets them.

use std::time::{Duration, Instant};

use da_standin::Plan;
use serde_json::json;

use crate::server::Server;

fn sand(state: &serde_json::Value) -> f64 {
    state["variables"]["sand"].as_f64().expect("sand")
}

#[tokio::test]
async fn time_passes_once_a_second_at_the_scenes_rate() {
    let server = Server::start().await;
    let mut player = server.player_in("clock").await;
    let first = player.wait_for("state").await;
    let begun = Instant::now();
    let mut last = first.clone();
    let mut steps = 0;
    while begun.elapsed() < Duration::from_millis(2500) {
        last = player.wait_for("state").await;
        steps += 1;
    }
    let passed = begun.elapsed().as_secs_f64();
    let ran = (sand(&first) - sand(&last)) / 10.0;
    assert!((ran - passed).abs() <= 1.0, "{ran} s of sand in {passed} s");
    assert!((2..=4).contains(&steps), "{steps} steps in {passed} s");
}

#[tokio::test]
async fn a_press_does_what_it_says_and_rests() {
    let server = Server::start().await;
    let mut player = server.player_in("clock").await;
    player.press("lamp").await;
    let state = player.wait_for_state(|state| state["variables"]["light"] == 1.0).await;
    assert_eq!(state["controls"]["lamp"]["ready"], false);
    assert_eq!(state["controls"]["bell"]["ready"], true);
    player.press("lamp").await;
    assert_eq!(player.wait_for_error().await, "control_resting");
    player.press("no_such_thing").await;
    assert_eq!(player.wait_for_error().await, "unknown_control");
    let scrape = server.scrape().await;
    assert_eq!(scrape.requests("clock", "rejected"), 2.0);
    assert_eq!(scrape.sum("requests_total"), 2.0, "a press that nobody notices asks nobody");
}

#[tokio::test]
async fn a_character_reacts_to_what_it_notices() {
    let server = Server::start().await;
    server.llm_plan(Plan { text: Some("I heard that.".into()), ..Plan::default() });
    let mut player = server.player_in("clock").await;
    player.press("bell").await;
    let turn = player.hear_turn().await;
    assert_eq!(turn.text(), "I heard that.");
    let scrape = server.scrape_until(|s| s.queries("add_turn") == 1.0).await;
    assert_eq!(scrape.requests("clock", "success"), 1.0);
    let stored = server.stored(&player.token).await;
    assert_eq!(stored, [("[A bell rings.]".to_owned(), "I heard that.".to_owned())]);
}

#[tokio::test]
async fn haste_has_its_price() {
    for (difficulty, price) in [("easy", 350.0), ("hard", 650.0)] {
        let server = Server::start().await;
        let mut player = server.player().await;
        player.start_as(json!({"type": "start", "scene": "clock", "difficulty": difficulty})).await;
        for control in ["bell", "bell", "bell"] {
            player.press(control).await;
        }
        assert_eq!(player.wait_for("notice").await["code"], "haste");
        let state = player.wait_for_state(|state| sand(state) < 900.0).await;
        // The clock has run for a second or so besides.
        let lost = 1000.0 - sand(&state);
        assert!((price..price + 60.0).contains(&lost), "{difficulty}: {lost}");
    }
}

#[tokio::test]
async fn a_scene_that_is_decided_stands_still_and_one_can_still_talk() {
    let server = Server::start().await;
    let mut player = server.player_in("clock").await;
    player.press("end").await;
    let state = player.wait_for_state(|state| !state["outcome"].is_null()).await;
    assert_eq!(state["outcome"]["result"], "success");
    assert_eq!(state["outcome"]["message"], "There was light.");
    // The character has something to say about it.
    assert_eq!(player.hear_turn().await.status, "success");
    player.press("bell").await;
    assert_eq!(player.wait_for_error().await, "scene_ended");
    player.say("What now?").await;
    assert_eq!(player.hear_turn().await.status, "success");
}
