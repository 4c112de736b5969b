//! What the scene has to tell is told, whatever the player does first.

use da_server::config::Config;
use da_standin::{Delay, Plan};
use da_testkit::player::Player;

use crate::server::{LLM, Server};

/// Its lamp makes it light, and there is something to say about that.
const WARNED: &str = r#"
title = "Warned"
description = "There is something to say."
[character]
id = "warner"
name = "Wan"
description = "Warns."
back_story = "None."
instructions = "Answer."
emotion_style = "calm"
voice = "v"
[[variable]]
name = "light"
label = "Light"
initial = 0
min = 0
max = 10
[[control]]
id = "lamp"
label = "Lamp"
description = "Light, unnoticed."
effects = { light = 1 }
[[control]]
id = "bell"
label = "Bell"
description = "Noticed."
noticed = "A bell rings."
[[cue]]
id = "light"
condition = "light >= 1"
direction = "Say that it is light."
priority = "urgent"
"#;

pub fn with_a_cue(config: &mut Config) {
    let folder = config.game.scenes_dir.as_ref().expect("a folder");
    std::fs::write(folder.join("warned.toml"), WARNED).expect("written");
}

fn saying(text: &str) -> Plan {
    Plan { text: Some(text.into()), ..Plan::default() }
}

/// What the character says next is its answer to the cue, and then no more of that.
async fn assert_cue_next(server: &Server, player: &mut Player) {
    server.llm_plan(saying("It is light."));
    assert_eq!(player.hear_turn().await.text(), "It is light.");
    server.llm_plan(saying("No."));
    player.say("Anything else?").await;
    assert_eq!(player.hear_turn().await.text(), "No.");
    player.press("bell").await;
    assert_eq!(player.hear_turn().await.text(), "No.", "it is said once");
}

#[tokio::test]
async fn a_cue_outlives_what_the_player_says_first() {
    let server = Server::with(with_a_cue).await;
    let mut player = server.player_in("warned").await;
    server.llm_plan(saying("Yes."));
    player.say("Hello").await;
    player.hear_turn().await;
    // It waits for the pause after the line before; what the player says takes its place.
    player.press("lamp").await;
    player.say("What now?").await;
    assert_eq!(player.hear_turn().await.text(), "Yes.");
    assert_cue_next(&server, &mut player).await;
}

#[tokio::test]
async fn a_cue_outlives_an_interruption_before_its_first_word() {
    let server = Server::with(with_a_cue).await;
    let mut player = server.player_in("warned").await;
    server.llm_plan(Plan { first_byte_ms: Delay::Fixed(60_000.0), ..Plan::default() });
    player.press("lamp").await;
    player.wait_for("turn_start").await;
    server.asked(LLM, 1).await;
    server.llm_plan(saying("Yes."));
    player.say("What now?").await;
    assert_eq!(player.wait_for("turn_end").await["status"], "cancelled");
    assert_eq!(player.hear_turn().await.text(), "Yes.");
    assert_cue_next(&server, &mut player).await;
}

#[tokio::test]
async fn a_cue_outlives_the_connection() {
    let server = Server::with(with_a_cue).await;
    let mut player = server.player_in("warned").await;
    server.llm_plan(Plan { first_byte_ms: Delay::Fixed(60_000.0), ..Plan::default() });
    player.press("lamp").await;
    player.wait_for("turn_start").await;
    let token = player.token.clone();
    player.leave().await;
    server.llm_plan(saying("It is light."));
    let mut player = server.player().await;
    let back = serde_json::json!({"type": "start", "scene": "warned", "token": token});
    assert_eq!(player.start_as(back).await["resumed"], true);
    assert_cue_next(&server, &mut player).await;
}

#[tokio::test]
async fn a_press_for_which_there_are_no_words_is_told() {
    let server = Server::with(|config| {
        with_a_cue(config);
        config.game.queue_entries = 1;
    })
    .await;
    let mut player = server.player_in("warned").await;
    server.llm_plan(Plan { first_byte_ms: Delay::Fixed(60_000.0), ..Plan::default() });
    player.press("bell").await;
    player.wait_for("turn_start").await;
    player.press("bell").await;
    player.press("bell").await;
    let notice = player.wait_for("notice").await;
    assert_eq!(notice["code"], "press_unanswered");
    assert_eq!(server.scrape().await.requests("warned", "rejected"), 1.0);
}

/// Each would ask the model again.
#[tokio::test]
async fn to_interrupt_a_cue_over_and_over_takes_from_the_budget() {
    const BUDGET: usize = 3;
    let server = Server::with(|config| {
        with_a_cue(config);
        config.game.requests_per_minute = 9;
    })
    .await;
    let mut player = server.player_in("warned").await;
    server.llm_plan(Plan { first_byte_ms: Delay::Fixed(60_000.0), ..Plan::default() });
    player.press("lamp").await;
    // The model is asked, and what it was asked for is interrupted, as often as there is budget for that.
    for asked in 1..=BUDGET {
        server.asked(LLM, asked).await;
        player.send(serde_json::json!({"type": "interrupt"})).await;
        assert_eq!(player.wait_for("turn_end").await["status"], "cancelled");
    }
    server.asked(LLM, BUDGET + 1).await;
    for _ in 0..5 {
        player.send(serde_json::json!({"type": "interrupt"})).await;
        player.mark().await;
        assert_eq!(player.wait_for_error().await, "unknown_control");
    }
    server.llm_plan(saying("It is light."));
    server.asked(LLM, BUDGET + 1).await;
}
