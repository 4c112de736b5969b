//! What the metrics say of speech, against what the stand-in did.

use da_standin::{Delay, Event, Fault, Plan};
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
