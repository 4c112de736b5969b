//! The rules of scenes, as a player meets them.

use std::time::Instant;

use da_standin::Plan;
use serde_json::json;

use crate::server::Server;

fn sand(state: &serde_json::Value) -> f64 {
    state["variables"]["sand"].as_f64().expect("sand")
}

#[tokio::test]
async fn time_passes_once_a_second_at_the_scenes_rate() {
    const STEPS: usize = 4;
    let server = Server::start().await;
    let begun = Instant::now();
    let mut player = server.player_in("clock").await;
    let mut seen = vec![sand(&player.wait_for("state").await)];
    for _ in 0..STEPS {
        seen.push(sand(&player.wait_for("state").await));
    }
    let passed = begun.elapsed().as_secs_f64();
    // The sand tells when each step was. A busy machine puts some of them off, and no more runs out
    // than there was time for.
    let steps: Vec<f64> = seen.windows(2).map(|pair| (pair[0] - pair[1]) / 10.0).collect();
    assert!(steps.iter().all(|seconds| *seconds > 0.5), "{steps:?}");
    assert!(steps.iter().any(|seconds| *seconds < 1.5), "{steps:?}");
    let ran: f64 = steps.iter().sum();
    assert!(ran <= passed + 0.02, "{ran} s of sand in {passed} s");
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
        let begun = Instant::now();
        player.start_as(json!({"type": "start", "scene": "clock", "difficulty": difficulty})).await;
        for control in ["bell", "bell", "bell"] {
            player.press(control).await;
        }
        assert_eq!(player.wait_for("notice").await["code"], "haste");
        let state = player.wait_for_state(|state| sand(state) < 900.0).await;
        // The clock has run besides, at a fiftieth of it in a second.
        let lost = 1000.0 - sand(&state);
        let most = price + price / 50.0 * begun.elapsed().as_secs_f64() + 0.1;
        assert!((price..=most).contains(&lost), "{difficulty}: {lost}");
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
