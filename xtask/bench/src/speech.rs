//! How long a player waits for the first sound of an answer, whether the rest follows without a pause, and
//! how soon an interruption stops the providers.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use da_standin::{DEFAULT_NAMES, Delay, Options, Plan, Standin, now_ns};
use da_testkit::seen_turn::SeenTurn;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::figure::{Bar, Figure, Unit};
use crate::players::database::Database;
use crate::players::player::connect;
use crate::players::server::Server;
use crate::stage::Stage;

/// What was done.
pub const DONE: &str = "A server with its kernel view, one player, and stand-in providers over TLS share the \
    machine's processors. The model says four sentences, ten words a second; the voice's first byte comes \
    after 150 ms, and then audio ten times as fast as it plays. *Own time* is what is left of the time from \
    the last word of the first sentence to the first audio, both as the player sees them, without the voice's \
    150 ms. A pause is what a player would hear who begins with the first audio and plays in real time. An \
    interruption is sent in the middle of an answer, while the model and the voice go on.";

const MODEL: &str = DEFAULT_NAMES[0];
const VOICE: &str = DEFAULT_NAMES[2];

const SENTENCES: [&str; 4] = [
    "There is a light on the water to the north.",
    "It has not moved since the watch began, and nobody answers the lamp.",
    "I would put the helm over and have a look at it.",
    "But you are the captain, so it is for you to say.",
];

const WORD_MS: f64 = 100.0;
const VOICE_MS: f64 = 150.0;
/// Of 200 ms of audio.
const CHUNK_MS: f64 = 20.0;
/// Of the format that the server asks for: MP3 of 128 kbit/s.
const BYTES_PER_SECOND: f64 = 16_000.0;
/// Longer than an interruption takes.
const PATIENCE: Duration = Duration::from_secs(5);

const OWN_TIME_BAR: Bar = Bar::AtMost(50.0);
const PAUSE_BAR: Bar = Bar::AtMost(30.0);
const STOP_BAR: Bar = Bar::AtMost(100.0);

/// Measures it.
pub fn measure(stage: &Stage) -> Result<Vec<Figure>> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let standin = runtime.block_on(Standin::start(Options::default()))?;
    let plan = |first_byte_ms, between_chunks_ms| Plan {
        text: Some(SENTENCES.join(" ")),
        first_byte_ms: Delay::Fixed(first_byte_ms),
        between_chunks_ms: Delay::Fixed(between_chunks_ms),
        ..Plan::default()
    };
    standin.set_plan_for(MODEL, plan(WORD_MS, WORD_MS));
    standin.set_plan_for(VOICE, plan(VOICE_MS, CHUNK_MS));
    let database = Database::sqlite(stage)?;
    let server = Server::start(stage, &standin, &database)?;
    let mut figures = runtime.block_on(whole_turns(server.address(), stage.pace(5, 50)))?;
    drop(server);
    // Without connections that are kept from before.
    let server = Server::start(stage, &standin, &database)?;
    figures.extend(runtime.block_on(interruptions(
        server.address(),
        &standin,
        stage.pace(3, 20),
    ))?);
    runtime.block_on(standin.stop());
    Ok(figures)
}

async fn whole_turns(server: SocketAddr, turns: u64) -> Result<Vec<Figure>> {
    let mut player = connect(server).await?;
    let [mut first_audio, mut own_time, mut pause, mut whole] = [const { Vec::new() }; 4];
    for _ in 0..turns {
        let asked_ns = now_ns();
        player.say("What do you see?").await;
        let turn = player.hear_turn().await;
        ensure!(turn.status == "success", "a turn ended as {}: {:?}", turn.status, turn.errors);
        let (heard_ns, _) = turn.audio_came.first().context("nothing was heard")?;
        let sentence_ns = first_sentence_ns(&turn).context("the first sentence did not come")?;
        let ms = |from_ns: u64, to_ns: u64| (to_ns as f64 - from_ns as f64) / 1e6;
        first_audio.push(ms(asked_ns, *heard_ns));
        own_time.push(ms(sentence_ns, *heard_ns) - VOICE_MS);
        pause.push(longest_pause_ms(&turn));
        whole.push(ms(asked_ns, turn.ended_ns));
    }
    let longest_pause = pause.iter().copied().fold(0.0, f64::max);
    let ms = Unit::Milliseconds;
    Ok(vec![
        Figure::of_rounds("a line to its first audio", ms, &first_audio),
        Figure::of_rounds("own time before the first audio", ms, &own_time).with_bar(OWN_TIME_BAR),
        Figure::one("the longest pause within a turn", ms, longest_pause).with_bar(PAUSE_BAR),
        Figure::of_rounds("a line to the end of its turn", ms, &whole),
    ])
}

/// When the last word of the first sentence came.
fn first_sentence_ns(turn: &SeenTurn) -> Option<u64> {
    let mut text = String::new();
    turn.pieces.iter().find_map(|(came_ns, piece)| {
        text += piece;
        text.contains(SENTENCES[0]).then_some(*came_ns)
    })
}

/// How long the audio was behind a player who plays it in real time, at most.
fn longest_pause_ms(turn: &SeenTurn) -> f64 {
    let mut ends_ns = f64::INFINITY;
    let mut longest_ns = 0.0_f64;
    for (came_ns, bytes) in &turn.audio_came {
        let came_ns = *came_ns as f64;
        longest_ns = longest_ns.max(came_ns - ends_ns);
        let begins_ns = if ends_ns.is_finite() { ends_ns.max(came_ns) } else { came_ns };
        ends_ns = begins_ns + *bytes as f64 / BYTES_PER_SECOND * 1e9;
    }
    longest_ns / 1e6
}

async fn interruptions(server: SocketAddr, standin: &Standin, rounds: u64) -> Result<Vec<Figure>> {
    // It goes on until it is stopped.
    let slow = Plan {
        first_byte_ms: Delay::Fixed(VOICE_MS),
        between_chunks_ms: Delay::Fixed(1000.0),
        ..Plan::default()
    };
    standin.set_plan_for(VOICE, slow);
    let mut player = connect(server).await?;
    let port = standin.addr().port();
    let mut stopped_ms = Vec::new();
    for _ in 0..rounds {
        player.say("What do you see?").await;
        player.hear_first_audio().await;
        ensure!(connections_to(port)? >= 2, "the model and the voice are being heard");
        let interrupted = Instant::now();
        player.send(json!({"type": "interrupt"})).await;
        while connections_to(port)? > 0 {
            ensure!(interrupted.elapsed() < PATIENCE, "the providers were not stopped");
            sleep(Duration::from_micros(200)).await;
        }
        stopped_ms.push(interrupted.elapsed().as_secs_f64() * 1e3);
        player.wait_for("turn_end").await;
    }
    let what = "an interruption to the last provider's end";
    Ok(vec![Figure::of_rounds(what, Unit::Milliseconds, &stopped_ms).with_bar(STOP_BAR)])
}

/// How many TCP connections to this port are open at the client's end, in this network namespace.
fn connections_to(port: u16) -> Result<usize> {
    const ESTABLISHED: &str = "01";
    let port = format!(":{port:04X}");
    let connections = fs::read_to_string("/proc/net/tcp").context("can't read /proc/net/tcp")?;
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next().is_some_and(|remote| remote.ends_with(&port))
            && fields.next() == Some(ESTABLISHED)
    };
    Ok(connections.lines().filter(is_one).count())
}
