//! Random audio in random chunks, and random errors, for all that reads them.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    AudioFormat, Codec, TtsConfig, TtsMetrics, audio_stats::AudioStats, coalesce::coalesce, silence,
};
use crate::clock::monotonic_ns;
use crate::fuzzing::{Chance, going_on};
use crate::metrics::Registry;

/// A real one, to be spoilt.
const CLIP: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../xtask/standin/src/audio/clips/mp3_22050_32.mp3"
));

const FORMATS: [&str; 8] = [
    "pcm_16000",
    "pcm_1",
    "pcm_4294967295",
    "ulaw_8000",
    "mp3_22050_32",
    "mp3_44100",
    "mp3_44100_0",
    "opus_48000_64",
];

fn audio(chance: &mut Chance) -> Vec<u8> {
    let silent = vec![0; chance.below(40_000)];
    let loud = (0..chance.below(200)).map(|_| chance.below(256) as u8).collect();
    let quiet = [0, 0, 32, 0, 0xe0, 0xff].repeat(chance.below(100));
    let from = chance.below(CLIP.len());
    let clip = CLIP[from..(from + chance.below(8000)).min(CLIP.len())].to_vec();
    let clip = if chance.below(2) == 0 { chance.mutated(clip) } else { clip };
    let parts = [silent, loud, quiet, clip];
    (0..chance.below(4)).flat_map(|_| parts[chance.below(4)].clone()).collect()
}

/// Of bare 16-bit samples, one by one.
fn obvious_silence(format: &AudioFormat, audio: &[u8]) -> Option<Duration> {
    let mut at = 0;
    while at + 1 < audio.len() {
        let sample = i32::from(i16::from_le_bytes([audio[at], audio[at + 1]]));
        if sample.abs() >= 33 {
            let seconds = (at / 2) as f64 / f64::from(format.sample_rate_hz);
            return (seconds <= 5.0).then(|| Duration::from_secs_f64(seconds));
        }
        at += 2;
    }
    None
}

#[tokio::test]
async fn random_audio_comes_through_whole_and_is_measured_without_harm() {
    let (mut chance, going_on) = (Chance::new(), going_on(0.1));
    let registry = Registry::new();
    let metrics = TtsMetrics::register(&registry).expect("metrics").of("p".into());
    let wire = TtsConfig::default().wire();
    let (mut all, mut heard) = (0, 0);
    while going_on() {
        let format: AudioFormat = chance.one_of(&FORMATS).parse().expect("a format");
        let audio = audio(&mut chance);
        let silence = silence::leading(&format, &audio);
        assert!(silence.is_none_or(|silence| silence <= Duration::from_secs(5)), "{silence:?}");
        if format.codec == Codec::Pcm {
            assert_eq!(silence, obvious_silence(&format, &audio), "{format}");
        }
        heard += usize::from(silence.is_some());
        let chunks = chance.cut(&audio);
        let chunks = stream::iter(chunks.into_iter().map(Ok)).boxed();
        let stats = AudioStats::start(format, metrics.clone(), monotonic_ns());
        let came: Vec<Bytes> =
            stats.observe(format, coalesce(chunks)).try_collect().await.expect("no error");
        assert!(came.concat() == audio, "{} bytes of {}", came.concat().len(), audio.len());
        let code = wire.parse_error(&audio).code.is_some();
        assert!(!code, "audio is no error");
        all += 1;
    }
    println!("{all} utterances, {heard} of them heard");
    assert!(heard > 0 && heard < all, "they are not random noise alone");
}

#[test]
fn random_names_of_formats_are_refused_or_are_what_they_say() {
    const WORDS: [&str; 10] =
        ["mp3", "pcm", "ulaw", "opus", "_", "44100", "0", "-1", "4294967296", "é"];
    let (mut chance, going_on) = (Chance::new(), going_on(0.02));
    let (mut known, mut unknown) = (0, 0);
    while going_on() {
        let name = chance.words(&WORDS, 7);
        match name.parse::<AudioFormat>() {
            Ok(format) => {
                let again: AudioFormat = format.to_string().parse().expect("its own name");
                assert_eq!(again, format, "{name}");
                let _any = format.duration(chance.below(usize::MAX));
                known += 1;
            }
            Err(_) => unknown += 1,
        }
    }
    assert!(known > 0 && unknown > 0, "{known} {unknown}");
}
