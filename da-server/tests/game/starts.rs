//! Whoever opens sessions and leaves them, over and over: what it may cost.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use da_server::config::Config;
use da_testkit::player::{Player, Received};
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::server::Server;

const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// Starts from one address at once, and then in a minute.
const STARTS: u32 = 12;

/// A scene whose character speaks first costs speech with each start.
const SCENE: &str = "submarine";

/// Nobody else's word is taken for an address.
fn limited(config: &mut Config) {
    config.websocket.starts_per_minute_per_address = STARTS;
    config.websocket.trusted_proxies.clear();
}

/// Behind a proxy at [`HERE`].
fn behind_a_proxy(config: &mut Config) {
    limited(config);
    config.websocket.trusted_proxies.push(HERE.to_string().try_into().expect("an address"));
}

/// Connects and starts. The session, or why there is none: the error and the closing message.
async fn start(
    server: &Server,
    from: Ipv4Addr,
    forwarded_for: &[&str],
) -> Result<Player, (Value, (u16, String))> {
    let headers: Vec<_> = forwarded_for.iter().map(|who| ("x-forwarded-for", *who)).collect();
    let mut player = Player::connect_at(from, server.address, &headers).await.expect("upgraded");
    player.send(json!({"type": "start", "scene": SCENE})).await;
    match player.receive().await {
        Received::Message(message) if message["type"] == "session" => {
            player.token = message["token"].as_str().expect("a token").to_owned();
            Ok(player)
        }
        Received::Message(message) => Err((message, player.wait_for_close().await)),
        other => panic!("{other:?}"),
    }
}

/// Starts so often, and leaves at the first sound, as fast as it goes: how many were let in.
async fn start_and_leave(server: &Server, times: usize) -> usize {
    let mut let_in = 0;
    for _ in 0..times / 8 {
        let mut players = Vec::new();
        for _ in 0..8 {
            players.push(async {
                let mut player = start(server, HERE, &[]).await.ok()?;
                player.wait_for("audio_start").await;
                Some(())
            });
        }
        let ended = futures_util::future::join_all(players).await;
        let_in += ended.iter().flatten().count();
    }
    let_in
}

#[tokio::test]
async fn who_starts_and_leaves_is_bounded_before_anything_is_paid_for() {
    let server = Server::with(limited).await;
    let (tried, begun) = (96, Instant::now());
    let let_in = start_and_leave(&server, tried).await;
    let seconds = begun.elapsed().as_secs_f64();
    let bound = may_start(begun);
    let refused = (tried - let_in) as f64;
    let scrape = server.scrape_until(|s| s.closes("too_many_starts") == refused).await;
    let spoken = scrape.sum("tts_characters_total");
    println!("{tried} starts in {seconds:.1} s, {let_in} let in, {spoken} characters of speech");
    assert!(spoken > 0.0, "there is nothing to be bounded");
    assert!(let_in as f64 <= bound, "{let_in} of at most {bound}");
    let longest_opening = 100.0;
    assert!(spoken <= bound * longest_opening, "{spoken} characters");
    assert_eq!(rows(&server).await, let_in as i64, "nobody else is in the database");
    // Whoever comes from elsewhere does not notice.
    start(&server, ELSEWHERE, &[]).await.map_err(drop).expect("another address gets in");
}

async fn rows(server: &Server) -> i64 {
    let options = SqliteConnectOptions::new().filename(server.database()).read_only(true);
    let mut connection = options.connect().await.expect("opened");
    let count = sqlx::query_scalar("SELECT count(*) FROM sessions");
    count.fetch_one(&mut connection).await.expect("counted")
}

#[tokio::test]
async fn who_is_refused_hears_why_and_when_to_come_again() {
    let server = Server::with(|config| {
        limited(config);
        config.websocket.starts_per_minute_per_address = 1;
    })
    .await;
    start(&server, HERE, &[]).await.map_err(drop).expect("the first one");
    let (error, close) = start(&server, HERE, &[]).await.err().expect("refused");
    assert_eq!(
        (error["type"].as_str(), error["code"].as_str()),
        (Some("error"), Some("too_many_starts"))
    );
    let seconds = error["retry_after_seconds"].as_u64().expect("seconds");
    assert!((1..=60).contains(&seconds), "{error}");
    assert!(error["message"].as_str().expect("a sentence").ends_with('.'), "{error}");
    assert_eq!(close, (1013, "too_many_starts".to_owned()));
}

#[tokio::test]
async fn the_players_of_an_address_ask_only_so_often_together() {
    let server = Server::with(|config| {
        limited(config);
        config.websocket.requests_per_minute_per_address = 3;
    })
    .await;
    let quiet = async |from| {
        let mut player = Player::connect_at(from, server.address, &[]).await.expect("upgraded");
        player.start("quiet").await;
        player
    };
    let (mut one, mut another) = (quiet(HERE).await, quiet(HERE).await);
    one.say("Hello").await;
    assert_eq!(one.hear_turn().await.status, "success");
    another.say("Hello").await;
    assert_eq!(another.wait_for_error().await, "too_many_requests");
    assert_eq!(server.scrape().await.requests("quiet", "rejected"), 1.0);
    let mut other = quiet(ELSEWHERE).await;
    other.say("Hello").await;
    assert_eq!(other.hear_turn().await.status, "success", "another address does not notice");
}

#[tokio::test]
async fn an_address_has_only_so_many_seats() {
    let server = Server::with(|config| {
        limited(config);
        config.websocket.max_sessions_per_address = 2;
    })
    .await;
    let first = start(&server, HERE, &[]).await.map_err(drop).expect("a seat");
    let _second = start(&server, HERE, &[]).await.map_err(drop).expect("a seat");
    let (_, close) = start(&server, HERE, &[]).await.err().expect("refused");
    assert_eq!(close, (1013, "too_many_sessions".to_owned()));
    assert_eq!(server.scrape().await.closes("too_many_sessions"), 1.0);
    start(&server, ELSEWHERE, &[]).await.map_err(drop).expect("a seat for others");
    first.leave().await;
    server.scrape_until(|s| s.get("active_sessions") == 1.0).await;
    start(&server, HERE, &[]).await.map_err(drop).expect("the free seat");
}

/// How many one address may have started since: a slow machine gives it time for more.
fn may_start(since: Instant) -> f64 {
    f64::from(STARTS) * (1.0 + since.elapsed().as_secs_f64() / 60.0)
}

/// How many get in who come at once, each of whom says to come for this address; and whether that is no more
/// than one address may start.
async fn let_in(server: &Server, from: Ipv4Addr, said: impl Fn(u32) -> Vec<String>) -> (u32, bool) {
    let (mut let_in, begun) = (0, Instant::now());
    for number in 0..2 * STARTS {
        let said = said(number);
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        let_in += u32::from(start(server, from, &said).await.is_ok());
    }
    (let_in, f64::from(let_in) <= may_start(begun))
}

#[tokio::test]
async fn what_strangers_say_of_themselves_changes_nothing() {
    let server = Server::with(limited).await;
    let made_up = |number| vec![format!("192.0.2.{number}")];
    assert!(let_in(&server, HERE, made_up).await.1);

    let server = Server::with(behind_a_proxy).await;
    assert!(let_in(&server, ELSEWHERE, made_up).await.1, "that is not the proxy");
    // Through the proxy, which adds whom it was asked by.
    let through = |number| vec![format!("192.0.2.{number}, 198.51.100.7")];
    assert!(let_in(&server, HERE, through).await.1);
    let by_itself = |number| vec![format!("192.0.2.{number}"), "198.51.100.8".to_owned()];
    assert!(let_in(&server, HERE, by_itself).await.1);
}

#[tokio::test]
async fn whom_a_trusted_proxy_names_is_counted_on_their_own() {
    let server = Server::with(behind_a_proxy).await;
    let players = |number| vec![format!("192.0.2.{number}")];
    assert_eq!(let_in(&server, HERE, players).await.0, 2 * STARTS);
}

/// The address that the server itself was told to trust for nothing is where most play from.
#[tokio::test]
async fn a_house_full_of_players_does_not_notice() {
    let server = Server::with(|config| config.websocket = Config::default().websocket).await;
    let mut players = Vec::new();
    for _ in 0..30 {
        players.push(start(&server, HERE, &[]).await.map_err(drop).expect("a seat"));
    }
    let address: SocketAddr = server.address;
    for player in &players {
        // Each loses their connection once.
        let mut again = Player::connect(address).await;
        let back = json!({"type": "start", "scene": SCENE, "token": player.token});
        assert_eq!(again.start_as(back).await["resumed"], true);
    }
}
