//! What speech providers and their imitators really send, mostly from public bug reports: what the
//! player gets of it, how the attempt is counted, and how often it is tried again.

use std::time::Duration;

use da_server::provider::ErrorKind;
use da_server::tts::TtsProtocol::{self, ElevenLabs, OpenAi};
use da_testkit::raw::{Answer, Ending, Raw};

use crate::bench::Bench;
use crate::tts::hear;

/// One row: the name ends with where it was reported.
struct Quirk {
    name: &'static str,
    provider: TtsProtocol,
    asked: &'static str,
    answer: Answer,
    /// The media type that the player is told, and how many bytes of audio there are.
    heard: Result<(&'static str, usize), ErrorKind>,
    retries: usize,
}

const MP3: &str = "audio/mpeg";
const PCM: &str = "audio/pcm;rate=24000;channels=1";
const PCM_22050: &str = "audio/pcm;rate=22050;channels=1";

/// The first frame of an MP3, as far as anybody looks.
const FRAME: [u8; 6] = [0xff, 0xf3, 0x84, 0xc4, 0, 0];
const SAMPLES: [u8; 600] = [3; 600];

fn quirk(
    name: &'static str,
    asked: &'static str,
    media_type: &'static str,
    body: impl AsRef<[u8]>,
) -> Quirk {
    let chunks = match body.as_ref() {
        [] => Vec::new(),
        body => vec![body.to_vec()],
    };
    let answer = Answer { media_type, chunks, pause: Duration::ZERO, ending: Ending::Clean };
    Quirk { name, provider: OpenAi, asked, answer, heard: Ok((PCM, SAMPLES.len())), retries: 0 }
}

impl Quirk {
    fn of(self, provider: TtsProtocol) -> Self {
        Self { provider, ..self }
    }

    fn is(self, mime: &'static str, bytes: usize) -> Self {
        Self { heard: Ok((mime, bytes)), ..self }
    }

    fn ending(mut self, ending: Ending) -> Self {
        self.answer.ending = ending;
        self
    }

    fn in_chunks_of(mut self, length: usize) -> Self {
        let whole = self.answer.chunks.concat();
        self.answer.chunks = whole.chunks(length).map(<[u8]>::to_vec).collect();
        self
    }

    /// It fails, and that may pass.
    fn fails(self, kind: ErrorKind) -> Self {
        Self { heard: Err(kind), retries: 2, ..self }
    }

    fn fails_for_good(self, kind: ErrorKind) -> Self {
        Self { heard: Err(kind), retries: 0, ..self }
    }
}

/// The header of a WAV file whose length nobody knows yet, with a chunk in it that nobody needs.
fn wav(kind: u8, channels: u8, rate_hz: u32, bits: u8) -> Vec<u8> {
    let mut header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    header.extend([kind, 0, channels, 0]);
    header.extend(rate_hz.to_le_bytes());
    let frame_bytes = channels * bits / 8;
    header.extend((rate_hz * u32::from(frame_bytes)).to_le_bytes());
    header.extend([frame_bytes, 0, bits, 0]);
    header.extend(b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf60.16.100\0data\xff\xff\xff\xff");
    header
}

/// The header of a WAV file whose samples have so many bytes.
fn of_length(bytes: usize) -> Vec<u8> {
    let mut header = wav(1, 1, 24_000, 16);
    let at = header.len() - 4;
    header.splice(at.., u32::try_from(bytes).expect("short").to_le_bytes());
    header
}

fn with_samples(header: Vec<u8>) -> Vec<u8> {
    [header, SAMPLES.to_vec()].concat()
}

/// Two whole frames.
fn frames() -> Vec<u8> {
    let mut frame = FRAME.to_vec();
    frame.resize(192, 0);
    frame.repeat(2)
}

fn formats() -> Vec<Quirk> {
    let file = with_samples(wav(1, 1, 24_000, 16));
    vec![
        quirk("PCM", "pcm_24000", "audio/pcm", SAMPLES),
        quirk("its rate in the type (sglang-omni)", "pcm_24000", "audio/pcm;rate=24000", SAMPLES),
        quirk("no type (Vertex AI by way of BerriAI/litellm#38798)", "pcm_24000", "", SAMPLES),
        quirk(
            "octet-stream (openai/openai-openapi#141)",
            "pcm_24000",
            "application/octet-stream",
            SAMPLES,
        ),
        quirk("PCM as audio/mpeg (BerriAI/litellm#4332)", "pcm_24000", MP3, SAMPLES),
        quirk("MP3 for PCM (huggingface/speech-to-speech#531)", "pcm_24000", MP3, FRAME)
            .is(MP3, FRAME.len()),
        quirk("MP3 for PCM as octet-stream", "pcm_24000", "application/octet-stream", frames())
            .is(MP3, 384),
        quirk("MP3 for PCM without a type", "pcm_24000", "", frames()).is(MP3, 384),
        quirk("MP3 for PCM as audio/x-mpeg", "pcm_24000", "audio/x-mpeg", frames())
            .is(MP3, 384)
            .in_chunks_of(1),
        quirk("MP3 with a tag for PCM", "pcm_24000", MP3, b"ID3\x04\0\0\0\0\0\0").is(MP3, 10),
        quirk("WAV for MP3 (mudler/LocalAI#2732)", "mp3_24000", "audio/x-wav", &file),
        quirk("WAV as audio/mpeg (BerriAI/litellm#38798)", "wav_24000", MP3, &file),
        quirk("WAV for PCM, one byte at a time", "pcm_24000", "audio/wav", &file).in_chunks_of(1),
        quirk(
            "WAV of another rate (piper)",
            "pcm_24000",
            "audio/wav",
            with_samples(wav(1, 1, 22_050, 16)),
        )
        .is(PCM_22050, SAMPLES.len()),
        quirk(
            "WAV with a list behind its samples",
            "wav_24000",
            "audio/wav",
            [
                &of_length(SAMPLES.len())[..],
                &SAMPLES,
                b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf60.16.100\0",
            ]
            .concat(),
        ),
        quirk("WAV of no length", "wav_24000", "audio/wav", with_samples(of_length(0))),
        quirk("PCM for WAV (lucasjinreal/Kokoros#112)", "wav_24000", "audio/pcm", SAMPLES),
        quirk(
            "WAV of floats (lucasjinreal/Kokoros#63)",
            "mp3_24000",
            "audio/wav",
            with_samples(wav(3, 1, 24_000, 32)),
        )
        .fails_for_good(ErrorKind::NotAudio),
        quirk("WAV of two channels", "wav_24000", "audio/wav", with_samples(wav(1, 2, 24_000, 16)))
            .fails_for_good(ErrorKind::NotAudio),
        quirk("Ogg as octet-stream", "opus_48000", "application/octet-stream", b"OggS\0\x02\0\0")
            .is("audio/ogg;codecs=opus", 8),
        quirk("MP3 as octet-stream", "mp3_44100_128", "binary/octet-stream", FRAME)
            .of(ElevenLabs)
            .is(MP3, FRAME.len()),
    ]
}

fn what_is_no_audio() -> Vec<Quirk> {
    const PAGE: &str = "<!DOCTYPE html><title>It works!</title>";
    let json =
        r#"{"error":{"message":"m","type":"invalid_request_error","code":"model_not_found"}}"#;
    let typed = "application/json";
    let aac = [&[0xff, 0xf1, 0x50, 0x80, 0x0c, 0x9f][..], &[7; 94]].concat().repeat(2);
    vec![
        quirk("FLAC as audio", "pcm_24000", "audio/flac", b"fLaC\0\0\0\x22\x10\0")
            .fails_for_good(ErrorKind::NotAudio),
        quirk("AAC as audio", "pcm_24000", "audio/aac", &aac).fails_for_good(ErrorKind::NotAudio),
        quirk("AAC for MP3", "mp3_24000", MP3, &aac).fails_for_good(ErrorKind::NotAudio),
        quirk("a page (THU-MAIC/OpenMAIC#1395)", "pcm_24000", "text/html", PAGE)
            .fails_for_good(ErrorKind::NotAudio),
        quirk("a page without a type", "pcm_24000", "", PAGE).fails_for_good(ErrorKind::NotAudio),
        quirk("a page called audio", "mp3_24000", MP3, PAGE).fails_for_good(ErrorKind::NotAudio),
        quirk(
            "JSON that names a file (THU-MAIC/OpenMAIC#1395)",
            "mp3_24000",
            typed,
            r#"{"audioUrl":"/1.mp3"}"#,
        )
        .fails_for_good(ErrorKind::NotAudio),
        quirk("JSON called audio", "pcm_24000", "audio/pcm", json)
            .fails_for_good(ErrorKind::NotAudio),
        quirk(
            "an error with status 200 (transformerlab/transformerlab-api#561)",
            "mp3_24000",
            typed,
            json,
        )
        .fails_for_good(ErrorKind::InvalidRequest),
        quirk("used-up credit with status 200", "mp3_24000", typed, r#"{"error":{"code":402}}"#)
            .fails_for_good(ErrorKind::Quota),
        quirk("overload with status 200", "mp3_24000", typed, r#"{"error":{"code":503}}"#)
            .fails(ErrorKind::Overloaded),
        quirk(
            "used-up credit with status 200",
            "mp3_44100_128",
            typed,
            r#"{"detail":{"status":"quota_exceeded"}}"#,
        )
        .of(ElevenLabs)
        .fails_for_good(ErrorKind::Quota),
        quirk("server-sent events", "mp3_24000", "text/event-stream", "data: {}\n\n")
            .fails_for_good(ErrorKind::NotAudio),
    ]
}

fn ends() -> Vec<Quirk> {
    vec![
        quirk("nothing (langgenius/dify#21893)", "mp3_24000", MP3, "")
            .fails(ErrorKind::EmptyAnswer),
        quirk("nothing", "mp3_44100_128", MP3, "").of(ElevenLabs).fails(ErrorKind::EmptyAnswer),
        quirk(
            "a header and nothing behind it (Azure-Samples/cognitive-services-speech-sdk#2111)",
            "wav_24000",
            "audio/wav",
            wav(1, 1, 24_000, 16),
        )
        .fails(ErrorKind::EmptyAnswer),
        quirk("half a header", "wav_24000", "audio/wav", &wav(1, 1, 24_000, 16)[..30])
            .fails_for_good(ErrorKind::NotAudio),
        quirk("cut in the header", "wav_24000", "audio/wav", &wav(1, 1, 24_000, 16)[..30])
            .ending(Ending::Cut)
            .fails(ErrorKind::Interrupted),
        quirk("reset before a byte", "mp3_24000", MP3, "")
            .ending(Ending::Reset)
            .fails(ErrorKind::Interrupted),
        quirk("cut within the audio", "pcm_24000", "audio/pcm", SAMPLES)
            .ending(Ending::Cut)
            .fails_for_good(ErrorKind::Interrupted),
        quirk("reset within the audio", "pcm_24000", "audio/pcm", SAMPLES)
            .ending(Ending::Reset)
            .fails_for_good(ErrorKind::Interrupted),
    ]
}

#[tokio::test]
async fn each_quirk_has_its_outcome() {
    let bench = Bench::start().await;
    let mut wrong = 0;
    for quirk in [formats(), what_is_no_audio(), ends()].into_iter().flatten() {
        let raw = Raw::serve(quirk.answer).await;
        let url = format!("http://{}", raw.address);
        let tts = bench.tts_with(quirk.provider, |config| {
            config.base_url = Some(url);
            config.output_format = Some(quirk.asked.to_owned());
        });
        let heard = hear(&tts).await;
        let heard = match &heard {
            Ok((audio, mime)) => Ok((mime.as_str(), audio.len())),
            Err(error) => Err(error.kind),
        };
        let retries = raw.requests() - 1;
        let outcome = heard.map_or_else(ErrorKind::as_str, |_| "success");
        let counted = tts.readings.samples("tts_attempt_seconds", &[("outcome", outcome)]);
        let right =
            (heard, retries) == (quirk.heard, quirk.retries) && counted == raw.requests() as u64;
        wrong += usize::from(!right);
        let mark = if right { " " } else { "!" };
        let provider = quirk.provider.provider_name();
        println!("{mark} {provider:<11} {:<75} {heard:?} {outcome} {retries}", quirk.name);
    }
    assert_eq!(wrong, 0, "rows with a ! are not as expected");
}
