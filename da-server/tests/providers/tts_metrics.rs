//! What the metrics say of speech, against what the stand-in did.

use std::time::{Duration, Instant};

use da_server::tts::TtsProtocol;
use da_standin::{Delay, Fault, Plan};
use futures_util::StreamExt;
use prometheus::TextEncoder;

use crate::bench::{Bench, Tts, VOICES, samples};
use crate::clocks::{Clocks, Pieces, listen};
use crate::tts::{hear, speech};

fn assert_one_call(tts: &Tts, provider: TtsProtocol, outcome: &str, first_bytes: u64) {
    let readings = &tts.readings;
    let of_provider = [("provider", provider.provider_name())];
    let labels = [of_provider[0], ("outcome", outcome)];
    assert_eq!(readings.samples("tts_latency_seconds", &[]), 1);
    assert_eq!(readings.samples("tts_attempt_seconds", &labels), 1);
    assert_eq!(readings.samples("tts_attempt_seconds", &[]), 1);
    assert_eq!(readings.samples("tts_time_to_first_byte_seconds", &of_provider), first_bytes);
}

#[tokio::test]
async fn a_call_is_one_sample_of_each_and_counts_its_characters() {
    for provider in VOICES {
        let bench = Bench::start().await;
        let tts = bench.tts(provider);
        assert_eq!(tts.readings.samples("tts_latency_seconds", &[]), 0);
        assert_eq!(tts.readings.counter("tts_characters_total", &[]), 0.0);
        hear(&tts).await.expect("audio");
        assert_one_call(&tts, provider, "success", 1);
        let characters = speech().text.chars().count();
        assert_ne!(characters, speech().text.len(), "characters are not bytes");
        assert_eq!(tts.readings.counter("tts_characters_total", &[]), characters as f64);
    }
}

#[tokio::test]
async fn failures_have_a_latency_but_no_first_byte_and_no_characters() {
    for (fault, outcome, characters) in [
        (Fault::ServerError, "server", false),
        (Fault::NonAudio200, "not_audio", false),
        // The provider took the text before it failed, and bills it.
        (Fault::ResetAfterFirstToken { after_chunks: 1 }, "interrupted", true),
    ] {
        for provider in VOICES {
            let bench = Bench::failing(fault, 1).await;
            let tts = bench.tts_with(provider, |config| config.retry.max_retries = 0);
            hear(&tts).await.expect_err("it fails");
            assert_one_call(&tts, provider, outcome, 0);
            assert_eq!(tts.readings.samples("tts_latency_seconds", &[("outcome", "error")]), 1);
            assert_eq!(tts.readings.counter("tts_characters_total", &[]) > 0.0, characters);
        }
    }
}

#[tokio::test]
async fn the_seeds_family_has_its_edges_for_each_outcome() {
    let readings = Bench::start().await.tts(VOICES[0]).readings;
    let text = TextEncoder::new().encode_to_string(&readings.registry.gather()).expect("text");
    for edge in ["0.1", "0.5", "1", "2", "5", "10", "+Inf"] {
        for outcome in ["success", "error", "cancelled"] {
            let labels = format!("outcome=\"{outcome}\",le=\"{edge}\"");
            let bucket = format!("digital_actors_tts_latency_seconds_bucket{{{labels}}} 0\n");
            assert!(text.contains(&bucket), "{bucket} is missing in\n{text}");
        }
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
    let tts = bench.tts(VOICES[0]);
    hear(&tts).await.expect("a warm connection");
    let seconds = || {
        ["tts_time_to_first_byte_seconds", "tts_latency_seconds"]
            .map(|family| tts.readings.seconds(family, &[]))
    };
    let before = seconds();
    let clocks = listen(&bench, &tts).await;
    let after = seconds();
    clocks.hold("to the first byte", after[0] - before[0], &Pieces::first);
    clocks.hold_between("call", after[1] - before[1], &Pieces::last, &Pieces::end);
}

/// One more call on a warm connection, and the seconds that each of these families has grown by.
async fn seconds_of_one<const N: usize>(
    bench: &Bench,
    tts: &Tts,
    plan: Plan,
    families: [&str; N],
) -> (Clocks, [f64; N]) {
    bench.standin.set_plan(Plan::default());
    hear(tts).await.expect("a warm connection");
    bench.standin.set_plan(plan);
    let seconds = || families.map(|family| tts.readings.seconds(family, &[]));
    let before = seconds();
    let clocks = listen(bench, tts).await;
    let after = seconds();
    (clocks, std::array::from_fn(|family| after[family] - before[family]))
}

const FIRST_BYTE: &str = "tts_time_to_first_byte_seconds";
const FIRST_AUDIO: &str = "tts_time_to_first_audio_seconds";

/// The stand-in's voice swells from nothing: so much of a second later it is there.
const SWELLS: usize = 20;

/// That this is when the voice was heard, after so many bytes of silence.
#[track_caller]
fn assert_heard(clocks: &Clocks, audio: f64, silence_bytes: usize, bytes_per_second: usize) {
    let swelling_bytes = bytes_per_second / SWELLS;
    clocks.hold_between(
        "to the first audio",
        audio,
        &|pieces| pieces.heard(silence_bytes, bytes_per_second),
        &|pieces| pieces.heard(silence_bytes + swelling_bytes, bytes_per_second),
    );
}

/// A voice that speaks in bare samples, and how many bytes a second has.
fn in_samples(bench: &Bench, provider: TtsProtocol) -> (Tts, usize) {
    let (format, bytes_per_second) = samples(provider);
    let tts = bench.tts_with(provider, |config| config.output_format = Some(format.to_owned()));
    (tts, bytes_per_second)
}

#[tokio::test]
async fn leading_silence_is_before_the_first_audio_and_not_before_the_first_byte() {
    for provider in VOICES {
        let bench = Bench::start().await;
        let (tts, bytes_per_second) = in_samples(&bench, provider);
        for silence_ms in [0, 700] {
            let plan = Plan {
                first_byte_ms: Delay::Fixed(150.0),
                leading_silence_ms: silence_ms,
                ..Plan::default()
            };
            let families = [FIRST_BYTE, FIRST_AUDIO];
            let (clocks, [byte, audio]) = seconds_of_one(&bench, &tts, plan, families).await;
            clocks.hold("to the first byte", byte, &Pieces::first);
            let silence_bytes = silence_ms as usize * bytes_per_second / 1000;
            assert_heard(&clocks, audio, silence_bytes, bytes_per_second);
        }
    }
}

#[tokio::test]
async fn silence_is_heard_only_when_it_has_come() {
    let bench = Bench::start().await;
    let (tts, bytes_per_second) = in_samples(&bench, VOICES[0]);
    // 1 s of silence and 1 s of voice: the voice is in the third of four pieces, and so heard after
    // two gaps and not after 1 s.
    let plan = Plan {
        leading_silence_ms: 1000,
        chunks: Some(4),
        between_chunks_ms: Delay::Fixed(800.0),
        ..Plan::default()
    };
    let (clocks, [audio]) = seconds_of_one(&bench, &tts, plan, [FIRST_AUDIO]).await;
    assert_heard(&clocks, audio, bytes_per_second, bytes_per_second);
}

#[tokio::test]
async fn mp3_is_decoded_up_to_its_first_sound() {
    let bench = Bench::start().await;
    let tts = bench.tts(VOICES[0]);
    let plan = Plan { first_byte_ms: Delay::Fixed(150.0), ..Plan::default() };
    let (clocks, [audio]) = seconds_of_one(&bench, &tts, plan, [FIRST_AUDIO]).await;
    // At least the 528 samples of 44,100 that every decoder needs before the first one of the voice,
    // and at most a tenth of a second.
    let after = |samples: u64| samples * 1_000_000_000 / 44_100;
    clocks.hold_between(
        "to the first audio",
        audio,
        &|pieces| pieces.first() + after(528),
        &|pieces| pieces.last() + after(4_410),
    );
}

#[tokio::test]
async fn the_real_time_factor_is_the_providers_time_over_the_audios() {
    let bench = Bench::start().await;
    for (provider, format) in [
        (TtsProtocol::ElevenLabs, "pcm_16000"),
        (TtsProtocol::ElevenLabs, "mp3_44100_128"),
        (TtsProtocol::OpenAi, "wav_24000"),
    ] {
        let tts = bench.tts_with(provider, |config| config.output_format = Some(format.to_owned()));
        let plan = Plan {
            first_byte_ms: Delay::Fixed(100.0),
            between_chunks_ms: Delay::Fixed(200.0),
            chunks: Some(4),
            ..Plan::default()
        };
        let families = ["tts_real_time_factor"];
        let (clocks, [factor]) = seconds_of_one(&bench, &tts, plan, families).await;
        // The stand-in speaks 15 characters in a second.
        let audio_seconds = speech().text.chars().count() as f64 / 15.0;
        let counted = tts.readings.counter("tts_audio_seconds_total", &[]) / 2.0;
        // MP3 has whole frames.
        let more = counted - audio_seconds;
        assert!((-1e-6..0.03).contains(&more), "{format}: {more} s more");
        // Up to the first byte it is a seventh. What comes while the test is kept from asking for
        // it, which is never long, was not waited for.
        clocks.hold_between(format, factor * counted, &|pieces| pieces.last() / 2, &|pieces| {
            pieces.end()
        });
    }
}

#[tokio::test]
async fn a_listener_who_is_slow_is_not_the_providers_time() {
    let bench = Bench::start().await;
    let (tts, _) = in_samples(&bench, VOICES[0]);
    bench.standin.set_plan(Plan { chunks: Some(4), ..Plan::default() });
    let asked = Instant::now();
    let mut listened = Duration::ZERO;
    let mut stream = tts.client.speak(speech()).await.expect("audio");
    while let Some(piece) = stream.next().await {
        let heard = Instant::now();
        piece.expect("audio");
        tokio::time::sleep(Duration::from_millis(200)).await;
        listened += heard.elapsed();
    }
    let rest = asked.elapsed() - listened;
    let audio_seconds = tts.readings.counter("tts_audio_seconds_total", &[]);
    let waited = tts.readings.seconds("tts_real_time_factor", &[]) * audio_seconds;
    assert!(waited <= rest.as_secs_f64(), "{waited} s, and it listened for all but {rest:?}");
}

#[tokio::test]
async fn what_did_not_come_whole_has_no_first_audio_and_no_factor() {
    for (fault, audio) in [
        (Fault::ServerError, false),
        (Fault::NonAudio200, false),
        (Fault::ResetAfterFirstToken { after_chunks: 1 }, true),
    ] {
        let bench = Bench::failing(fault, 1).await;
        let tts = bench.tts_with(VOICES[0], |config| config.retry.max_retries = 0);
        hear(&tts).await.expect_err("it fails");
        for family in [FIRST_AUDIO, "tts_real_time_factor"] {
            assert_eq!(tts.readings.samples(family, &[]), 0, "{family} {fault:?}");
        }
        assert_eq!(tts.readings.counter("tts_audio_seconds_total", &[]) > 0.0, audio, "{fault:?}");
    }
}
