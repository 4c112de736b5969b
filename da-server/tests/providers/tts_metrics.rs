//! What the metrics say of speech, against what the stand-in did.

use std::time::Duration;

use da_standin::{Delay, Event, Fault, Plan};
use futures_util::StreamExt;
use prometheus::TextEncoder;

use crate::bench::{Bench, Tts};
use crate::tts::{hear, speech};

fn assert_one_call(tts: &Tts, outcome: &str, first_bytes: u64) {
    let readings = &tts.readings;
    let labels = [("provider", "elevenlabs"), ("outcome", outcome)];
    assert_eq!(readings.samples("tts_latency_seconds", &[]), 1);
    assert_eq!(readings.samples("tts_attempt_seconds", &labels), 1);
    assert_eq!(readings.samples("tts_attempt_seconds", &[]), 1);
    assert_eq!(readings.samples("tts_time_to_first_byte_seconds", &[]), first_bytes);
}

#[tokio::test]
async fn a_call_is_one_sample_of_each_and_counts_its_characters() {
    let bench = Bench::start().await;
    let tts = bench.tts();
    assert_eq!(tts.readings.samples("tts_latency_seconds", &[]), 0);
    assert_eq!(tts.readings.counter("tts_characters_total", &[]), 0.0);
    hear(&tts).await.expect("audio");
    assert_one_call(&tts, "success", 1);
    let characters = speech().text.chars().count();
    assert_ne!(characters, speech().text.len(), "characters are not bytes");
    assert_eq!(tts.readings.counter("tts_characters_total", &[]), characters as f64);
}

#[tokio::test]
async fn failures_have_a_latency_but_no_first_byte_and_no_characters() {
    for (fault, outcome, characters) in [
        (Fault::ServerError, "server", false),
        (Fault::NonAudio200, "not_audio", false),
        // The provider took the text before it failed, and bills it.
        (Fault::ResetAfterFirstToken { after_chunks: 1 }, "interrupted", true),
    ] {
        let bench = Bench::failing(fault, 1).await;
        let tts = bench.tts_with(|config| config.retry.max_retries = 0);
        hear(&tts).await.expect_err("it fails");
        assert_one_call(&tts, outcome, 0);
        assert_eq!(tts.readings.counter("tts_characters_total", &[]) > 0.0, characters);
    }
}

#[tokio::test]
async fn the_seeds_family_has_no_labels_and_its_edges() {
    let readings = Bench::start().await.tts().readings;
    let text = TextEncoder::new().encode_to_string(&readings.registry.gather()).expect("text");
    for edge in ["0.1", "0.5", "1", "2", "5", "10", "+Inf"] {
        let bucket = format!("digital_actors_tts_latency_seconds_bucket{{le=\"{edge}\"}} 0\n");
        assert!(text.contains(&bucket), "{bucket} is missing in\n{text}");
    }
}

#[tokio::test]
async fn latency_ends_with_the_last_byte_and_first_byte_with_the_first() {
    let bench = Bench::start().await;
    bench.standin.set_plan(Plan {
        chunks: Some(5),
        first_byte_ms: Delay::Fixed(400.0),
        between_chunks_ms: Delay::Fixed(100.0),
        ..Plan::default()
    });
    let tts = bench.tts();
    hear(&tts).await.expect("a warm connection");
    let seconds = || {
        ["tts_time_to_first_byte_seconds", "tts_latency_seconds"]
            .map(|family| tts.readings.seconds(family, &[]))
    };
    let before = seconds();
    hear(&tts).await.expect("audio");
    let after = seconds();
    let log = bench.log().await;
    let asked = log.iter().rev().find(|entry| matches!(entry.event, Event::Request { .. }));
    let asked = asked.expect("a request").t_ns;
    let chunks = log.iter().filter(|entry| {
        entry.t_ns > asked && matches!(entry.event, Event::Chunk { token: true, .. })
    });
    let chunks: Vec<_> = chunks.map(|entry| (entry.t_ns - asked) as f64 / 1e9).collect();
    let errors =
        [after[0] - before[0] - chunks[0], after[1] - before[1] - chunks[chunks.len() - 1]];
    // Anything else that could have been timed is at least 0.4 s away.
    for error in errors {
        assert!((-0.01..0.2).contains(&error), "off by {errors:?} s");
    }
}

/// The seconds that each of these families has grown by with one more call on a warm connection.
async fn seconds_of_one<const N: usize>(
    bench: &Bench,
    tts: &Tts,
    plan: Plan,
    families: [&str; N],
) -> [f64; N] {
    bench.standin.set_plan(Plan::default());
    hear(tts).await.expect("a warm connection");
    bench.standin.set_plan(plan);
    let seconds = || families.map(|family| tts.readings.seconds(family, &[]));
    let before = seconds();
    hear(tts).await.expect("audio");
    let after = seconds();
    std::array::from_fn(|family| after[family] - before[family])
}

const FIRST_BYTE: &str = "tts_time_to_first_byte_seconds";
const FIRST_AUDIO: &str = "tts_time_to_first_audio_seconds";

#[tokio::test]
async fn leading_silence_is_before_the_first_audio_and_not_before_the_first_byte() {
    let bench = Bench::start().await;
    let tts = bench.tts_with(|config| config.output_format = "pcm_16000".to_owned());
    for silence_ms in [0, 700] {
        let plan = Plan {
            first_byte_ms: Delay::Fixed(150.0),
            leading_silence_ms: silence_ms,
            ..Plan::default()
        };
        let [byte, audio] = seconds_of_one(&bench, &tts, plan, [FIRST_BYTE, FIRST_AUDIO]).await;
        assert!((0.15..0.35).contains(&byte), "{byte}");
        let off = audio - byte - silence_ms as f64 / 1e3;
        // The voice itself swells from nothing.
        assert!((-0.001..0.05).contains(&off), "{silence_ms} ms: off by {off} s");
    }
}

#[tokio::test]
async fn silence_is_heard_only_when_it_has_come() {
    let bench = Bench::start().await;
    let tts = bench.tts_with(|config| config.output_format = "pcm_16000".to_owned());
    // 1 s of silence and 1 s of voice: the voice is in the third of four pieces.
    let plan = Plan {
        leading_silence_ms: 1000,
        chunks: Some(4),
        between_chunks_ms: Delay::Fixed(800.0),
        ..Plan::default()
    };
    let [byte, audio] = seconds_of_one(&bench, &tts, plan, [FIRST_BYTE, FIRST_AUDIO]).await;
    let off = audio - byte - 1.6;
    assert!((-0.05..0.2).contains(&off), "off by {off} s: two gaps, not 1 s");
}

#[tokio::test]
async fn mp3_is_decoded_up_to_its_first_sound() {
    let bench = Bench::start().await;
    let tts = bench.tts();
    let plan = Plan { first_byte_ms: Delay::Fixed(150.0), ..Plan::default() };
    let [byte, audio] = seconds_of_one(&bench, &tts, plan, [FIRST_BYTE, FIRST_AUDIO]).await;
    // At least the 528 samples that every decoder needs before the first one of the voice.
    let off = audio - byte;
    assert!((0.01..0.1).contains(&off), "{off}");
}

#[tokio::test]
async fn the_real_time_factor_is_the_providers_time_over_the_audios() {
    let bench = Bench::start().await;
    for format in ["pcm_16000", "mp3_44100_128"] {
        let tts = bench.tts_with(|config| config.output_format = format.to_owned());
        let plan = Plan {
            first_byte_ms: Delay::Fixed(200.0),
            between_chunks_ms: Delay::Fixed(100.0),
            chunks: Some(4),
            ..Plan::default()
        };
        let [factor] = seconds_of_one(&bench, &tts, plan, ["tts_real_time_factor"]).await;
        // The stand-in speaks 15 characters in a second.
        let audio_seconds = speech().text.chars().count() as f64 / 15.0;
        let off = factor * audio_seconds - 0.5;
        assert!((-0.02..0.2).contains(&off), "{format}: {factor}, off by {off} s");
        let told = tts.readings.counter("tts_audio_seconds_total", &[]) - 2.0 * audio_seconds;
        // MP3 has whole frames.
        assert!((-1e-6..0.06).contains(&told), "{format}: {told} s more");
    }
}

#[tokio::test]
async fn a_listener_who_is_slow_is_not_the_providers_time() {
    let bench = Bench::start().await;
    let tts = bench.tts();
    bench.standin.set_plan(Plan { chunks: Some(4), ..Plan::default() });
    let mut stream = tts.client.speak(speech()).await.expect("audio");
    while let Some(piece) = stream.next().await {
        piece.expect("audio");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let factor = tts.readings.seconds("tts_real_time_factor", &[]);
    assert!(factor < 0.5, "{factor}: it listened for more than 0.2 s");
}

#[tokio::test]
async fn what_did_not_come_whole_has_no_first_audio_and_no_factor() {
    for (fault, audio) in [
        (Fault::ServerError, false),
        (Fault::NonAudio200, false),
        (Fault::ResetAfterFirstToken { after_chunks: 1 }, true),
    ] {
        let bench = Bench::failing(fault, 1).await;
        let tts = bench.tts_with(|config| config.retry.max_retries = 0);
        hear(&tts).await.expect_err("it fails");
        for family in [FIRST_AUDIO, "tts_real_time_factor"] {
            assert_eq!(tts.readings.samples(family, &[]), 0, "{family} {fault:?}");
        }
        assert_eq!(tts.readings.counter("tts_audio_seconds_total", &[]) > 0.0, audio, "{fault:?}");
    }
}
