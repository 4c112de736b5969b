//! What an answer really is, by its first bytes: servers of one protocol call the same thing by many
//! media types, and some have one format only, whatever they are asked for.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::{
    AudioFormat, Codec, TtsError,
    frames::{self, Frames},
    wav,
};
use crate::provider::{ErrorKind, ProviderName, call::ChunkStream, exchange};

/// So much of printable text is no audio: no container begins with it, and of bare samples it would be
/// eight of a quarter of full scale or more without a zero between them.
const TEXT_BYTES: usize = 16;

/// What a beginning says.
#[derive(Debug, PartialEq)]
enum Seen {
    /// Nothing yet.
    TooShort,
    /// Audio in this format.
    Audio(AudioFormat),
    /// Samples in this format, as the header of a file describes them.
    Samples(AudioFormat, wav::Samples),
    /// What it is instead.
    NotAudio(&'static str),
}

/// Audio that was asked for in one format and came under this media type, and the format that it is
/// in. Waits until the beginning tells, which all but a few bytes do at once.
///
/// # Errors
/// [`ErrorKind::NotAudio`], and whatever ends `audio` before that.
pub(super) async fn opened(
    provider: &ProviderName,
    asked: AudioFormat,
    media_type: &str,
    mut audio: ChunkStream<Bytes>,
) -> Result<(AudioFormat, ChunkStream<Bytes>), TtsError> {
    let mut head = BytesMut::new();
    let mut is_whole = false;
    loop {
        match look(asked, media_type, &head, is_whole) {
            Seen::TooShort => match audio.next().await {
                Some(piece) => head.extend_from_slice(&piece?),
                None => is_whole = true,
            },
            Seen::Audio(format) => return Ok((format, behind(head.freeze(), is_whole, audio))),
            Seen::Samples(format, samples) => {
                let audio = behind(head.freeze().slice(samples.at..), is_whole, audio);
                let audio = match samples.bytes {
                    Some(bytes) => up_to(bytes, audio),
                    None => audio,
                };
                return Ok((format, audio));
            }
            Seen::NotAudio(what) => {
                let error = TtsError::new(provider, ErrorKind::NotAudio);
                return Err(TtsError { cause: Some(format!("it is {what}")), ..error });
            }
        }
    }
}

/// What was read of some audio, and the rest of it.
fn behind(head: Bytes, is_whole: bool, rest: ChunkStream<Bytes>) -> ChunkStream<Bytes> {
    let head = (!head.is_empty()).then_some(Ok(head));
    // What has ended is not asked again.
    let rest = if is_whole { stream::empty().boxed() } else { rest };
    stream::iter(head).chain(rest).boxed()
}

/// Its first bytes alone. What comes behind them is read for a while, so that the connection can carry
/// the next call.
fn up_to(bytes: usize, audio: ChunkStream<Bytes>) -> ChunkStream<Bytes> {
    stream::unfold((audio, bytes), |(mut audio, left)| async move {
        if left == 0 {
            let reading_on = async { while audio.next().await.is_some() {} };
            let _gave_up = timeout(exchange::DRAIN_TIMEOUT, reading_on).await;
            return None;
        }
        let mut piece = audio.next().await?;
        let mut left = left;
        if let Ok(samples) = &mut piece {
            samples.truncate(left);
            left -= samples.len();
        }
        Some((piece, (audio, left)))
    })
    .boxed()
}

/// What the `head` of an answer says, which is all of it or not.
fn look(asked: AudioFormat, media_type: &str, head: &[u8], is_whole: bool) -> Seen {
    // Whatever the bytes are, they can be µ-law.
    if asked.codec == Codec::Ulaw && !head.is_empty() {
        return Seen::Audio(asked);
    }
    if wav::begins(head) {
        return match wav::header(head) {
            Ok(Some(samples)) => {
                let (codec, sample_rate_hz) = (Codec::Pcm, samples.rate_hz);
                Seen::Samples(AudioFormat { codec, sample_rate_hz, bit_rate_kbps: None }, samples)
            }
            Ok(None) if is_whole => Seen::NotAudio("a WAV file that ends before its samples"),
            Ok(None) => Seen::TooShort,
            Err(what) => Seen::NotAudio(what),
        };
    }
    let start = &head[..head.len().min(TEXT_BYTES)];
    // Two bytes are the least that tell.
    if start.len() < 2 && !is_whole {
        return Seen::TooShort;
    }
    if !start.is_empty() && start.iter().all(is_printable) {
        let is_enough = is_whole || start.len() == TEXT_BYTES;
        return if is_enough { Seen::NotAudio("text") } else { Seen::TooShort };
    }
    // One frame of MP3 could be bare samples as well, where nobody speaks of MP3.
    let is_expected = asked.codec == Codec::Mp3 || is_mpeg(media_type);
    let found = match head {
        [b'O', b'g', b'g', b'S', ..] => Some(Codec::Opus),
        [b'I', b'D', b'3', ..] => Some(Codec::Mp3),
        [b'f', b'L', b'a', b'C', ..] => return Seen::NotAudio("FLAC, which nobody asked for"),
        head if frames::may_be_mp3(head) && is_expected => Some(Codec::Mp3),
        head => match frames::begin(head) {
            Frames::Mp3 => Some(Codec::Mp3),
            Frames::Aac => return Seen::NotAudio("AAC, which nobody asked for"),
            Frames::TooShort if !is_whole => return Seen::TooShort,
            Frames::TooShort | Frames::None => None,
        },
    };
    match (found, asked.codec) {
        (Some(codec), other) if codec != other => {
            Seen::Audio(AudioFormat { codec, bit_rate_kbps: None, ..asked })
        }
        (_, Codec::Wav) => Seen::Audio(AudioFormat { codec: Codec::Pcm, ..asked }),
        _ => Seen::Audio(asked),
    }
}

fn is_printable(byte: &u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace()
}

fn is_mpeg(media_type: &str) -> bool {
    matches!(
        media_type,
        "audio/mpeg" | "audio/mp3" | "audio/x-mpeg" | "audio/x-mp3" | "audio/mpeg3"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(name: &str) -> AudioFormat {
        name.parse().expect("a format")
    }

    /// The format that audio turns out to be in, and the audio, whatever pieces it comes in.
    #[track_caller]
    fn opens(asked: &str, media_type: &str, body: &[u8]) -> (String, Vec<u8>) {
        let mut outcomes: Vec<_> = [1, 2, 7, 4096]
            .map(|length| {
                let pieces: Vec<_> =
                    body.chunks(length).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
                futures_util::FutureExt::now_or_never(async {
                    let pieces = stream::iter(pieces).boxed();
                    match opened(&"openai".into(), format(asked), media_type, pieces).await {
                        Ok((format, audio)) => {
                            let audio: Vec<_> =
                                audio.map(|piece| piece.expect("audio")).collect().await;
                            (format.to_string(), audio.concat())
                        }
                        Err(error) => (error.to_string(), Vec::new()),
                    }
                })
                .expect("nothing waits")
            })
            .into();
        outcomes.dedup();
        assert_eq!(outcomes.len(), 1, "it depends on the pieces: {outcomes:?}");
        outcomes.remove(0)
    }

    fn is(asked: &str, media_type: &str, body: &[u8]) -> String {
        let (format, audio) = opens(asked, media_type, body);
        assert_eq!(audio, body, "{format}");
        format
    }

    #[test]
    fn what_was_asked_for_is_handed_on_whatever_it_is_called() {
        for asked in ["mp3_24000_64", "opus_48000", "pcm_16000", "ulaw_8000"] {
            for body in [&[7, 8, 9][..], &[0; 100], &[0xff, 0xfb, 0x90, 0x64, 0, 0], b""] {
                for media_type in ["", "application/octet-stream", "audio/x-custom"] {
                    assert_eq!(is(asked, media_type, body), asked);
                }
            }
        }
        assert_eq!(is("ulaw_8000", "audio/basic", b"~~~~~~~~~~~~~~~~~~~~"), "ulaw_8000");
        assert_eq!(is("wav_24000", "audio/pcm", &[1; 50]), "pcm_24000", "without its header");
    }

    #[test]
    fn a_wav_header_is_taken_off_and_its_rate_holds() {
        let file = [&wav::tests::header(1, 1, 22_050, 16)[..], &[5; 40]].concat();
        for asked in ["mp3_24000_64", "pcm_24000", "wav_24000"] {
            assert_eq!(opens(asked, "audio/mpeg", &file), ("pcm_22050".to_owned(), vec![5; 40]));
        }
        let (error, _) = opens("pcm_24000", "audio/wav", &file[..30]);
        assert!(error.contains("ends before its samples"), "{error}");
        let (format, audio) = opens("pcm_24000", "audio/wav", &file[..file.len() - 40]);
        assert_eq!((format.as_str(), audio.len()), ("pcm_22050", 0));
    }

    #[tokio::test]
    async fn what_is_behind_the_samples_is_not_played() {
        let mut file = wav::tests::header(1, 1, 22_050, 16);
        file.splice(40.., 40_u32.to_le_bytes());
        let rest = [&[5; 40][..], b"LIST\x04\0\0\0INFO", b"ID3 "].concat();
        let file = [file, rest].concat();
        assert_eq!(opens("wav_24000", "audio/wav", &file), ("pcm_22050".to_owned(), vec![5; 40]));
        let short = &file[..60];
        assert_eq!(opens("wav_24000", "audio/wav", short).1, [5; 16], "less than was told");
    }

    #[test]
    fn another_container_than_was_asked_for_is_told() {
        let frame = [0xff, 0xf3, 0x44, 0xc4, 0, 0];
        assert_eq!(is("pcm_24000", "audio/mpeg", &frame), "mp3_24000");
        assert_eq!(is("pcm_24000", "audio/pcm", &frame), "pcm_24000", "these may be samples");
        assert_eq!(is("opus_48000_64", "audio/mpeg", b"ID3\x04\0\0\0\0\0\0"), "mp3_48000");
        assert_eq!(is("mp3_24000_64", "audio/mpeg", b"OggS\0\x02\0\0"), "opus_24000");
    }

    #[test]
    fn two_frames_are_mp3_whatever_they_are_called() {
        let mut frame = vec![0xff, 0xf3, 0x84, 0xc4];
        frame.resize(192, 0);
        for media_type in ["", "application/octet-stream", "audio/x-mpeg", "audio/pcm"] {
            for asked in ["pcm_24000", "wav_24000"] {
                assert_eq!(is(asked, media_type, &frame.repeat(2)), "mp3_24000", "{media_type}");
            }
        }
        assert_eq!(is("pcm_24000", "", &frame), "pcm_24000", "one may be samples");
    }

    #[test]
    fn containers_that_nobody_asked_for_are_refused_by_their_names() {
        let mut aac = vec![0xff, 0xf1, 0x50, 0x80, 0x0c, 0x9f];
        aac.resize(100, 7);
        for (body, name) in [(aac.repeat(2), "AAC"), (b"fLaC\0\0\0\x22".to_vec(), "FLAC")] {
            for (asked, media_type) in [("pcm_24000", ""), ("mp3_24000", "audio/mpeg")] {
                let (error, _) = opens(asked, media_type, &body);
                assert!(error.contains("not audio") && error.contains(name), "{error}");
            }
        }
    }

    #[test]
    fn text_is_no_audio_whatever_it_is_called() {
        for body in
            ["{\"error\":{\"message\":\"busy\"}}", "<!DOCTYPE html><html>", "oops", "[]", " \n"]
        {
            for asked in ["mp3_24000", "pcm_24000"] {
                let (error, _) = opens(asked, "audio/mpeg", body.as_bytes());
                assert!(error.contains("not audio") && error.ends_with("it is text"), "{error}");
            }
        }
    }
}
