//! Speech: audio that arrives whole, and failures that are told.

use std::sync::Arc;
use std::time::Duration;

use da_server::provider::ErrorKind;
use da_server::tts::{Speech, TtsError};
use da_standin::{CloseReason, Delay, Event, Fault, Plan};
use futures_util::StreamExt;

use crate::bench::{Bench, Tts, count};

const LINE: &str = "Grüße, Kapitän!";

pub fn speech() -> Speech {
    Speech { text: LINE.to_owned(), voice_id: "JBFqnCBsd6RMkjVDRZzb".to_owned() }
}

/// The whole audio and its media type, or why there is no more of it.
pub async fn hear(tts: &Tts) -> Result<(Vec<u8>, String), TtsError> {
    let mut stream = tts.client.speak(speech()).await?;
    let mut audio = Vec::new();
    while let Some(chunk) = stream.next().await {
        audio.extend_from_slice(&chunk?);
    }
    Ok((audio, stream.format.mime()))
}

/// Bytes of audio that the stand-in wrote.
async fn written(bench: &Bench) -> u64 {
    let log = bench.log().await;
    let bytes = log.iter().filter_map(|entry| match entry.event {
        Event::Chunk { bytes, token: true, .. } => Some(bytes),
        _ => None,
    });
    bytes.sum()
}

#[tokio::test]
async fn audio_arrives_whole_in_the_format_asked_for() {
    for (format, mime) in
        [("mp3_44100_128", "audio/mpeg"), ("pcm_16000", "audio/pcm;rate=16000;channels=1")]
    {
        let bench = Bench::start().await;
        let tts = bench.tts_with(|config| config.output_format = format.to_owned());
        let (audio, told) = hear(&tts).await.expect("audio");
        assert_eq!(told, mime);
        assert!(!audio.is_empty());
        assert_eq!(audio.len() as u64, written(&bench).await);
        if format.starts_with("mp3") {
            assert_eq!((audio[0], audio[1] & 0xe0), (0xff, 0xe0), "an MPEG frame begins here");
        }
    }
}

#[tokio::test]
async fn the_voice_is_in_the_path_and_the_connection_is_kept() {
    let bench = Bench::start().await;
    let tts = Arc::new(bench.tts());
    for _ in 0..3 {
        let tts = tts.clone();
        let call = tokio::spawn(async move { hear(&tts).await });
        call.await.expect("no panic").expect("audio");
    }
    let log = bench.log().await;
    let asked = |event: &Event| {
        let wanted = "/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream";
        matches!(event, Event::Request { path, .. } if path == wanted)
    };
    assert_eq!(count(&log, asked), 3);
    assert_eq!(count(&log, |event| *event == Event::Accept), 1);
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    for fault in [
        Fault::RateLimited { retry_after: None, retry_after_ms: Some(50) },
        Fault::Overloaded,
        Fault::ServerError,
        Fault::ResetBeforeFirstToken { after_head: false },
        Fault::ResetBeforeFirstToken { after_head: true },
    ] {
        let bench = Bench::failing(fault, 2).await;
        let heard = hear(&bench.tts()).await;
        assert!(heard.is_ok(), "{fault:?}: {:?}", heard.err());
        assert_eq!(bench.requests().await, 3, "{fault:?}");
    }
}

#[tokio::test]
async fn what_is_not_audio_is_not_handed_over_nor_tried_again() {
    let bench = Bench::failing(Fault::NonAudio200, 1).await;
    let error = hear(&bench.tts()).await.expect_err("not audio");
    assert_eq!(error.kind, ErrorKind::NotAudio);
    assert_eq!(bench.requests().await, 1);
}

#[tokio::test]
async fn a_reset_after_audio_is_an_interruption_and_not_tried_again() {
    let bench = Bench::start().await;
    bench.standin.set_plan(Plan {
        chunks: Some(5),
        between_chunks_ms: Delay::Fixed(100.0),
        fault: Some(Fault::ResetAfterFirstToken { after_chunks: 2 }),
        ..Plan::default()
    });
    let error = hear(&bench.tts()).await.map(|(audio, _)| audio.len()).expect_err("it is cut");
    assert_eq!(error.kind, ErrorKind::Interrupted);
    assert_eq!(bench.requests().await, 1);
}

#[tokio::test]
async fn a_request_that_hangs_times_out() {
    let bench = Bench::failing(Fault::Hang, 1).await;
    let tts = bench.tts_with(|config| {
        config.timeouts.first_content = Duration::from_millis(300);
        config.retry.max_retries = 0;
    });
    assert_eq!(hear(&tts).await.expect_err("it hangs").kind, ErrorKind::Timeout);
}

#[tokio::test]
async fn dropping_the_audio_ends_the_exchange() {
    let bench = Bench::start().await;
    bench.standin.set_plan(Plan {
        chunks: Some(600),
        between_chunks_ms: Delay::Fixed(100.0),
        ..Plan::default()
    });
    let tts = bench.tts();
    let mut stream = tts.client.speak(speech()).await.expect("audio");
    stream.next().await.expect("audio").expect("no error");
    drop(stream);
    let cancelled = [("outcome", "cancelled")];
    assert_eq!(tts.readings.samples("tts_attempt_seconds", &cancelled), 1);
    let log = bench.log().await;
    assert_eq!(count(&log, |event| matches!(event, Event::ResponseEnd { .. })), 0);
    let by_client =
        |event: &Event| matches!(event, Event::Close { reason: CloseReason::Client, .. });
    assert_eq!(count(&log, by_client), 1);
}
