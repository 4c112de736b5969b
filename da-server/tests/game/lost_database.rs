//! A database that is lost, or takes nothing for a while, under a running game: who plays is told, and so is
//! who comes back.

use std::path::PathBuf;

use da_testkit::browser::Browser;
use da_testkit::player::Received;
use serde_json::{Value, json};
use sqlx::Executor;
use tempfile::TempDir;

use crate::locked::lock;
use crate::page::{enter, say};
use crate::server::Server;

/// A server whose database can't be opened before [it comes](database_comes), and the folder for that.
async fn without_a_database() -> (Server, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = later(&folder).join("x.sqlite");
    (Server::with(|config| config.store.path = path).await, folder)
}

async fn database_comes(server: &Server, folder: &TempDir) {
    std::fs::create_dir(later(folder)).expect("made");
    server.scrape_until(|s| s.get("db_available") == 1.0).await;
}

fn later(folder: &TempDir) -> PathBuf {
    folder.path().join("later")
}

/// What a player hears who comes back to their session, which must be there.
async fn resumed(server: &Server, token: &str) -> Value {
    let mut player = server.player().await;
    let session = player.start_as(json!({"type": "start", "scene": "quiet", "token": token})).await;
    assert_eq!(session["resumed"], true);
    session
}

#[tokio::test]
async fn a_deleted_database_is_said_to_operators_and_to_players() {
    let server = Server::start().await;
    let mut stays = server.player_in("quiet").await;
    let mut leaves = server.player_in("quiet").await;
    for player in [&mut stays, &mut leaves] {
        player.say("Remember this").await;
        assert!(player.hear_turn().await.kept);
    }
    let left = leaves.token.clone();
    leaves.leave().await;
    server.scrape_until(|s| s.queries("leave_session") == 1.0).await;
    for ending in ["", "-wal", "-shm"] {
        let path = format!("{}{ending}", server.database().display());
        std::fs::remove_file(path).expect("deleted");
    }
    server.scrape_until(|s| s.get("db_files_lost_total") == 1.0).await;
    let health: Value =
        server.request("/health").send().await.expect("answer").json().await.expect("JSON");
    assert_eq!(health["store"], json!({"status": "ok", "files_lost": 1}));

    // Who comes back begins afresh, and hears that.
    let mut again = server.player().await;
    again.send(json!({"type": "start", "scene": "quiet", "token": left})).await;
    assert_eq!(again.wait_for("notice").await["code"], "starts_afresh");

    // Who is there plays on, hears that what was before is lost, and is kept from now on.
    stays.say("And this").await;
    assert_eq!(stays.wait_for("notice").await["code"], "history_lost");
    assert_eq!(stays.wait_for("turn_end").await["kept"], true);
    let token = stays.token.clone();
    let session = resumed(&server, &token).await;
    let lines = session["history"].as_array().expect("lines");
    assert_eq!(lines[0]["text"], "And this");
    assert_eq!(lines.len(), 2);
}

#[tokio::test]
async fn a_session_that_began_without_a_database_is_kept_from_when_there_is_one() {
    let (server, folder) = without_a_database().await;
    let mut player = server.player_in("quiet").await;
    player.say("Lose this").await;
    assert!(!player.hear_turn().await.kept);
    database_comes(&server, &folder).await;
    player.say("Keep this").await;
    assert_eq!(player.wait_for("notice").await["code"], "history_lost");
    assert_eq!(player.wait_for("turn_end").await["kept"], true);
    let token = player.token.clone();
    player.leave().await;
    server.scrape_until(|s| s.queries("leave_session") == 1.0).await;
    let session = resumed(&server, &token).await;
    assert_eq!(session["history"][0]["text"], "Keep this");
}

#[tokio::test]
async fn a_session_that_began_without_a_database_is_there_for_who_comes_back() {
    let (server, folder) = without_a_database().await;
    let mut player = server.player_in("quiet").await;
    player.say("Lose this").await;
    assert!(!player.hear_turn().await.kept);
    database_comes(&server, &folder).await;
    let token = player.token.clone();
    player.leave().await;
    server.scrape_until(|s| s.queries("restore_session") == 1.0).await;
    resumed(&server, &token).await;
}

/// Nothing was said yet, so nothing is said to be lost.
#[tokio::test]
async fn a_session_whose_first_turn_is_kept_has_lost_nothing() {
    let (server, folder) = without_a_database().await;
    let mut player = server.player_in("quiet").await;
    database_comes(&server, &folder).await;
    player.say("Keep this").await;
    let ended = loop {
        match player.receive().await {
            Received::Message(message) if message["type"] == "turn_end" => break message,
            Received::Message(message) => assert_ne!(message["type"], "notice", "{message}"),
            Received::Audio(_) => {}
            Received::Closed(frame) => panic!("closed: {frame:?}"),
        }
    };
    assert_eq!(ended["kept"], true);
}

#[tokio::test]
async fn the_page_says_when_what_is_said_cant_be_saved_and_when_it_can_again() {
    let Some(browser) = Browser::open(1280, 800).await else { return };
    let server = Server::start().await;
    enter(&browser, &server, "quiet").await;
    let mut lock = lock(&server).await;
    say(&browser, "Lose this").await;
    let asides = "[...document.querySelectorAll('#log .aside')].map(each => each.textContent)";
    browser.until(&format!("{asides}.at(-1)?.includes('saved right now')")).await;
    lock.execute("ROLLBACK").await.expect("unlocked");
    say(&browser, "Keep this").await;
    browser.until(&format!("{asides}.at(-1).includes('saved again')")).await;
    assert_eq!(browser.evaluate(&format!("{asides}.length")).await, json!(2), "each is said once");
    browser.close().await;
}
