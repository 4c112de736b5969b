//! Each cause is in its own stage and in no other.
//!
//! Of a stage two things are known from other clocks: what it lasted at least, and what all others
//! leave it of the time that the player waited. Where nothing else is in the way the two are
//! hundredths of a second apart.

use std::collections::BTreeMap;
use std::time::Duration;

use da_standin::{Delay, Plan, now_ns};
use da_testkit::player::Player;

use crate::exchanges::Exchange;
use crate::server::{LLM, Server, TTS};
use crate::stages::{STAGES, assert_agree, seconds};

/// Nanoseconds, or seconds, by stage.
pub type ByStage<T> = BTreeMap<&'static str, T>;

/// The pause that the character makes between two lines of the player's.
pub const PAUSE: Duration = Duration::from_millis(300);

/// Something that makes a turn longer.
struct Cause {
    name: &'static str,
    llm: Plan,
    tts: Plan,
    /// How long the player waits before the line.
    before_line: Duration,
}

fn causes() -> [Cause; 7] {
    let first = || Plan { first_byte_ms: Delay::Fixed(400.0), ..long() };
    let later = || Plan { between_chunks_ms: Delay::Fixed(60.0), ..long() };
    let cause = |name| Cause { name, llm: long(), tts: Plan::default(), before_line: 2 * PAUSE };
    [
        cause("nothing"),
        Cause { before_line: Duration::ZERO, ..cause("a line right after a line") },
        Cause { llm: first(), ..cause("LLM: first byte") },
        // Two events come before the one with the first text, and one after that with the last
        // says that the answer is complete.
        Cause { llm: later(), ..cause("LLM: chunk gaps") },
        Cause { llm: one_sentence(), ..cause("LLM: chunk gaps in the first sentence") },
        Cause { tts: first(), ..cause("TTS: first byte") },
        Cause { tts: later(), ..cause("TTS: chunk gaps") },
    ]
}

/// An answer of seven pieces.
fn long() -> Plan {
    Plan { text_characters: Some(700), chunks: Some(7), ..Plan::default() }
}

/// A sentence that is complete with the last of seven pieces.
fn one_sentence() -> Plan {
    let text = Some(format!("{}end.", "word ".repeat(40)));
    Plan { text, chunks: Some(7), between_chunks_ms: Delay::Fixed(60.0), ..Plan::default() }
}

/// On one thread: what a player has seen, the server was done with.
#[tokio::test]
async fn each_cause_is_in_its_own_stage_and_in_no_other() {
    let server = Server::start().await;
    let mut player = server.player_in("quiet").await;
    // The first turn connects, and opens the database.
    player.say("Hello").await;
    player.hear_turn().await;
    let mut turns = 1;
    for cause in causes() {
        let before = seconds(&server.scrape().await);
        let (least, whole) = say(&server, &mut player, &cause).await;
        let after = seconds(&server.scrape().await);
        turns += 1;
        println!("\n{}", cause.name);
        assert_spent(&before, &after, &least, whole);
    }
    assert_agree(&server.scrape().await, f64::from(turns));
}

/// What a turn spent at least in some stages, and at most in all of them.
async fn say(server: &Server, player: &mut Player, cause: &Cause) -> (ByStage<u64>, u64) {
    server.llm_plan(cause.llm.clone());
    server.tts_plan(cause.tts.clone());
    tokio::time::sleep(cause.before_line).await;
    let line_before = Exchange::latest(server, TTS);
    let asked_ns = now_ns();
    player.say("Hello").await;
    player.mark().await;
    let turn = player.hear_turn_and_mark().await;
    assert_eq!(turn.status, "success");
    let [llm, tts] = [LLM, TTS].map(|name| of_turn(Exchange::all(server, name), asked_ns));
    let taken_up_ns = turn.marked_ns.expect("a mark");
    let spoken_ns = turn.audio_came[0].0;
    let last_ns = llm.iter().chain(&tts).map(|exchange| exchange.last_ns).max().expect("asked");
    let (llm, tts) = (&llm[0], &tts[0]);
    let least = [
        ("queue", (line_before.last_ns + PAUSE.as_nanos() as u64).saturating_sub(taken_up_ns)),
        ("llm_first_token", llm.first_ns() - llm.asked_ns),
        ("llm_first_sentence", tts.asked_ns.saturating_sub(turn.pieces[0].0)),
        ("tts_first_byte", tts.first_ns() - tts.asked_ns),
        ("rest", last_ns.saturating_sub(spoken_ns)),
    ];
    (least.into(), turn.ended_ns - asked_ns)
}

fn of_turn(mut exchanges: Vec<Exchange>, asked_ns: u64) -> Vec<Exchange> {
    exchanges.retain(|exchange| exchange.asked_ns >= asked_ns);
    exchanges
}

/// That each stage is as long as it must have been, and no longer than the others leave it of the
/// whole.
pub fn assert_spent(
    before: &ByStage<f64>,
    after: &ByStage<f64>,
    least_ns: &ByStage<u64>,
    whole_ns: u64,
) {
    // Between two pieces a moment goes by in which they are handed on, which is none of a provider's.
    const HANDING_ON: f64 = 0.05;
    let least = |stage| least_ns.get(stage).map_or(0.0, |ns| *ns as f64 / 1e9);
    let rest = whole_ns as f64 / 1e9 - STAGES.map(least).iter().sum::<f64>();
    let mut wrong = Vec::new();
    for stage in STAGES {
        let (spent, least) = (after[stage] - before[stage], least(stage));
        let most = least + rest + 1e-6;
        println!("{stage:>16} {spent:9.4} s, {least:.4} to {most:.4} s by other clocks");
        if !(least - HANDING_ON..=most + HANDING_ON).contains(&spent) {
            wrong.push(format!("{stage}: {spent} s, not {least} to {most} s"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_who_pauses_is_waited_for_in_the_delivery() {
    // Long beside what it takes to make and to carry that much audio.
    const PAUSES: Duration = Duration::from_secs(8);
    let server = Server::with(|config| {
        config.tts.output_format = Some("pcm_48000".to_owned());
        config.websocket.outbound_messages = 4;
    })
    .await;
    // Some 13 MB of audio, far more than the sockets on the way hold: what fits is not waited for.
    server.llm_plan(Plan { text_characters: Some(2_000), ..long() });
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    tokio::time::sleep(PAUSES).await;
    assert_eq!(player.hear_turn().await.status, "success");
    let spent = seconds(&server.scrape().await);
    println!("{spent:#?}");
    for stage in STAGES {
        let is_long = spent[stage] > PAUSES.as_secs_f64() / 2.0;
        assert_eq!(is_long, stage == "rest_delivery", "{stage}: {spent:#?}");
    }
}
