//! Text to speech: audio that plays.

use da_standin::{Event, Plan};
use serde_json::json;

use crate::support::{ELEVENLABS, OPENAI, Scene, json_of, times};

const TEXT: &str = "Steady now: the needle says twelve degrees, and my knees say less.";
/// At the stand-in's 15 characters a second.
const SECONDS: f64 = TEXT.len() as f64 / 15.0;

fn root_mean_square(samples: impl Iterator<Item = f64>) -> f64 {
    let (power, count) = samples.fold((0.0, 0.0), |(sum, count), s| (sum + s * s, count + 1.0));
    f64::sqrt(power / count)
}

#[tokio::test]
async fn pcm_is_sound_of_the_right_length_at_every_rate() {
    let scene = Scene::with_plan(Plan::default()).await;
    for rate in [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] {
        let response = scene.speech(TEXT, &format!("pcm_{rate}")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "audio/pcm");
        let audio = response.bytes().await.unwrap();
        let samples = (SECONDS * f64::from(rate)).round() as usize;
        assert_eq!(audio.len(), samples * 2, "{rate}");
        let values = audio.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        let loudness = root_mean_square(values.map(|value| f64::from(value) / 32_768.0));
        assert!((0.05..0.5).contains(&loudness), "{rate}: {loudness}");
    }
}

#[tokio::test]
async fn mp3_decodes_to_sound_of_the_right_length_in_every_format() {
    let scene = Scene::with_plan(Plan::default()).await;
    for (rate, kbps) in [
        (22_050, 32),
        (24_000, 48),
        (44_100, 32),
        (44_100, 64),
        (44_100, 96),
        (44_100, 128),
        (44_100, 192),
    ] {
        let format = format!("mp3_{rate}_{kbps}");
        let response = scene.speech(TEXT, &format).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "audio/mpeg");
        let decoded = nanomp3::decode_all::<f32>(&response.bytes().await.unwrap());
        assert_eq!((decoded.sample_rate, decoded.layer), (rate, 3), "{format}");
        assert_eq!(decoded.avg_bitrate_kbps, kbps, "{format}");
        assert_eq!(decoded.channels, Some(nanomp3::Channels::Mono), "{format}");
        let seconds = decoded.samples.len() as f64 / f64::from(rate);
        let frame_seconds = 1152.0 / 22_050.0;
        assert!((SECONDS..SECONDS + frame_seconds).contains(&seconds), "{format}: {seconds}");
        let loudness = root_mean_square(decoded.samples.iter().map(|value| f64::from(*value)));
        assert!((0.05..0.5).contains(&loudness), "{format}: {loudness}");
    }
}

#[tokio::test]
async fn default_is_mp3_and_headers_count_the_cost() {
    let scene = Scene::with_plan(Plan::default()).await;
    let body = json!({"text": "Zoë"});
    let request = scene.post(ELEVENLABS, "/v1/text-to-speech/voice/stream", &body);
    let response = request.header("xi-api-key", "k").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "audio/mpeg");
    assert_eq!(response.headers()["character-cost"], "3");
    assert_eq!(response.headers()["current-concurrent-requests"], "1");
    for name in ["request-id", "maximum-concurrent-requests"] {
        assert!(response.headers().contains_key(name), "{name}");
    }
    let decoded = nanomp3::decode_all::<f32>(&response.bytes().await.unwrap());
    assert_eq!((decoded.sample_rate, decoded.avg_bitrate_kbps), (44_100, 128));
}

#[tokio::test]
async fn without_stream_the_audio_comes_whole() {
    let scene = Scene::with_plan(Plan::default()).await;
    let streamed = scene.speech(TEXT, "pcm_16000").send().await.unwrap();
    assert_eq!(streamed.headers()["transfer-encoding"], "chunked");
    let streamed = streamed.bytes().await.unwrap();
    let path = "/v1/text-to-speech/voice?output_format=pcm_16000";
    let request = scene.post(ELEVENLABS, path, &json!({"text": TEXT})).header("xi-api-key", "k");
    let whole = request.send().await.unwrap();
    assert_eq!(whole.content_length(), Some(streamed.len() as u64));
    assert_eq!(whole.bytes().await.unwrap(), streamed);
}

#[tokio::test]
async fn audio_comes_in_as_many_chunks_as_planned() {
    let scene = Scene::with_plan(Plan::default()).await;
    let chunks = |log: &[da_standin::LogEntry]| {
        times(log, |event| match event {
            Event::Chunk { bytes, token, .. } => Some((*bytes, *token)),
            _ => None,
        })
    };
    let audio = scene.speech(TEXT, "pcm_16000").send().await.unwrap().bytes().await.unwrap();
    let by_default = chunks(&scene.log().await);
    assert_eq!(by_default.len(), (SECONDS / 0.2).ceil() as usize);

    scene.standin.set_plan(Plan { chunks: Some(5), ..Plan::default() });
    scene.speech(TEXT, "pcm_16000").send().await.unwrap().bytes().await.unwrap();
    let asked = chunks(&scene.log().await).split_off(by_default.len());
    assert_eq!(asked.len(), 5);
    assert_eq!(asked.iter().map(|(_, (bytes, _))| bytes).sum::<u64>(), audio.len() as u64);
    assert!(asked.iter().all(|(_, (_, token))| *token));
}

#[tokio::test]
async fn refusals_have_the_form_of_the_provider() {
    let scene = Scene::with_plan(Plan::default()).await;
    let path = "/v1/text-to-speech/voice/stream";
    let keyless = scene.post(ELEVENLABS, path, &json!({"text": "x"}));
    for (request, status, code) in [
        (keyless, 401, "needs_authorization"),
        (scene.speech("x", "opus_48000_32"), 400, "invalid_output_format"),
        (scene.speech("", "pcm_16000"), 400, "invalid_text_length"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        let detail = &json_of(response).await["detail"];
        assert_eq!(detail["code"], code);
        assert!(detail["message"].is_string() && detail["request_id"].is_string());
    }
    let textless = scene.post(ELEVENLABS, path, &json!({})).header("xi-api-key", "k");
    let response = textless.send().await.unwrap();
    assert_eq!(response.status(), 422);
    assert_eq!(json_of(response).await["detail"][0]["loc"], json!(["body", "text"]));
}

#[tokio::test]
async fn openais_voice_speaks_at_its_own_rate_in_each_of_its_formats() {
    let scene = Scene::with_plan(Plan::default()).await;
    let samples = (SECONDS * 24_000.0).round() as usize;
    for (format, kind, before) in [("pcm", "audio/pcm", 0), ("wav", "audio/wav", 44)] {
        let response = scene.openai_speech(TEXT, format).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], kind);
        assert_eq!(response.headers()["transfer-encoding"], "chunked");
        let audio = response.bytes().await.unwrap();
        assert_eq!(audio.len(), before + samples * 2);
        assert_eq!(audio.starts_with(b"RIFF"), format == "wav");
    }
    let response = scene.openai_speech(TEXT, "mp3").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "audio/mpeg");
    let decoded = nanomp3::decode_all::<f32>(&response.bytes().await.unwrap());
    assert_eq!((decoded.sample_rate, decoded.layer), (24_000, 3));
}

#[tokio::test]
async fn refusals_of_openais_voice_have_its_form() {
    let scene = Scene::with_plan(Plan::default()).await;
    let post = |body| scene.post(OPENAI, "/v1/audio/speech", &body);
    let voiceless = json!({"model": "m", "input": "x"});
    for (request, status) in [
        (post(json!({"model": "m", "voice": "v", "input": "x"})), 401),
        (post(voiceless).bearer_auth("k"), 400),
        (scene.openai_speech("", "mp3"), 400),
        (scene.openai_speech("x", "flac"), 400),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status);
        let error = &json_of(response).await["error"];
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["message"].is_string());
    }
}
