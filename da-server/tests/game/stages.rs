//! Where turns spend their time: the stages sum to the response time, and what was interrupted is
//! counted where it was. That each cause is in its own stage is in `stage_causes`.

use std::collections::BTreeMap;
use std::time::Duration;

use da_standin::{Delay, Fault, Plan};
use da_testkit::scrape::Scrape;
use serde_json::json;
use sqlx::Executor;

use crate::locked::lock;
use crate::server::{LLM, Server, TTS};

pub const STAGES: [&str; 10] = [
    "inbox",
    "queue",
    "history",
    "prompt",
    "llm_first_token",
    "llm_first_sentence",
    "tts_first_byte",
    "delivery",
    "rest",
    "rest_delivery",
];

/// Seconds of all turns, by stage.
pub fn seconds(scrape: &Scrape) -> BTreeMap<&'static str, f64> {
    let of = |stage| scrape.get(&format!("turn_stage_seconds_sum{{stage=\"{stage}\"}}"));
    STAGES.map(|stage| (stage, of(stage))).into()
}

fn turns_in(scrape: &Scrape, stage: &str) -> f64 {
    scrape.get(&format!("turn_stage_seconds_count{{stage=\"{stage}\"}}"))
}

fn interrupted_in(scrape: &Scrape, stage: &str) -> f64 {
    scrape.get(&format!("turns_interrupted_total{{stage=\"{stage}\"}}"))
}

/// Seconds as the whole nanoseconds that were observed.
fn ns(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64
}

/// The families of turns agree: every response is cut into stages that sum to it, and every request
/// that was cancelled was cancelled in a stage.
pub fn assert_agree(scrape: &Scrape, responses: f64) {
    let ended = scrape.requests("quiet", "success") + scrape.requests("quiet", "error");
    assert_eq!(ended, responses);
    assert_eq!(scrape.sum("response_time_seconds_count"), responses);
    for stage in ["inbox", "queue", "history", "prompt", "llm_first_token", "delivery"] {
        assert_eq!(turns_in(scrape, stage), responses, "{stage}");
    }
    let stages = ns(scrape.sum("turn_stage_seconds_sum"));
    assert_eq!(stages, ns(scrape.sum("response_time_seconds_sum")), "to the nanosecond");
    assert_eq!(scrape.sum("turns_interrupted_total"), scrape.requests("quiet", "cancelled"));
}

fn faulty(fault: Fault) -> Plan {
    Plan { fault: Some(fault), chunks: Some(4), ..Plan::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_sum_to_the_response_time_whatever_happens() {
    let server = Server::with(|config| {
        config.llm.timeouts.first_content = Duration::from_millis(200);
        config.tts.timeouts.first_content = Duration::from_millis(200);
        config.llm.retry.max_retries = 1;
        config.llm.retry.initial_backoff = Duration::from_millis(10);
    })
    .await;
    let slowly = Plan { chunks: Some(6), between_chunks_ms: Delay::Fixed(7.0), ..Plan::default() };
    let rejected = Fault::RateLimited { retry_after: None, retry_after_ms: None };
    let cut = Fault::ResetAfterFirstToken { after_chunks: 2 };
    let once = Plan { fault_count: Some(1), ..faulty(Fault::Overloaded) };
    let kinds = [
        (Plan::default(), Plan::default()),
        (slowly.clone(), slowly),
        (once, Plan::default()),
        (faulty(rejected), Plan::default()),
        (faulty(Fault::Hang), Plan::default()),
        (faulty(cut), Plan::default()),
        (Plan::default(), faulty(Fault::Hang)),
        (Plan::default(), faulty(cut)),
        (Plan::default(), faulty(Fault::NonAudio200)),
    ];
    let mut turns = 0;
    for (llm, tts) in kinds {
        server.llm_plan(llm);
        server.tts_plan(tts);
        let players = (0..6).map(|_| async {
            let mut player = server.player_in("quiet").await;
            player.say("Hello").await;
            player.hear_turn().await
        });
        turns += futures_util::future::join_all(players).await.len();
    }
    assert_agree(&server.scrape().await, turns as f64);
}

#[tokio::test]
async fn a_turn_without_a_voice_has_no_stage_of_one() {
    let server = Server::with(|config| {
        config.tts.api_key = None;
        config.tts.base_url = None;
    })
    .await;
    let mut player = server.player_in("quiet").await;
    for _ in 0..3 {
        player.say("Hello").await;
        player.hear_turn().await;
    }
    let scrape = server.scrape().await;
    assert_agree(&scrape, 3.0);
    for stage in ["llm_first_sentence", "tts_first_byte"] {
        assert_eq!(turns_in(&scrape, stage), 0.0, "absent, not 0 s");
    }
}

#[tokio::test]
async fn an_interruption_is_counted_where_the_turn_was() {
    let server = Server::start().await;
    let endless = Plan { first_byte_ms: Delay::Fixed(60_000.0), ..Plan::default() };
    let slow = Plan { chunks: Some(50), between_chunks_ms: Delay::Fixed(100.0), ..Plan::default() };
    let quick = Plan::default();
    for (number, (llm, tts, stage)) in [
        (&endless, &quick, "llm_first_token"),
        (&slow, &quick, "llm_first_sentence"),
        (&quick, &endless, "tts_first_byte"),
        (&quick, &slow, "rest"),
    ]
    .into_iter()
    .enumerate()
    {
        server.llm_plan(llm.clone());
        server.tts_plan(tts.clone());
        let mut player = server.player_in("quiet").await;
        player.say("Begin").await;
        // Until the turn has come as far as it can.
        match stage {
            "llm_first_sentence" => drop(player.wait_for("text").await),
            "tts_first_byte" => server.asked(TTS, 1).await,
            "rest" => drop(player.hear_first_audio().await),
            _ => server.asked(LLM, number + 1).await,
        }
        player.send(json!({"type": "interrupt"})).await;
        assert_eq!(player.wait_for("turn_end").await["status"], "cancelled", "{stage}");
        let scrape = server.scrape().await;
        assert_eq!(interrupted_in(&scrape, stage), 1.0, "{stage}: {scrape:?}");
        assert_agree(&scrape, 0.0);
    }
}

#[tokio::test]
async fn a_line_that_never_had_its_turn_was_interrupted_in_the_queue() {
    let server = Server::start().await;
    let slow = Plan { chunks: Some(50), between_chunks_ms: Delay::Fixed(100.0), ..Plan::default() };
    let endless = Plan { first_byte_ms: Delay::Fixed(60_000.0), ..Plan::default() };
    server.llm_plan(slow);
    let mut player = server.player_in("quiet").await;
    player.say("First").await;
    player.wait_for("text").await;
    server.llm_plan(endless);
    // The first line is over once it is kept, which is not before the third has been taken up.
    let mut lock = lock(&server).await;
    player.say("Second").await;
    player.say("Third").await;
    player.mark().await;
    assert_eq!(player.wait_for_error().await, "unknown_control");
    lock.execute("ROLLBACK").await.expect("unlocked");
    player.wait_for("turn_start").await;
    let scrape = server.scrape_until(|s| s.requests("quiet", "cancelled") == 2.0).await;
    assert_eq!(interrupted_in(&scrape, "llm_first_sentence"), 1.0);
    assert_eq!(interrupted_in(&scrape, "queue"), 1.0);
    player.leave().await;
    let scrape = server.scrape_until(|s| s.requests("quiet", "cancelled") == 3.0).await;
    assert_eq!(scrape.sum("turns_interrupted_total"), 3.0, "{scrape:?}");
    assert_agree(&scrape, 0.0);
}
