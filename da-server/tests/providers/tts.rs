//! Speech: audio that arrives whole, and failures that are told.

use std::sync::Arc;
use std::time::Duration;

use da_server::provider::ErrorKind;
use da_server::tts::{Speech, TtsError, TtsProtocol};
use da_standin::{Delay, Event, Fault, Plan};
use da_testkit::raw::{Answer, Ending, Raw};
use futures_util::StreamExt;

use crate::bench::{Bench, Tts, VOICES, count, samples};

const LINE: &str = "Grüße, Kapitän!";

pub fn speech() -> Speech {
    Speech {
        text: LINE.to_owned(),
        said_before: String::new(),
        character: "engineer".to_owned(),
        voice_id: "JBFqnCBsd6RMkjVDRZzb".to_owned(),
    }
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
    const PCM: &str = "audio/pcm;rate=24000;channels=1";
    for (provider, format, mime) in [
        (TtsProtocol::ElevenLabs, "mp3_44100_128", "audio/mpeg"),
        (TtsProtocol::ElevenLabs, "pcm_16000", "audio/pcm;rate=16000;channels=1"),
        (TtsProtocol::OpenAi, "mp3_24000", "audio/mpeg"),
        (TtsProtocol::OpenAi, "pcm_24000", PCM),
        (TtsProtocol::OpenAi, "wav_24000", PCM),
    ] {
        let bench = Bench::start().await;
        let tts = bench.tts_with(provider, |config| config.output_format = Some(format.to_owned()));
        let (audio, told) = hear(&tts).await.expect("audio");
        assert_eq!(told, mime);
        assert!(!audio.is_empty());
        let header_bytes = if format.starts_with("wav") { 44 } else { 0 };
        assert_eq!(audio.len() as u64, written(&bench).await - header_bytes, "{format}");
        if format.starts_with("mp3") {
            assert_eq!((audio[0], audio[1] & 0xe0), (0xff, 0xe0), "an MPEG frame begins here");
        }
    }
}

#[tokio::test]
async fn the_voice_is_asked_for_and_the_connection_is_kept() {
    for (provider, wanted) in [
        (TtsProtocol::ElevenLabs, "/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream"),
        (TtsProtocol::OpenAi, "/v1/audio/speech"),
    ] {
        let bench = Bench::start().await;
        let tts = Arc::new(bench.tts(provider));
        for _ in 0..3 {
            let tts = tts.clone();
            let call = tokio::spawn(async move { hear(&tts).await });
            call.await.expect("no panic").expect("audio");
        }
        let log = bench.log().await;
        let asked = |event: &Event| matches!(event, Event::Request { path, .. } if path == wanted);
        assert_eq!(count(&log, asked), 3);
        assert_eq!(count(&log, |event| *event == Event::Accept), 1);
    }
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
        for provider in VOICES {
            let bench = Bench::failing(fault, 2).await;
            let heard = hear(&bench.tts(provider)).await;
            assert!(heard.is_ok(), "{fault:?}: {:?}", heard.err());
            assert_eq!(bench.requests().await, 3, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn what_is_not_audio_is_not_handed_over_nor_tried_again() {
    for provider in VOICES {
        let bench = Bench::failing(Fault::NonAudio200, 1).await;
        let error = hear(&bench.tts(provider)).await.expect_err("not audio");
        assert_eq!(error.kind, ErrorKind::NotAudio);
        assert_eq!(error.code.expect("a code").as_str(), "processing", "it says what it is");
        assert_eq!(bench.requests().await, 1);
    }
}

#[tokio::test]
async fn a_refused_key_says_so_and_is_not_tried_again() {
    for provider in VOICES {
        let bench = Bench::start().await;
        let port = bench.standin.addr().port();
        let tts = bench.tts_with(provider, |config| {
            config.api_key = None;
            config.base_url = Some(match provider {
                TtsProtocol::ElevenLabs => format!("https://localhost:{port}"),
                TtsProtocol::OpenAi => format!("https://localhost:{port}/v1"),
            });
        });
        let error = hear(&tts).await.expect_err("no key");
        assert_eq!((error.kind, error.status), (ErrorKind::Authentication, Some(401)));
        assert_eq!(bench.requests().await, 1);
    }
}

#[tokio::test]
async fn a_reset_after_audio_is_an_interruption_and_not_tried_again() {
    for provider in VOICES {
        let bench = Bench::start().await;
        bench.standin.set_plan(Plan {
            chunks: Some(5),
            between_chunks_ms: Delay::Fixed(100.0),
            fault: Some(Fault::ResetAfterFirstToken { after_chunks: 2 }),
            ..Plan::default()
        });
        let heard = hear(&bench.tts(provider)).await.map(|(audio, _)| audio.len());
        assert_eq!(heard.expect_err("it is cut").kind, ErrorKind::Interrupted);
        assert_eq!(bench.requests().await, 1);
    }
}

#[tokio::test]
async fn a_request_that_hangs_times_out() {
    for provider in VOICES {
        let bench = Bench::failing(Fault::Hang, 1).await;
        let tts = bench.tts_with(provider, |config| {
            config.timeouts.first_content = Duration::from_millis(300);
            config.retry.max_retries = 0;
        });
        assert_eq!(hear(&tts).await.expect_err("it hangs").kind, ErrorKind::Timeout);
    }
}

#[tokio::test]
async fn dropping_the_audio_ends_the_exchange() {
    for provider in VOICES {
        let bench = Bench::start().await;
        bench.standin.set_plan(Plan {
            chunks: Some(600),
            between_chunks_ms: Delay::Fixed(100.0),
            ..Plan::default()
        });
        let (format, _) = samples(provider);
        let tts = bench.tts_with(provider, |config| config.output_format = Some(format.to_owned()));
        let mut stream = tts.client.speak(speech()).await.expect("audio");
        stream.next().await.expect("audio").expect("no error");
        drop(stream);
        let cancelled = [("outcome", "cancelled")];
        assert_eq!(tts.readings.samples("tts_attempt_seconds", &cancelled), 1);
        assert_eq!(tts.readings.samples("tts_latency_seconds", &cancelled), 1);
        bench.assert_hung_up().await;
    }
}

#[tokio::test]
async fn audio_in_crumbs_is_handed_over_in_pieces_and_whole() {
    const BYTES: usize = 50_000;
    let chunks = (0..BYTES).map(|index| vec![index as u8]).collect::<Vec<_>>();
    for provider in VOICES {
        let answer = Answer {
            media_type: "audio/mpeg",
            chunks: chunks.clone(),
            pause: Duration::ZERO,
            ending: Ending::Clean,
        };
        let raw = Raw::serve(answer).await;
        let url = format!("http://{}", raw.address);
        let bench = Bench::start().await;
        let tts = bench.tts_with(provider, |config| config.base_url = Some(url));
        let stream = tts.client.speak(speech()).await.expect("audio");
        let pieces: Vec<_> = stream.map(|piece| piece.expect("no error")).collect().await;
        assert_eq!(pieces.concat(), chunks.concat());
        assert!(pieces.len() < BYTES / 50, "{} pieces", pieces.len());
    }
}
