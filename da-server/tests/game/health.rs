//! `da-server health`: what a container engine runs to learn whether the server serves.

use std::process::Output;
use std::time::Instant;

use da_standin::{Delay, Plan};
use da_testkit::player::Player;
use serde_json::Value;
use tokio::process::Command;

use crate::server::Server;

/// Asks as in the server's own surroundings: the same variables, and a proxy among them.
async fn ask(port: u16) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_da-server"));
    let nobody = "http://127.0.0.1:1";
    command.arg("health").env_clear().envs([("HTTP_PROXY", nobody), ("ALL_PROXY", nobody)]);
    command.env("DA_LISTEN", "0.0.0.0:1").env("PORT", port.to_string());
    command.output().await.expect("ran")
}

#[tokio::test]
async fn a_server_that_serves_is_healthy_and_one_that_has_ended_is_not() {
    let server = Server::start().await;
    let port = server.address.port();
    let Output { status, stdout, .. } = ask(port).await;
    assert_eq!(status.code(), Some(0));
    let said: serde_json::Value = serde_json::from_slice(&stdout).expect("JSON");
    assert_eq!(said["status"], "ok");

    server.stop().await.expect("ended in order");
    let Output { status, stderr, .. } = ask(port).await;
    assert_eq!(status.code(), Some(1));
    let said = String::from_utf8(stderr).expect("text");
    assert!(said.contains(&format!("no server answers at 127.0.0.1:{port}")), "{said}");
}

#[tokio::test]
async fn however_many_ask_for_health_the_database_is_asked_once_a_second() {
    let server = Server::start().await;
    let began = Instant::now();
    for _ in 0..300 {
        let health = server.request("/health").send().await.expect("answer");
        let health: Value = health.json().await.expect("JSON");
        assert_eq!(health["store"]["status"], "ok");
    }
    let seconds = began.elapsed().as_secs_f64();
    let asked = server.scrape().await.queries("ping");
    assert!(asked <= seconds + 2.0, "{asked} queries in {seconds} s");
}

#[tokio::test]
async fn a_database_that_is_away_is_no_error_as_long_as_no_player_loses_anything() {
    let server = Server::with(|config| config.store.path = "/nonexistent/x.sqlite".into()).await;
    let failures = "db_query_failures_total{operation=\"ping\"}";
    let scrape = server.scrape_until(|s| s.get(failures) >= 2.0).await;
    assert_eq!((scrape.errors("database"), scrape.get("db_available")), (0.0, 0.0));
    let health: Value =
        server.request("/health").send().await.expect("answer").json().await.expect("JSON");
    assert_eq!(health["store"]["status"], "missing");
    let ready = server.request("/readyz").send().await.expect("answer");
    assert_eq!(ready.status(), 200, "the game goes on without it");

    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    let turn = player.hear_turn().await;
    assert_eq!((turn.status.as_str(), turn.kept), ("success", false));
    let scrape = server.scrape().await;
    assert_eq!(scrape.get("turns_not_kept_total{reason=\"failed\"}"), 1.0);
    assert!(scrape.errors("database") > 0.0);
}

#[tokio::test]
async fn a_server_that_was_told_to_stop_is_not_ready_while_it_lets_players_finish() {
    let server = Server::start().await;
    let ready = async || server.request("/readyz").send().await.expect("answer").status().as_u16();
    assert_eq!(ready().await, 200);
    let mut player = server.player_in("quiet").await;
    server.llm_plan(Plan { between_chunks_ms: Delay::Fixed(300.0), ..Plan::default() });
    player.say("Hello").await;
    player.hear_first_piece().await;
    server.shutdown.cancel();
    assert_eq!(ready().await, 503);
    assert!(Player::connect_from(server.address, None).await.is_err(), "nobody new is let in");
    assert_eq!(server.request("/metrics").send().await.expect("answer").status(), 200);
    assert_eq!(player.wait_for("turn_end").await["status"], "success", "it was let finish");
    assert_eq!(player.wait_for_close().await.1, "server_shutdown");
    let address = server.address;
    server.stop().await.expect("ended in order");
    assert!(std::net::TcpStream::connect(address).is_err(), "and then nobody listens");
}
