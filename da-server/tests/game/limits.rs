//! What is bounded: who may connect, how much, how often and for how long.

use da_standin::{Delay, Plan};
use da_testkit::player::{Player, Received};
use serde_json::json;
use tokio_tungstenite::tungstenite::Error as WireError;

use crate::server::Server;

#[tokio::test]
async fn only_own_and_allowed_pages_may_connect() {
    let allowed = "https://friend.example".to_owned();
    let server = Server::with(|config| config.websocket.allowed_origins.push(allowed)).await;
    let own = format!("http://{}", server.address);
    for origin in [None, Some(own.as_str()), Some("https://friend.example")] {
        assert!(Player::connect_from(server.address, origin).await.is_ok(), "{origin:?}");
    }
    for origin in ["https://evil.example", "http://127.0.0.1:1", "null"] {
        match Player::connect_from(server.address, Some(origin)).await {
            Err(WireError::Http(response)) => assert_eq!(response.status(), 403, "{origin}"),
            other => panic!("{origin}: {:?}", other.err()),
        }
    }
    assert_eq!(server.scrape().await.closes("origin_refused"), 3.0);
}

#[tokio::test]
async fn a_message_that_is_too_large_closes_the_connection() {
    let server = Server::with(|config| config.websocket.max_message_bytes = 2000).await;
    let mut player = server.player_in("quiet").await;
    player.say(&"x".repeat(900)).await;
    assert_eq!(player.hear_turn().await.status, "success", "up to the limit all is well");
    player.say(&"x".repeat(2001)).await;
    assert_eq!(player.wait_for_close().await, (1009, "message_too_large".to_owned()));
    server.scrape_until(|s| s.closes("message_too_large") == 1.0).await;
}

#[tokio::test]
async fn a_message_in_small_pieces_is_no_smaller() {
    let server = Server::with(|config| config.websocket.max_message_bytes = 200).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("connected");
    raw::upgrade(&mut stream, server.address).await;
    raw::send_frame(&mut stream, raw::TEXT, &[b'x'; 100]).await;
    raw::send_frame(&mut stream, raw::CONTINUATION, &[b'x'; 100]).await;
    assert_eq!(server.scrape().await.closes("message_too_large"), 0.0, "up to the limit");
    raw::send_frame(&mut stream, raw::CONTINUATION, b"x").await;
    server.scrape_until(|s| s.closes("message_too_large") == 1.0).await;
}

#[tokio::test]
async fn text_that_is_no_text_closes_the_connection() {
    let server = Server::start().await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("connected");
    raw::upgrade(&mut stream, server.address).await;
    raw::send_text(&mut stream, &[0xff, 0xfe]).await;
    server.scrape_until(|s| s.closes("protocol_error") == 1.0).await;
}

#[tokio::test]
async fn one_session_too_many_is_turned_away_and_a_free_seat_is_taken() {
    let server = Server::with(|config| config.websocket.max_sessions = 1).await;
    let first = server.player_in("quiet").await;
    let mut second = server.player().await;
    assert_eq!(second.wait_for_close().await, (1013, "busy".to_owned()));
    let scrape = server.scrape().await;
    assert_eq!((scrape.closes("busy"), scrape.get("active_sessions")), (1.0, 1.0));
    first.leave().await;
    server.scrape_until(|s| s.get("active_sessions") == 0.0).await;
    server.player_in("quiet").await;
}

#[tokio::test]
async fn a_scene_that_is_not_there_never_becomes_a_label() {
    let server = Server::start().await;
    for scene in ["nowhere", "quiet\",evil=\"x", ""] {
        let mut player = server.player().await;
        player.send(json!({"type": "start", "scene": scene})).await;
        assert_eq!(player.wait_for_error().await, "unknown_scene", "{scene}");
        assert_eq!(player.wait_for_close().await.1, "invalid_messages");
    }
    let scrape = server.scrape_until(|s| s.closes("invalid_messages") == 3.0).await;
    assert_eq!(scrape.errors("invalid_message"), 3.0);
    assert!(scrape.names().all(|name| !name.contains("nowhere") && !name.contains("evil")));
    let scenes = scrape.names().filter(|name| name.starts_with("requests_total{")).count();
    assert_eq!(scenes, 4 * 4, "four scenes, four statuses");
}

#[tokio::test]
async fn what_the_protocol_does_not_know_is_said_counted_and_not_endured_for_ever() {
    let server = Server::start().await;
    let mut player = server.player_in("quiet").await;
    player.send_text("hello").await;
    assert_eq!(player.wait_for_error().await, "invalid_message");
    player.send_bytes(vec![1, 2, 3]).await;
    assert_eq!(player.wait_for_error().await, "invalid_message");
    player.send(json!({"type": "start", "scene": "quiet"})).await;
    assert_eq!(player.wait_for_error().await, "already_started");
    player.say("Still here?").await;
    assert_eq!(player.hear_turn().await.status, "success");
    for _ in 3..10 {
        player.send_text("{}").await;
    }
    assert_eq!(player.wait_for_close().await, (1008, "invalid_messages".to_owned()));
    assert_eq!(server.scrape().await.errors("invalid_message"), 10.0);
}

#[tokio::test]
async fn a_line_that_is_none_is_rejected() {
    let server = Server::with(|config| config.game.max_line_characters = 20).await;
    let mut player = server.player_in("quiet").await;
    for (line, code) in [
        ("  ", "empty_line"),
        ("abcdefghijklmnopqrstu", "line_too_long"),
        ("a\u{0}b", "line_not_text"),
    ] {
        player.say(line).await;
        assert_eq!(player.wait_for_error().await, code);
    }
    let scrape = server.scrape().await;
    assert_eq!(scrape.requests("quiet", "rejected"), 3.0);
    assert_eq!(scrape.sum("llm_latency_seconds_count"), 0.0, "nobody was asked");
    assert_eq!(scrape.sum("errors_total"), 0.0);
}

#[tokio::test]
async fn a_player_may_ask_only_so_often() {
    let server = Server::with(|config| config.game.requests_per_minute = 6).await;
    let mut player = server.player_in("quiet").await;
    for _ in 0..2 {
        player.say("Hello").await;
        assert_eq!(player.hear_turn().await.status, "success");
    }
    player.say("Hello").await;
    assert_eq!(player.wait_for_error().await, "too_many_requests");
    assert_eq!(server.scrape().await.requests("quiet", "rejected"), 1.0);
}

#[tokio::test]
async fn a_player_who_does_nothing_is_sent_away() {
    let server = Server::with(|config| config.websocket.idle_seconds = 1).await;
    let mut player = server.player_in("quiet").await;
    assert_eq!(player.wait_for_close().await, (1000, "idle".to_owned()));
}

#[tokio::test]
async fn a_connection_without_a_sign_of_life_is_closed() {
    let server = Server::with(|config| config.websocket.heartbeat_seconds = 1).await;
    let mut lively = server.player_in("quiet").await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("connected");
    raw::upgrade(&mut stream, server.address).await;
    raw::send_text(&mut stream, br#"{"type":"start","scene":"quiet"}"#).await;
    // A client that reads answers pings by itself; this one never does.
    let answering = async { while !matches!(lively.receive().await, Received::Closed(_)) {} };
    tokio::select! {
        _ = server.scrape_until(|s| s.closes("heartbeat_lost") == 1.0) => {}
        () = answering => panic!("the lively one was closed"),
    }
    assert_eq!(server.scrape().await.get("active_sessions"), 1.0);
}

#[tokio::test]
async fn a_player_who_does_not_read_is_closed_and_counted() {
    let server = Server::with(|config| {
        config.websocket.write_timeout_seconds = 1;
        config.websocket.outbound_messages = 4;
        config.tts.output_format = Some("pcm_48000".to_owned());
    })
    .await;
    // Some 30 MB of audio, far more than two sockets hold.
    server.llm_plan(Plan { text_characters: Some(4800), chunks: Some(1), ..Plan::default() });
    let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("connected");
    raw::upgrade(&mut stream, server.address).await;
    raw::send_text(&mut stream, br#"{"type":"start","scene":"quiet"}"#).await;
    raw::send_text(&mut stream, br#"{"type":"say","text":"Tell me everything"}"#).await;
    let scrape = server.scrape_until(|s| s.closes("slow_player") == 1.0).await;
    assert_eq!(scrape.errors("slow_player"), 1.0);
    assert_eq!(scrape.sum("errors_total"), 1.0, "one failure, one count");
    assert_eq!(scrape.requests("quiet", "cancelled"), 1.0);
    assert_eq!(scrape.get("turns_interrupted_total{stage=\"rest_delivery\"}"), 1.0);
    assert_eq!(scrape.get("active_sessions"), 0.0);
}

#[tokio::test]
async fn the_server_lets_the_character_finish_before_it_stops() {
    let server = Server::start().await;
    let slowly = Plan { chunks: Some(8), between_chunks_ms: Delay::Fixed(50.0), ..Plan::default() };
    server.llm_plan(slowly);
    let mut player = server.player_in("quiet").await;
    player.say("One last word").await;
    player.hear_first_piece().await;
    server.shutdown.cancel();
    assert_eq!(player.wait_for("turn_end").await["status"], "success");
    assert_eq!(player.wait_for_close().await, (1001, "server_shutdown".to_owned()));
    server.stop().await.expect("an orderly end");
}

#[tokio::test]
async fn the_server_does_not_wait_for_ever() {
    let server = Server::with(|config| config.grace_seconds = 1).await;
    server.llm_plan(Plan { first_byte_ms: Delay::Fixed(60_000.0), ..Plan::default() });
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    player.wait_for("turn_start").await;
    let stopping = tokio::spawn(server.stop());
    assert_eq!(player.wait_for("turn_end").await["status"], "cancelled");
    assert_eq!(player.wait_for_close().await.1, "server_shutdown");
    stopping.await.expect("joined").expect("an orderly end");
}

/// A WebSocket client that does no more than it is told.
mod raw {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    pub async fn upgrade(stream: &mut TcpStream, address: SocketAddr) {
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("answer"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    }

    /// Opcodes and the final bit of RFC 6455, section 5.2.
    pub const TEXT: u8 = 0x1;
    pub const CONTINUATION: u8 = 0x0;
    const FINAL: u8 = 0x80;

    pub async fn send_text(stream: &mut TcpStream, text: &[u8]) {
        send_frame(stream, FINAL | TEXT, text).await;
    }

    /// One frame, masked with zeros, which change nothing.
    pub async fn send_frame(stream: &mut TcpStream, head: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).expect("short");
        assert!(length < 126);
        stream.write_all(&[head, 0x80 | length, 0, 0, 0, 0]).await.expect("sent");
        stream.write_all(payload).await.expect("sent");
    }
}
