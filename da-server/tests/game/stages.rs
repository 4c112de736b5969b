//! Where turns spend their time: the stages sum to the response time, each cause is in its own
//! stage, and what was interrupted is counted where it was.

use std::collections::BTreeMap;
use std::time::Duration;

use da_standin::{Delay, Fault, Plan};
use serde_json::json;

use crate::player::Player;
use crate::scrape::Scrape;
use crate::server::Server;

pub const STAGES: [&str; 9] = [
    "inbox",
    "queue",
    "history",
    "prompt",
    "llm_first_token",
    "llm_rest",
    "tts_first_byte",
    "tts_rest",
    "delivery",
];

/// A little more than the pause that the character makes between two lines.
const PAUSE: Duration = Duration::from_millis(320);

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
fn assert_agree(scrape: &Scrape, responses: f64) {
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
    for stage in ["tts_first_byte", "tts_rest"] {
        assert_eq!(turns_in(&scrape, stage), 0.0, "absent, not 0 s");
    }
}

/// Something that makes a turn longer, and in which stages by how many seconds.
struct Cause {
    name: &'static str,
    more: &'static [(&'static str, f64)],
    llm: Plan,
    tts: Plan,
    /// How long the player waits before the line, and before reading the answer.
    before_line: Duration,
    before_reading: Duration,
}

const FIRST: Delay = Delay::Fixed(400.0);
const GAP: Delay = Delay::Fixed(60.0);

/// What else differs from turn to turn, in seconds.
const NOISE: f64 = 0.15;
/// A busy machine holds one side up and not the other: what is wrong is wrong each time.
const ROUNDS: usize = 3;

fn causes() -> [Cause; 7] {
    let first = || Plan { first_byte_ms: FIRST, ..long() };
    let later = || Plan { between_chunks_ms: GAP, ..long() };
    let cause = |name, more| Cause {
        name,
        more,
        llm: long(),
        tts: Plan::default(),
        before_line: PAUSE,
        before_reading: Duration::ZERO,
    };
    [
        cause("nothing", &[]),
        Cause {
            before_line: Duration::ZERO,
            ..cause("a line right after a line", &[("queue", 0.28)])
        },
        Cause { llm: first(), ..cause("LLM: first byte", &[("llm_first_token", 0.4)]) },
        // Two events come before the one with the first text, and one after that with the last
        // says that the answer is complete.
        Cause {
            llm: later(),
            ..cause("LLM: chunk gaps", &[("llm_first_token", 0.12), ("llm_rest", 0.42)])
        },
        Cause { tts: first(), ..cause("TTS: first byte", &[("tts_first_byte", 0.4)]) },
        Cause { tts: later(), ..cause("TTS: chunk gaps", &[("tts_rest", 0.36)]) },
        Cause {
            // Far more audio than the sockets on the way hold: what fits is not waited for.
            llm: Plan { text_characters: Some(4500), ..long() },
            before_reading: Duration::from_secs(1),
            ..cause("a player who pauses", &[("delivery", 0.95)])
        },
    ]
}

/// An answer of seven pieces.
fn long() -> Plan {
    Plan { text_characters: Some(700), chunks: Some(7), ..Plan::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_cause_is_in_its_own_stage_and_in_no_other() {
    let server = Server::with(|config| {
        config.tts.output_format = "pcm_48000".to_owned();
        config.websocket.outbound_messages = 4;
    })
    .await;
    let mut player = server.player_in("quiet").await;
    // The first turn connects, and opens the database.
    say(&server, &mut player, &causes()[0]).await;
    let mut turns = 1;
    let mut wrong = Vec::new();
    for _ in 0..ROUNDS {
        let mut table = Vec::new();
        for cause in causes() {
            table.push((seconds_of(&server, &mut player, &cause).await, cause));
        }
        print_table(&table);
        turns += 3 * table.len();
        wrong = deviations(&table);
        if wrong.is_empty() {
            break;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_agree(&server.scrape().await, turns as f64);
}

/// Stages that are longer or shorter than the cause says.
fn deviations(table: &[(BTreeMap<&'static str, f64>, Cause)]) -> Vec<String> {
    let usual = &table[0].0;
    let mut deviations = Vec::new();
    for (seconds, cause) in &table[1..] {
        for stage in STAGES {
            let expected = cause.more.iter().find(|(name, _)| *name == stage);
            let expected = expected.map_or(0.0, |(_, more)| *more);
            let off = seconds[stage] - usual[stage] - expected;
            if off.abs() >= NOISE {
                deviations.push(format!("{}: {stage} is {off:.3} s off", cause.name));
            }
        }
    }
    deviations
}

async fn say(server: &Server, player: &mut Player, cause: &Cause) {
    server.llm_plan(cause.llm.clone());
    server.tts_plan(cause.tts.clone());
    tokio::time::sleep(cause.before_line).await;
    player.say("Hello").await;
    tokio::time::sleep(cause.before_reading).await;
    assert_eq!(player.hear_turn().await.status, "success");
}

/// What a turn spends in each stage: the median of three, for the machine has other things to do.
async fn seconds_of(
    server: &Server,
    player: &mut Player,
    cause: &Cause,
) -> BTreeMap<&'static str, f64> {
    let mut turns = Vec::new();
    for _ in 0..3 {
        let before = seconds(&server.scrape().await);
        say(server, player, cause).await;
        let after = seconds(&server.scrape().await);
        turns.push(STAGES.map(|stage| after[stage] - before[stage]));
    }
    let median = |stage: usize| {
        let mut spent = [turns[0][stage], turns[1][stage], turns[2][stage]];
        spent.sort_by(f64::total_cmp);
        spent[1]
    };
    STAGES.into_iter().enumerate().map(|(place, stage)| (stage, median(place))).collect()
}

fn print_table(table: &[(BTreeMap<&'static str, f64>, Cause)]) {
    let head = STAGES.map(|stage| format!("{stage:>16}")).concat();
    println!("{:>26}{head}   (ms)", "");
    for (seconds, cause) in table {
        let cells = STAGES.map(|stage| format!("{:>16.1}", seconds[stage] * 1e3)).concat();
        println!("{:>26}{cells}", cause.name);
    }
}

#[tokio::test]
async fn an_interruption_is_counted_where_the_turn_was() {
    let server = Server::start().await;
    let endless = Plan { first_byte_ms: Delay::Fixed(60_000.0), ..Plan::default() };
    let slow = Plan { chunks: Some(50), between_chunks_ms: Delay::Fixed(100.0), ..Plan::default() };
    let quick = Plan::default();
    for (llm, tts, stage) in [
        (&endless, &quick, "llm_first_token"),
        (&slow, &quick, "llm_rest"),
        (&quick, &endless, "tts_first_byte"),
        (&quick, &slow, "tts_rest"),
    ] {
        server.llm_plan(llm.clone());
        server.tts_plan(tts.clone());
        let mut player = server.player_in("quiet").await;
        player.say("Begin").await;
        player.wait_for("turn_start").await;
        if stage == "llm_rest" {
            player.wait_for("text").await;
        }
        if stage == "tts_rest" {
            player.wait_for("audio_start").await;
        }
        // Long enough for the turn to have come as far as it can.
        tokio::time::sleep(Duration::from_millis(250)).await;
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
    let endless = Plan { first_byte_ms: Delay::Fixed(60_000.0), ..Plan::default() };
    let mut player = server.player_in("quiet").await;
    player.say("First").await;
    player.hear_turn().await;
    server.llm_plan(endless);
    // The pause after the first line is not over when the third comes.
    player.say("Second").await;
    player.say("Third").await;
    player.wait_for("turn_start").await;
    let scrape = server.scrape_until(|s| s.requests("quiet", "cancelled") == 1.0).await;
    assert_eq!(interrupted_in(&scrape, "queue"), 1.0);
    player.leave().await;
    let scrape = server.scrape_until(|s| s.requests("quiet", "cancelled") == 2.0).await;
    assert_eq!(scrape.sum("turns_interrupted_total"), 2.0, "{scrape:?}");
    assert_agree(&scrape, 1.0);
}
