//! Turns: from a player's line to text, audio, store and metrics.

use std::time::{Duration, Instant};

use da_standin::{CloseReason, Delay, Event, Plan};
use serde_json::json;

use crate::exchanges::Exchange;
use crate::server::{LLM, PATIENCE, Server, TTS};

const RESPONSES: &str = "response_time_seconds_count{character=\"listener\",scene=\"quiet\"}";
const RESPONSE_SUM: &str = "response_time_seconds_sum{character=\"listener\",scene=\"quiet\"}";

fn saying(text: &str) -> Plan {
    Plan { text: Some(text.to_owned()), ..Plan::default() }
}

/// So many pieces, so far apart.
fn slowly(pieces: usize, apart_ms: f64) -> Plan {
    Plan { chunks: Some(pieces), between_chunks_ms: Delay::Fixed(apart_ms), ..Plan::default() }
}

#[tokio::test]
async fn a_turn_is_seen_heard_kept_and_counted() {
    let server = Server::start().await;
    server.llm_plan(saying("One word after the other — naïve, isn’t it?"));
    let mut player = server.player_in("quiet").await;
    let before = server.scrape().await;
    assert_eq!(before.get("active_sessions"), 1.0);

    player.say("Hello {name} {}").await;
    let turn = player.hear_turn().await;
    assert_eq!(turn.status, "success");
    assert_eq!(turn.text(), "One word after the other — naïve, isn’t it?");
    assert!(turn.pieces.len() > 3, "{} pieces", turn.pieces.len());
    assert_eq!(turn.mime.as_deref(), Some("audio/mpeg"));
    assert!(turn.audio_ended && turn.errors.is_empty());

    server.standin.idle().await;
    let log = server.standin.log();
    let sent: u64 = log
        .iter()
        .filter(|entry| entry.name.as_deref() == Some(TTS))
        .map(|entry| match entry.event {
            Event::Chunk { bytes, .. } => bytes,
            _ => 0,
        })
        .sum();
    assert_eq!(turn.audio.len() as u64, sent, "every byte of audio arrives");
    assert!(sent > 1000);

    let after = server.scrape_until(|s| s.queries("add_turn") == 1.0).await;
    let grew = |series: &str| after.get(series) - before.get(series);
    assert_eq!(after.requests("quiet", "success"), 1.0);
    assert_eq!(after.sum("requests_total"), 1.0, "and under no other label");
    assert_eq!(grew(RESPONSES), 1.0);
    assert_eq!(after.sum("llm_latency_seconds_count"), 1.0);
    assert_eq!(grew("tts_latency_seconds_count{outcome=\"success\"}"), 1.0);
    assert_eq!(after.sum("tts_latency_seconds_count"), 1.0, "and under no other outcome");
    for operation in ["create_session", "read_history", "add_turn"] {
        assert_eq!(after.queries(operation), 1.0, "{operation}");
    }
    assert_eq!(after.sum("errors_total"), 0.0);

    let asked = "Hello {name} {}".to_owned();
    assert_eq!(server.stored(&player.token).await, [(asked, turn.text())]);
    player.leave().await;
    let left = server.scrape_until(|s| s.closes("player_left") == 1.0).await;
    assert_eq!(left.get("active_sessions"), 0.0);
}

#[tokio::test]
async fn who_leaves_in_the_middle_of_an_answer_has_left_and_was_not_lost() {
    let server = Server::start().await;
    server.llm_plan(slowly(200, 5.0));
    let mut player = server.player_in("quiet").await;
    player.say("Tell me slowly").await;
    player.wait_for("text").await;
    player.leave().await;
    server.scrape_until(|s| s.closes("player_left") == 1.0).await;
    assert_eq!(server.scrape().await.closes("connection_lost"), 0.0);
}

#[tokio::test]
async fn text_arrives_as_it_is_written() {
    let server = Server::start().await;
    server.llm_plan(slowly(6, 400.0));
    let mut player = server.player_in("quiet").await;
    player.say("Tell me slowly").await;
    let turn = player.hear_turn().await;
    let written = Exchange::latest(&server, LLM).last_ns;
    assert!(turn.pieces[0].0 < written, "the first was there before the last was written");
}

#[tokio::test]
async fn response_time_covers_the_last_byte_of_audio_and_nothing_more() {
    let server = Server::start().await;
    server.llm_plan(Plan { first_byte_ms: Delay::Fixed(80.0), ..slowly(4, 30.0) });
    server.tts_plan(Plan { first_byte_ms: Delay::Fixed(90.0), ..slowly(4, 40.0) });
    let mut player = server.player_in("quiet").await;
    let asked = Instant::now();
    player.say("How long?").await;
    let turn = player.hear_turn().await;
    let seen = asked.elapsed().as_secs_f64();
    assert_eq!(turn.status, "success");
    let injected = (80.0 + 3.0 * 30.0 + 90.0 + 3.0 * 40.0) / 1000.0;
    let measured = server.scrape().await.get(RESPONSE_SUM);
    assert!(injected < measured && measured <= seen, "{injected} < {measured} <= {seen}");
}

#[tokio::test]
async fn a_new_line_interrupts_and_the_call_is_dropped() {
    let server = Server::start().await;
    server.llm_plan(slowly(50, 100.0));
    let mut player = server.player_in("quiet").await;
    player.say("Begin a long story").await;
    let begun = player.hear_first_piece().await;
    server.llm_plan(saying("Yes?"));
    player.say("Wait").await;
    let end = player.wait_for("turn_end").await;
    assert_eq!(
        (end["turn"].as_u64(), end["status"].as_str()),
        (Some(begun.number), Some("cancelled"))
    );
    let answer = player.hear_turn().await;
    assert_eq!((answer.status.as_str(), answer.text().as_str()), ("success", "Yes?"));

    let scrape = server.scrape_until(|s| s.queries("add_turn") == 2.0).await;
    assert_eq!(scrape.requests("quiet", "cancelled"), 1.0);
    assert_eq!(scrape.requests("quiet", "success"), 1.0);
    assert_eq!(scrape.get(RESPONSES), 1.0, "an interrupted answer has no response time");
    let stored = server.stored(&player.token).await;
    assert_eq!(stored.len(), 2);
    assert!(!stored[0].1.is_empty(), "what was heard of the first answer is remembered");

    server.standin.idle().await;
    let dropped = server.standin.log().into_iter().any(|entry| {
        let by_client = matches!(entry.event, Event::Close { reason: CloseReason::Client, .. });
        by_client && entry.name.as_deref() == Some(LLM)
    });
    assert!(dropped, "the provider need not finish what nobody hears");
}

#[tokio::test]
async fn a_line_that_was_superseded_is_no_success() {
    let server = Server::start().await;
    server.llm_plan(slowly(50, 100.0));
    let mut player = server.player_in("quiet").await;
    player.say("First").await;
    player.hear_first_piece().await;
    // Both arrive before the first has wound up: only the newest counts.
    server.llm_plan(saying("Third it is."));
    player.say("Second").await;
    player.say("Third").await;
    player.wait_for("turn_end").await;
    let scrape = server.scrape_until(|s| s.requests("quiet", "success") == 1.0).await;
    assert_eq!(scrape.requests("quiet", "cancelled"), 2.0);
    // What was said is kept a moment later.
    let kept = async {
        while server.stored(&player.token).await.iter().all(|(asked, _)| asked != "Third") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, kept).await.expect("kept in time");
}

#[tokio::test]
async fn a_player_can_stop_the_character() {
    let server = Server::start().await;
    server.llm_plan(slowly(50, 100.0));
    let mut player = server.player_in("quiet").await;
    player.say("Begin").await;
    player.hear_first_piece().await;
    player.send(json!({"type": "interrupt"})).await;
    assert_eq!(player.wait_for("turn_end").await["status"], "cancelled");
}

#[tokio::test]
async fn a_player_who_leaves_ends_the_call_and_counts_as_cancelled() {
    let server = Server::start().await;
    server.llm_plan(slowly(50, 100.0));
    let mut player = server.player_in("quiet").await;
    player.say("Begin").await;
    player.hear_first_piece().await;
    player.leave().await;
    let scrape = server.scrape_until(|s| s.get("active_sessions") == 0.0).await;
    assert_eq!(scrape.requests("quiet", "cancelled"), 1.0);
    assert_eq!(scrape.sum("errors_total"), 0.0, "leaving is no failure");
}

#[tokio::test]
async fn the_character_remembers() {
    let server = Server::start().await;
    server.llm_plan(Plan { text_characters: Some(400), ..Plan::default() });
    let mut player = server.player_in("quiet").await;
    for line in ["One", "Two"] {
        player.say(line).await;
        assert_eq!(player.hear_turn().await.status, "success");
    }
    server.standin.idle().await;
    let requests: Vec<u64> = server
        .standin
        .log()
        .iter()
        .filter(|entry| entry.name.as_deref() == Some(LLM))
        .filter_map(|entry| match entry.event {
            Event::Request { bytes, .. } => Some(bytes),
            _ => None,
        })
        .collect();
    assert_eq!(requests.len(), 2);
    assert!(
        requests[1] > requests[0] + 400,
        "the second prompt holds the first answer: {requests:?}"
    );
}

#[tokio::test]
async fn a_session_goes_on_after_a_reconnect() {
    let server = Server::start().await;
    server.llm_plan(saying("So it is."));
    let mut player = server.player_in("clock").await;
    player.press("lamp").await;
    player.say("It is bright").await;
    player.hear_turn().await;
    let token = player.token.clone();

    // The old connection is still open, as when a network changes.
    let mut again = server.player().await;
    let start = json!({"type": "start", "scene": "clock", "token": token});
    let session = again.start_as(start).await;
    assert_eq!(player.wait_for_close().await, (1008, "replaced".to_owned()));
    assert_eq!(session["resumed"], true);
    assert_eq!(session["token"], token.as_str());
    let said: Vec<(&str, &str)> = session["history"]
        .as_array()
        .expect("lines")
        .iter()
        .map(|line| (line["speaker"].as_str().expect("who"), line["text"].as_str().expect("what")))
        .collect();
    assert_eq!(said, [("player", "It is bright"), ("character", "So it is.")]);
    let state = again.wait_for("state").await;
    assert_eq!(state["variables"]["light"], 1.0, "the scene stands where it stood");
    assert_eq!(server.scrape().await.closes("replaced"), 1.0);
}

#[tokio::test]
async fn a_token_that_opens_nothing_begins_anew_and_says_so() {
    let server = Server::start().await;
    for token in ["", "guess", &"A".repeat(43)] {
        let mut player = server.player().await;
        player.send(json!({"type": "start", "scene": "quiet", "token": token})).await;
        assert_eq!(player.wait_for("notice").await["code"], "starts_afresh");
        let session = player.wait_for("session").await;
        assert_eq!(session["resumed"], false);
        assert_ne!(session["token"], token);
    }
}

#[tokio::test]
async fn the_first_words_are_the_characters_own() {
    let server = Server::start().await;
    let mut player = server.player_in("welcome").await;
    let opening = player.hear_turn().await;
    assert!(opening.text().starts_with("Oh, a visitor!"), "{}", opening.text());
    assert!(!opening.audio.is_empty());
    let scrape = server.scrape().await;
    assert_eq!(scrape.sum("requests_total"), 0.0, "nobody asked for it");
    assert_eq!(scrape.sum("llm_latency_seconds_count"), 0.0, "nobody had to think");
}
