//! What the metrics say of playing: waits in the queue, outcomes, and audio on its way to a player.

use std::time::Duration;

use da_standin::{Delay, Fault, Plan};
use serde_json::json;

use crate::scrape::Scrape;
use crate::server::Server;

fn waits(scrape: &Scrape, priority: &str) -> (f64, f64) {
    let of = |what| scrape.get(&format!("queue_wait_seconds_{what}{{priority=\"{priority}\"}}"));
    (of("count"), of("sum"))
}

#[tokio::test]
async fn the_wait_for_a_turn_is_known_by_priority() {
    let server = Server::start().await;
    let mut player = server.player_in("clock").await;
    assert_eq!(waits(&server.scrape().await, "critical"), (0.0, 0.0), "known from the start");
    player.say("First").await;
    player.hear_turn().await;
    let (count, first) = waits(&server.scrape().await, "critical");
    assert_eq!(count, 1.0);
    player.say("Second").await;
    player.hear_turn().await;
    player.press("bell").await;
    player.hear_turn().await;
    let scrape = server.scrape().await;
    let (count, both) = waits(&scrape, "critical");
    assert_eq!(count, 2.0);
    // The pauses after a line are 0.3 s and 1 s.
    let ((presses, pressed), second) = (waits(&scrape, "urgent"), both - first);
    assert!(first < 0.2 && (0.1..0.6).contains(&second), "{first} {second}");
    assert!(presses == 1.0 && (0.7..1.4).contains(&pressed), "{pressed}");
    for priority in ["normal", "background"] {
        assert_eq!(waits(&scrape, priority).0, 0.0, "{priority}");
    }
}

#[tokio::test]
async fn a_line_either_waits_for_its_turn_or_is_dropped_in_the_queue() {
    let server = Server::start().await;
    server.llm_plan(Plan { first_byte_ms: Delay::Fixed(60_000.0), ..Plan::default() });
    let mut player = server.player_in("quiet").await;
    for line in 0..20 {
        player.say("Hello").await;
        tokio::time::sleep(Duration::from_millis(line % 4)).await;
    }
    player.leave().await;
    let scrape = server.scrape_until(|s| s.requests("quiet", "cancelled") == 20.0).await;
    let dropped = scrape.get("turns_interrupted_total{stage=\"queue\"}");
    assert_eq!(waits(&scrape, "critical").0 + dropped, 20.0, "{scrape:?}");
    assert_eq!(scrape.sum("turns_interrupted_total"), 20.0);
}

#[tokio::test]
async fn an_outcome_is_counted_once_and_only_those_of_scenes_are_labels() {
    const OUTCOME: &str = "game_outcomes_total{outcome=\"bright\",scene=\"clock\"}";
    let server = Server::start().await;
    let mut player = server.player_in("clock").await;
    let before = server.scrape().await;
    assert_eq!(before.get(OUTCOME), 0.0, "known from the start");
    let series = |s: &Scrape| s.names().filter(|n| n.starts_with("game_outcomes_total{")).count();
    player.press("end").await;
    let outcome = player.wait_for_state(|state| !state["outcome"].is_null()).await;
    assert_eq!(outcome["outcome"]["id"], "bright");
    player.press("end").await;
    assert_eq!(player.wait_for_error().await, "scene_ended");
    let token = player.token.clone();
    player.leave().await;

    // Who comes back finds it decided.
    let mut again = server.player().await;
    again.start_as(json!({"type": "start", "scene": "clock", "token": token})).await;
    again.wait_for_state(|state| !state["outcome"].is_null()).await;
    let scrape = server.scrape().await;
    assert_eq!(scrape.get(OUTCOME), 1.0);
    assert_eq!(scrape.sum("game_outcomes_total"), 1.0);
    assert_eq!(series(&scrape), series(&before));
}

/// A server whose voice comes as bare samples: a second of audio for 15 characters.
async fn speaking(characters: usize) -> Server {
    let server = Server::with(|config| config.tts.output_format = "pcm_16000".to_owned()).await;
    server.llm_plan(Plan { text: Some("a".repeat(characters)), ..Plan::default() });
    server
}

const MARGIN_COUNT: &str = "tts_underrun_margin_seconds_count";
const MARGIN_SUM: &str = "tts_underrun_margin_seconds_sum";

#[tokio::test]
async fn the_margin_of_an_utterance_is_how_close_it_came_to_a_pause() {
    // 2 s of audio in 4 pieces of 0.5 s, so far apart.
    for (apart_ms, expected) in [(0.0, 0.5), (250.0, 0.25), (800.0, -0.3)] {
        let server = speaking(30).await;
        let apart = Delay::Fixed(apart_ms);
        server.tts_plan(Plan { chunks: Some(4), between_chunks_ms: apart, ..Plan::default() });
        let mut player = server.player_in("quiet").await;
        let mut best = f64::NEG_INFINITY;
        for turn in 1..=3 {
            let before = server.scrape().await.get(MARGIN_SUM);
            player.say("Hello").await;
            assert_eq!(player.hear_turn().await.audio.len(), 2 * 2 * 16_000);
            let scrape = server.scrape_until(|s| s.get(MARGIN_COUNT) == f64::from(turn)).await;
            assert_eq!(scrape.get("tts_audio_seconds_total"), 2.0 * f64::from(turn));
            // A machine that has other things to do only lowers it.
            best = best.max(scrape.get(MARGIN_SUM) - before);
            assert!(best < expected + 0.02, "{apart_ms} ms apart: {best}");
            if best > expected - 0.05 {
                break;
            }
        }
        assert!(best > expected - 0.1, "{apart_ms} ms apart: {best}");
    }
}

#[tokio::test]
async fn what_was_not_heard_to_its_end_has_no_margin() {
    let server = speaking(30).await;
    let cut = Fault::ResetAfterFirstToken { after_chunks: 5 };
    let slowly =
        Plan { chunks: Some(10), between_chunks_ms: Delay::Fixed(60.0), ..Plan::default() };
    server.tts_plan(Plan { fault: Some(cut), ..slowly.clone() });
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    assert_eq!(player.hear_turn().await.error_codes(), ["tts_protocol"]);
    server.tts_plan(slowly);
    player.say("Hello").await;
    player.wait_for("audio_start").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    player.send(json!({"type": "interrupt"})).await;
    player.wait_for("turn_end").await;
    let scrape = server.scrape().await;
    for family in [
        MARGIN_COUNT,
        "tts_time_to_first_audio_seconds_count",
        "tts_time_to_first_byte_seconds_count",
        "tts_real_time_factor_count",
    ] {
        assert_eq!(scrape.get(family), 0.0, "{family}");
    }
    assert!((1.1..3.0).contains(&scrape.get("tts_audio_seconds_total")), "what came is counted");
}

#[tokio::test]
async fn an_opening_that_is_spoken_has_a_margin_and_a_wait_but_no_stages() {
    let server = Server::start().await;
    server.tts_plan(Plan { chunks: Some(4), ..Plan::default() });
    let mut player = server.player_in("welcome").await;
    assert!(!player.hear_turn().await.audio.is_empty());
    let scrape = server.scrape_until(|s| s.get(MARGIN_COUNT) == 1.0).await;
    assert_eq!(waits(&scrape, "normal").0, 1.0);
    assert_eq!(scrape.sum("turn_stage_seconds_count"), 0.0, "nobody asked for it");
}

#[tokio::test]
async fn the_event_loop_is_watched() {
    let server = Server::start().await;
    let scrape = server.scrape_until(|s| s.get("event_loop_lag_seconds_count") >= 5.0).await;
    // This runtime has one thread, and tests like this one block it now and then.
    assert!(scrape.get("event_loop_lag_seconds_sum") >= 0.0);
    std::thread::sleep(Duration::from_millis(300));
    let lag = |s: &Scrape| s.get("event_loop_lag_seconds_sum");
    let before = lag(&scrape);
    server.scrape_until(|s| lag(s) - before >= 0.25).await;
}
