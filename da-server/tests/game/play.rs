//! What the metrics say of playing: waits in the queue, outcomes, and how late the server is.

use std::time::Duration;

use da_standin::{Delay, Plan, now_ns};
use da_testkit::player::Player;
use da_testkit::scrape::Scrape;
use serde_json::json;

use crate::exchanges::Exchange;
use crate::server::{Server, TTS};

pub fn waits(scrape: &Scrape, priority: &str) -> (f64, f64) {
    let of = |what| scrape.get(&format!("queue_wait_seconds_{what}{{priority=\"{priority}\"}}"));
    (of("count"), of("sum"))
}

/// How long the next turn waited, by the metrics, after this was done; it must be what other clocks
/// say: not longer than the player, and not shorter than to the end of the `pause` after the answer
/// before.
async fn wait_of(server: &Server, player: &mut Player, act: Act, pause: Duration) {
    let priority = if act.0 == "say" { "critical" } else { "urgent" };
    let (count, before) = waits(&server.scrape().await, priority);
    // It can't have ended earlier; there is none before the first.
    let pause_ends_ns = match pause.is_zero() {
        true => 0,
        false => Exchange::latest(server, TTS).last_ns + pause.as_nanos() as u64,
    };
    let asked_ns = now_ns();
    player.send(json!({"type": act.0, act.1: act.2})).await;
    player.mark().await;
    let turn = player.hear_turn_and_mark().await;
    let taken_up_ns = turn.marked_ns.expect("a mark");
    let after = waits(&server.scrape().await, priority);
    assert_eq!(after.0, count + 1.0, "{priority}");
    let waited = after.1 - before;
    let least = pause_ends_ns.saturating_sub(taken_up_ns) as f64 / 1e9;
    let most = (turn.began_ns - asked_ns) as f64 / 1e9;
    println!("{act:?}: {waited:.4} s, {least:.4} to {most:.4} s by other clocks");
    assert!((least - 1e-6..=most + 1e-6).contains(&waited), "{act:?}: {waited} s");
}

/// What a player does: a message's type, and one more field of it.
type Act = (&'static str, &'static str, &'static str);

#[tokio::test]
async fn the_wait_for_a_turn_is_known_by_priority() {
    let server = Server::start().await;
    let mut player = server.player_in("clock").await;
    let scrape = server.scrape().await;
    assert_eq!(waits(&scrape, "critical"), (0.0, 0.0), "known from the start");
    let pauses = [0, 300, 1000].map(Duration::from_millis);
    wait_of(&server, &mut player, ("say", "text", "First"), pauses[0]).await;
    wait_of(&server, &mut player, ("say", "text", "Second"), pauses[1]).await;
    wait_of(&server, &mut player, ("press", "control", "bell"), pauses[2]).await;
    let scrape = server.scrape().await;
    assert_eq!([waits(&scrape, "critical").0, waits(&scrape, "urgent").0], [2.0, 1.0]);
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
