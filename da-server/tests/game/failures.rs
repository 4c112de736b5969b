//! What fails is said in a sentence, counted once, and leaves the game going.

use std::time::Duration;

use da_server::llm::{LlmConfig, LlmProtocol};
use da_server::provider::ApiKey;
use da_standin::{Delay, Fault, Plan};
use da_testkit::postgres::Postgres;
use serde_json::json;

use crate::server::{LLM, Server};

fn failing(fault: Fault) -> Plan {
    Plan { fault: Some(fault), chunks: Some(4), ..Plan::default() }
}

#[tokio::test]
async fn each_failure_of_the_model_is_one_error_of_its_own_type() {
    let server = Server::with(|config| {
        config.llm.timeouts.first_content = Duration::from_secs(2);
    })
    .await;
    let cases = [
        (Fault::RateLimited { retry_after: None, retry_after_ms: None }, "llm_rate_limited", false),
        (Fault::Overloaded, "llm_unavailable", false),
        (Fault::ServerError, "llm_unavailable", false),
        (Fault::Hang, "llm_timeout", false),
        (Fault::ResetBeforeFirstToken { after_head: false }, "llm_interrupted", false),
        (Fault::ResetAfterFirstToken { after_chunks: 2 }, "llm_interrupted", true),
        (Fault::ErrorEventAfter200 { after_chunks: 2 }, "llm_unavailable", true),
    ];
    let mut player = server.player_in("quiet").await;
    for (number, (fault, error_type, has_text)) in cases.into_iter().enumerate() {
        let before = server.scrape().await;
        server.llm_plan(failing(fault));
        player.say("Hello").await;
        let turn = player.hear_turn().await;
        assert_eq!(turn.status, "error", "{fault:?}");
        assert_eq!(turn.error_codes(), [error_type], "{fault:?}");
        assert!(turn.errors[0].1.contains("Lis"), "{}", turn.errors[0].1);
        assert_eq!(!turn.text().is_empty(), has_text, "{fault:?}");
        assert!(turn.audio.is_empty(), "half an answer is not spoken");

        let after = server.scrape().await;
        assert_eq!(after.errors(error_type), before.errors(error_type) + 1.0, "{fault:?}");
        assert_eq!(after.sum("errors_total"), before.sum("errors_total") + 1.0, "{fault:?}");
        assert_eq!(after.requests("quiet", "error"), (number + 1) as f64);
        assert_eq!(
            after.sum("response_time_seconds_count"),
            (number + 1) as f64,
            "a failed answer took time, too"
        );
    }
    server.llm_plan(Plan::default());
    player.say("And now?").await;
    assert_eq!(player.hear_turn().await.status, "success", "the game has gone on");
}

#[tokio::test]
async fn without_a_voice_the_words_still_stand() {
    let server = Server::with(|config| {
        config.tts.timeouts.first_content = Duration::from_secs(2);
    })
    .await;
    let cases = [
        (Fault::ServerError, "tts_unavailable", false),
        (Fault::RateLimited { retry_after: None, retry_after_ms: None }, "tts_rate_limited", false),
        (Fault::Hang, "tts_timeout", false),
        (Fault::NonAudio200, "tts_protocol", false),
        (Fault::ResetAfterFirstToken { after_chunks: 2 }, "tts_interrupted", true),
    ];
    let mut player = server.player_in("quiet").await;
    for (fault, error_type, has_audio) in cases {
        let before = server.scrape().await;
        server.tts_plan(failing(fault));
        player.say("Hello").await;
        let turn = player.hear_turn().await;
        assert_eq!(turn.status, "success", "{fault:?}");
        assert!(!turn.text().is_empty());
        assert_eq!(turn.error_codes(), [error_type], "{fault:?}");
        assert_eq!(!turn.audio.is_empty(), has_audio, "{fault:?}");
        assert_eq!(turn.audio_ended, has_audio, "what begins also ends");
        let after = server.scrape().await;
        assert_eq!(after.errors(error_type), before.errors(error_type) + 1.0, "{fault:?}");
        assert_eq!(after.sum("errors_total"), before.sum("errors_total") + 1.0, "{fault:?}");
    }
}

#[tokio::test]
async fn without_a_speech_provider_the_game_is_silent() {
    let server = Server::with(|config| {
        config.tts.api_key = None;
        config.tts.base_url = None;
    })
    .await;
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    let turn = player.hear_turn().await;
    assert_eq!((turn.status.as_str(), turn.audio.len(), turn.errors.len()), ("success", 0, 0));
}

#[tokio::test]
async fn a_database_that_goes_away_is_missed_until_it_is_back() {
    if !Postgres::is_there() {
        return;
    }
    let postgres = tokio::task::spawn_blocking(Postgres::start).await.expect("started");
    let url = postgres.url("postgres").parse().expect("URL");
    let server = Server::with(|config| config.store.url = Some(url)).await;
    let mut player = server.player_in("quiet").await;
    let mut play = async |line: &str| {
        player.say(line).await;
        assert_eq!(player.hear_turn().await.status, "success", "{line}");
        player.token.clone()
    };
    play("Remember this").await;
    server.scrape_until(|s| s.queries("add_turn") == 1.0).await;
    assert_eq!(server.scrape().await.errors("database"), 0.0);
    postgres.stop();
    play("Forget this").await;
    // To read what was said before, and to keep what was said now.
    let without = server.scrape_until(|s| s.errors("database") >= 2.0).await;
    // Whether the turn was asked for in vain or not at all depends on the connections there still were.
    let in_vain = without.queries("add_turn");
    postgres.run();
    let token = play("And this").await;
    server.scrape_until(|s| s.queries("add_turn") == in_vain + 1.0).await;

    let mut again = server.player().await;
    let start = json!({"type": "start", "scene": "quiet", "token": token});
    let session = again.start_as(start).await;
    let lines = session["history"].as_array().expect("lines").iter();
    let own: Vec<_> = lines.filter(|line| line["speaker"] == "player").collect();
    assert_eq!(own.len(), 2, "{session}");
    assert_eq!([&own[0]["text"], &own[1]["text"]], ["Remember this", "And this"]);
}

#[tokio::test]
async fn a_blank_answer_is_not_remembered() {
    let server = Server::start().await;
    let mut player = server.player_in("quiet").await;
    server.llm_plan(Plan { text: Some("\n\n".to_owned()), ..Plan::default() });
    player.say("Hello").await;
    assert_eq!(player.hear_turn().await.status, "error");
    server.llm_plan(Plan::default());
    player.say("Are you there?").await;
    assert_eq!(player.hear_turn().await.status, "success");
    let token = player.token.clone();
    let mut again = server.player().await;
    let start = json!({"type": "start", "scene": "quiet", "token": token});
    let session = again.start_as(start).await;
    let lines = session["history"].as_array().expect("lines").iter();
    let own: Vec<_> = lines.filter(|line| line["speaker"] == "player").collect();
    assert_eq!(own.len(), 1, "{session}");
    assert_eq!(own[0]["text"], "Are you there?");
}

#[tokio::test]
async fn without_a_store_the_game_goes_on_and_the_failures_are_counted() {
    let server = Server::with(|config| config.store.path = "/nonexistent/game.sqlite".into()).await;
    let mut player = server.player_in("quiet").await;
    for _ in 0..2 {
        player.say("Hello").await;
        assert_eq!(player.hear_turn().await.status, "success");
    }
    let scrape = server.scrape().await;
    assert!(scrape.errors("database") >= 1.0);
    assert_eq!(scrape.errors("database"), scrape.sum("errors_total"));
    assert!(scrape.queries("open") >= 1.0);
    assert_eq!(scrape.requests("quiet", "success"), 2.0);
}

#[tokio::test]
async fn a_slow_provider_holds_up_nobody_else() {
    let server = Server::start().await;
    server.llm_plan(Plan { first_byte_ms: Delay::Fixed(30_000.0), ..Plan::default() });
    let mut waiting = server.player_in("quiet").await;
    waiting.say("Hello").await;
    // The request must have its plan before the next one changes it.
    server.asked(LLM, 1).await;
    server.llm_plan(Plan::default());
    let mut other = server.player_in("quiet").await;
    other.say("Hello").await;
    assert_eq!(other.hear_turn().await.status, "success");
}

#[tokio::test]
async fn a_model_that_is_left_alone_is_said_to_be_unavailable() {
    let server = Server::with(|config| {
        config.llm.breaker.failures = 1;
        config.llm.breaker.cool_down = Duration::from_secs(3600);
    })
    .await;
    server.llm_plan(Plan { fault_count: Some(1), ..failing(Fault::ServerError) });
    let mut player = server.player_in("quiet").await;
    for _ in 0..2 {
        player.say("Hello").await;
        let turn = player.hear_turn().await;
        assert_eq!((turn.status.as_str(), turn.error_codes()), ("error", vec!["llm_unavailable"]));
    }
    let scrape = server.scrape().await;
    assert_eq!(scrape.errors("llm_unavailable"), 2.0);
}

#[tokio::test]
async fn another_model_answers_in_place_of_one_that_fails() {
    let server = Server::with(|config| {
        let protocol = LlmProtocol::OpenAi;
        let api_key = ApiKey::new("fallback-key-that-nobody-may-see");
        config.llm.fallback = vec![LlmConfig { protocol, api_key, ..LlmConfig::default() }];
    })
    .await;
    server.llm_plan(failing(Fault::Overloaded));
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    let turn = player.hear_turn().await;
    assert_eq!((turn.status.as_str(), turn.error_codes().len()), ("success", 0));
    let scrape = server.scrape().await;
    assert_eq!(scrape.sum("llm_fallbacks_total"), 1.0);
    assert_eq!(scrape.sum("errors_total"), 0.0, "the player has noticed nothing");
}
