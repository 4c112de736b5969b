//! Who comes back finds what they left, however the database is, and nothing that they had used up.

use da_testkit::player::{Player, Received};
use serde_json::json;

use crate::locked::lock;
use crate::server::Server;

/// A connection lost and another one made, by the same player.
async fn reconnect(server: &Server, scene: &str, player: Player) -> Player {
    let token = player.token.clone();
    drop(player);
    let mut player = server.player().await;
    let back = json!({"type": "start", "scene": scene, "token": token});
    assert_eq!(player.start_as(back).await["resumed"], true);
    player
}

#[tokio::test]
async fn a_database_that_is_away_costs_nobody_their_session() {
    // For the first connection and the one that finds the database back.
    let server = Server::with(|config| config.websocket.starts_per_minute_per_address = 2).await;
    let mut player = server.player_in("quiet").await;
    player.say("Remember me").await;
    player.hear_turn().await;
    let token = player.token.clone();
    player.leave().await;
    server.scrape_until(|s| s.queries("leave_session") == 1.0).await;

    let locked = lock(&server).await;
    let back = json!({"type": "start", "scene": "quiet", "token": token});
    // They are told to try again, so that does not use up what they may start.
    for tried in 1..=2 {
        let mut early = server.player().await;
        early.send(back.clone()).await;
        let Received::Message(error) = early.receive().await else { panic!("no word") };
        assert_eq!(error["code"], "store_unavailable", "{error}");
        assert!(
            error["retry_after_seconds"].as_u64().is_some_and(|seconds| seconds > 0),
            "{error}"
        );
        assert_eq!(early.wait_for_close().await, (1013, "store_unavailable".to_owned()));
        assert_eq!(server.scrape().await.closes("store_unavailable"), f64::from(tried));
    }

    drop(locked);
    let mut again = server.player().await;
    let session = again.start_as(back).await;
    assert_eq!((&session["resumed"], &session["token"]), (&json!(true), &json!(token)));
    assert_eq!(session["history"][0]["text"], "Remember me");
}

/// The scene's lamp rests for a minute.
#[tokio::test]
async fn a_control_rests_over_a_reconnect() {
    let server = Server::start().await;
    let mut player = server.player_in("clock").await;
    player.press("lamp").await;
    player.wait_for_state(|state| state["variables"]["light"] == 1.0).await;
    let mut player = reconnect(&server, "clock", player).await;
    player.press("lamp").await;
    assert_eq!(player.wait_for_error().await, "control_resting");
}

#[tokio::test]
async fn a_request_budget_is_the_players_and_not_the_connections() {
    let server = Server::with(|config| config.game.requests_per_minute = 6).await;
    let mut player = server.player_in("quiet").await;
    for _ in 0..2 {
        player.say("Hello").await;
        assert_eq!(player.hear_turn().await.status, "success");
    }
    let mut player = reconnect(&server, "quiet", player).await;
    player.say("Hello").await;
    assert_eq!(player.wait_for_error().await, "too_many_requests");
}
