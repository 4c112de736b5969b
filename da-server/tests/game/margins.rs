//! What the metrics say of audio on its way to a player.

use da_standin::{Delay, Fault, Plan};
use da_testkit::seen_turn::SeenTurn;
use serde_json::json;

use crate::exchanges::Exchange;
use crate::play::waits;
use crate::server::{Server, TTS};

/// A server whose voice comes as bare samples: a second of audio for 15 characters.
async fn speaking(characters: usize) -> Server {
    let format = Some("pcm_16000".to_owned());
    let server = Server::with(|config| config.tts.output_format = format).await;
    server.llm_plan(Plan { text: Some("a".repeat(characters)), ..Plan::default() });
    server
}

const MARGIN_COUNT: &str = "tts_underrun_margin_seconds_count";
const MARGIN_SUM: &str = "tts_underrun_margin_seconds_sum";

/// Of `pcm_16000`.
const BYTES_PER_SECOND: f64 = 32_000.0;

/// A piece of audio on its way: it left the voice and came to the player, and plays so long.
struct Piece {
    left_ns: u64,
    came_ns: u64,
    seconds: f64,
}

/// The pieces that the player got, each with when the last byte of it was written.
fn pieces(voice: &Exchange, turn: &SeenTurn) -> Vec<Piece> {
    let mut end = 0;
    let pieces = turn.audio_came.iter().map(|&(came_ns, bytes)| {
        end += bytes;
        let mut written = 0;
        let left = voice.content.iter().find(|(_, bytes)| {
            written += bytes;
            written >= end
        });
        let seconds = bytes as f64 / BYTES_PER_SECOND;
        Piece { left_ns: left.expect("it was written").0, came_ns, seconds }
    });
    pieces.collect()
}

/// The least of what was still to be played whenever a further piece came, if pieces were played as
/// of these times and came at those.
fn worst_margin(pieces: &[Piece], played: fn(&Piece) -> u64, came: fn(&Piece) -> u64) -> f64 {
    let begun_ns = pieces[0].left_ns;
    let seconds = |ns: u64| (ns - begun_ns) as f64 / 1e9;
    let (mut ends, mut worst) = (0.0, f64::INFINITY);
    for (number, piece) in pieces.iter().enumerate() {
        if number > 0 {
            worst = worst.min(ends - seconds(came(piece)));
        }
        ends = seconds(played(piece)).max(ends) + piece.seconds;
    }
    worst
}

#[tokio::test]
async fn the_margin_of_an_utterance_is_how_close_it_came_to_a_pause() {
    // 2 s of audio in 4 pieces of 0.5 s, so far apart: with the last there are pauses.
    for apart_ms in [0.0, 250.0, 800.0] {
        let server = speaking(30).await;
        let apart = Delay::Fixed(apart_ms);
        server.tts_plan(Plan { chunks: Some(4), between_chunks_ms: apart, ..Plan::default() });
        let mut player = server.player_in("quiet").await;
        player.say("Hello").await;
        let turn = player.hear_turn().await;
        assert_eq!(turn.audio.len(), 2 * 2 * 16_000);
        let scrape = server.scrape_until(|s| s.get(MARGIN_COUNT) == 1.0).await;
        assert_eq!(scrape.sum("tts_audio_seconds_total"), 2.0);
        let margin = scrape.get(MARGIN_SUM);
        // Each was handed to the player's socket between leaving the voice and coming to the player.
        let pieces = pieces(&Exchange::latest(&server, TTS), &turn);
        let least = worst_margin(&pieces, |piece| piece.left_ns, |piece| piece.came_ns);
        let most = worst_margin(&pieces, |piece| piece.came_ns, |piece| piece.left_ns);
        println!("{apart_ms} ms: {margin:.4} s, {least:.4} to {most:.4} s by other clocks");
        assert!((least - 1e-6..=most + 1e-6).contains(&margin), "{apart_ms} ms apart: {margin} s");
    }
}

#[tokio::test]
async fn what_was_not_heard_to_its_end_has_no_margin() {
    let server = speaking(30).await;
    let cut = Fault::ResetAfterFirstToken { after_chunks: 5 };
    let slowly = |apart_ms| Plan {
        chunks: Some(10),
        between_chunks_ms: Delay::Fixed(apart_ms),
        ..Plan::default()
    };
    server.tts_plan(Plan { fault: Some(cut), ..slowly(60.0) });
    let mut player = server.player_in("quiet").await;
    player.say("Hello").await;
    let cut = player.hear_turn().await;
    assert_eq!(cut.error_codes(), ["tts_interrupted"]);
    let written = |of: Exchange| of.content.iter().map(|(_, bytes)| bytes).sum::<usize>();
    let first = written(Exchange::latest(&server, TTS));
    server.tts_plan(slowly(1000.0));
    player.say("Hello").await;
    let interrupted = player.hear_first_audio().await;
    player.send(json!({"type": "interrupt"})).await;
    player.wait_for("turn_end").await;
    let scrape = server.scrape().await;
    for family in
        [MARGIN_COUNT, "tts_time_to_first_audio_seconds_count", "tts_real_time_factor_count"]
    {
        assert_eq!(scrape.sum(family), 0.0, "{family}");
    }
    // The second had its first byte before anybody interrupted it; the first failed.
    assert_eq!(scrape.sum("tts_time_to_first_byte_seconds_count"), 1.0);
    // What came is counted: all that was heard, and no more than was written.
    let counted = scrape.sum("tts_audio_seconds_total") * BYTES_PER_SECOND;
    let heard = cut.audio.len() + interrupted.audio.len();
    let most = first + written(Exchange::latest(&server, TTS));
    assert!(heard > 0 && (heard as f64 - 1.0..=most as f64 + 1.0).contains(&counted), "{counted}");
}

#[tokio::test]
async fn an_opening_that_is_spoken_has_a_margin_and_a_wait_but_no_stages() {
    let server = Server::start().await;
    server.tts_plan(Plan { chunks: Some(4), ..Plan::default() });
    let mut player = server.player_in("welcome").await;
    assert!(!player.hear_turn().await.audio.is_empty());
    let scrape = server.scrape_until(|s| s.get(MARGIN_COUNT) == 1.0).await;
    assert_eq!(waits(&scrape, "normal").0, 1.0);
    assert_eq!(scrape.sum("turn_stage_seconds_count"), 0.0, "nobody asked for it");
}
