//! Voices of several providers: who speaks when the first can't, and what stops a server whose
//! characters would have none.

use std::net::TcpListener;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use da_server::App;
use da_server::config::Config;
use da_server::kernel::Reason;
use da_server::metrics::Metrics;
use da_server::provider::ApiKey;
use da_server::tts::{TtsConfig, TtsProtocol};
use da_standin::{DEFAULT_NAMES, Delay, Event, Fault, Plan};

use crate::server::Server;
use crate::speech::audio_messages;

const OTHER: &str = DEFAULT_NAMES[1];

/// A voice of OpenAI's protocol for whoever speaks.
fn other() -> TtsConfig {
    let mut other = TtsConfig {
        protocol: TtsProtocol::OpenAi,
        voice: Some("nova".to_owned()),
        output_format: Some("pcm_24000".to_owned()),
        api_key: ApiKey::new("other-key-that-nobody-may-see"),
        ..TtsConfig::default()
    };
    other.retry.max_retries = 0;
    other
}

/// Where nobody listens.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// Where ElevenLabs says that the credit is used up.
async fn without_credit() -> String {
    const REFUSAL: &str = r#"{"detail":{"status":"quota_exceeded","message":"0 credits left"}}"#;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answer =
        || async { (StatusCode::UNAUTHORIZED, [(CONTENT_TYPE, "application/json")], REFUSAL) };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    url
}

/// A player hears the second voice, as which the format is told, and nothing of the first one.
async fn assert_heard(server: &Server, reason: &str) {
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    let turn = player.hear_turn().await;
    assert_eq!((turn.status.as_str(), turn.error_codes().len()), ("success", 0), "{reason}");
    assert_eq!(turn.mime.as_deref(), Some("audio/pcm;rate=24000;channels=1"), "{reason}");
    assert!(!turn.audio.is_empty() && turn.audio_ended, "{reason}");
    let scrape = server.scrape_until(|s| s.sum("tts_latency_seconds_count") == 1.0).await;
    assert_eq!(scrape.sum("tts_fallbacks_total"), 1.0, "{reason}");
    let labels = format!(
        "model=\"eleven_flash_v2_5\",provider=\"elevenlabs\",reason=\"{reason}\",\
         to_model=\"gpt-4o-mini-tts\",to_provider=\"openai\""
    );
    assert_eq!(scrape.get(&format!("tts_fallbacks_total{{{labels}}}")), 1.0, "{scrape:?}");
    assert_eq!(scrape.sum("errors_total"), 0.0, "the player has noticed nothing");
    let spoken = server.standin.log().into_iter().any(
        |entry| matches!(entry.event, Event::Request { path, .. } if path == "/v1/audio/speech"),
    );
    assert!(spoken, "{reason}");
}

#[tokio::test]
async fn another_voice_speaks_in_place_of_one_that_is_dead() {
    let server = Server::with(|config| {
        config.tts.base_url = Some(closed());
        config.tts.fallback = vec![other()];
    })
    .await;
    assert_heard(&server, "connect").await;
}

#[tokio::test]
async fn another_voice_speaks_in_place_of_one_without_credit() {
    let url = without_credit().await;
    let server = Server::with(|config| {
        config.tts.base_url = Some(url);
        config.tts.fallback = vec![other()];
    })
    .await;
    assert_heard(&server, "quota").await;
}

#[tokio::test]
async fn another_voice_speaks_in_place_of_one_that_refuses_the_key() {
    let server = Server::with(|config| {
        config.tts.api_key = None;
        config.tts.fallback = vec![other()];
    })
    .await;
    assert_heard(&server, "authentication").await;
}

#[tokio::test]
async fn another_voice_speaks_in_place_of_one_that_does_not_begin() {
    let server = Server::with(|config| {
        config.tts.timeouts.first_content = Duration::from_millis(500);
        config.tts.fallback = vec![other()];
    })
    .await;
    server.tts_plan(Plan { fault: Some(Fault::Hang), ..Plan::default() });
    assert_heard(&server, "timeout").await;
}

#[tokio::test]
async fn when_no_voice_speaks_the_words_still_stand_and_it_is_one_error() {
    let server = Server::with(|config| {
        config.tts.base_url = Some(closed());
        config.tts.fallback = vec![other()];
    })
    .await;
    let spoilt = Plan {
        fault: Some(Fault::RateLimited { retry_after: None, retry_after_ms: None }),
        ..Plan::default()
    };
    server.standin.set_plan_for(OTHER, spoilt);
    let mut player = server.player_in("quiet").await;
    for turns in [1.0, 2.0] {
        player.say("Hello").await;
        let turn = player.hear_turn().await;
        assert_eq!(turn.status, "success");
        assert!(!turn.text().is_empty() && turn.audio.is_empty());
        assert_eq!(turn.error_codes(), ["tts_rate_limited"], "that of the last one");
        let scrape = server.scrape().await;
        assert_eq!(scrape.sum("errors_total"), turns);
        assert_eq!(scrape.sum("tts_latency_seconds_count"), turns);
        assert_eq!(scrape.get("tts_latency_seconds_count{outcome=\"error\"}"), turns);
    }
}

#[tokio::test]
async fn a_voice_of_another_format_that_takes_over_is_a_stream_of_its_own() {
    let server = Server::with(|config| {
        config.tts.retry.max_retries = 0;
        config.tts.fallback = vec![other()];
    })
    .await;
    server.llm_plan(Plan {
        text: Some("The first voice says this. Then the other one has to say the rest.".to_owned()),
        between_chunks_ms: Delay::Fixed(150.0),
        ..Plan::default()
    });
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    assert_eq!(player.wait_for("audio_start").await["mime"], "audio/mpeg");
    server.tts_plan(Plan { fault: Some(Fault::ServerError), ..Plan::default() });
    let seen = audio_messages(&mut player, "audio/mpeg").await;
    let kinds: Vec<_> = seen.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["audio/mpeg", "end", "audio/pcm;rate=24000;channels=1", "end"]);
    assert!(seen[0].1 > 0 && seen[2].1 > 0, "{seen:?}");
}

#[tokio::test]
async fn a_voice_of_openais_protocol_can_be_the_first() {
    let server = Server::with(|config| {
        config.tts = TtsConfig {
            voice: None,
            voices: [("listener", "onyx"), ("keeper", "nova")]
                .into_iter()
                .chain([("engineer", "ash"), ("clippy", "coral")])
                .map(|(character, voice)| (character.to_owned(), voice.to_owned()))
                .collect(),
            ..other()
        };
    })
    .await;
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    let turn = player.hear_turn().await;
    assert_eq!((turn.status.as_str(), turn.error_codes().len()), ("success", 0));
    assert!(!turn.audio.is_empty());
    assert!(!server.scrape().await.names().any(|name| name.starts_with("tts_fallbacks_total")));
}

/// Why a server does not start.
fn refusal(change: impl FnOnce(&mut Config)) -> String {
    let folder = tempfile::tempdir().expect("folder");
    let mut config = Config::default();
    config.store.path = folder.path().join("game.sqlite");
    config.llm.api_key = ApiKey::new("none");
    config.tts.api_key = ApiKey::new("none");
    change(&mut config);
    let app = App::new(config, Metrics::new().expect("metrics"), Err(Reason::Disabled));
    format!("{:#}", app.err().expect("it is refused"))
}

#[tokio::test]
async fn a_server_whose_characters_would_have_no_voice_does_not_start() {
    let nameless = refusal(|config| {
        config.tts.fallback = vec![TtsConfig { voice: None, ..other() }];
    });
    assert!(nameless.contains("tts.fallback 0") && nameless.contains("voices = {"), "{nameless}");
    let keyless = refusal(|config| {
        let api_key_file = Some("/dev/null".into());
        config.tts.fallback = vec![TtsConfig { api_key: None, api_key_file, ..other() }];
    });
    assert!(keyless.contains("OPENAI_API_KEY"), "{keyless}");
    let unheard = refusal(|config| {
        let output_format = Some("ulaw_8000".to_owned());
        config.tts.fallback = vec![TtsConfig { output_format, ..other() }];
    });
    assert!(unheard.contains("ulaw_8000") && unheard.contains("pcm_24000"), "{unheard}");
}
