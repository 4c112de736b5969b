//! What an answer really is, by its first bytes: servers of one protocol call the same thing by many
//! media types, and some have one format only, whatever they are asked for.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};

use super::{AudioFormat, Codec, TtsError, wav};
use crate::provider::{ErrorKind, ProviderName, call::Pieces};

/// So much of printable text is no audio: no container begins with it, and of bare samples it would be
/// eight of a quarter of full scale or more without a zero between them.
const TEXT_BYTES: usize = 16;

/// What a beginning says.
#[derive(Debug, PartialEq)]
enum Seen {
    /// Nothing yet.
    TooShort,
    /// Audio in this format, from this byte on.
    Audio(AudioFormat, usize),
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
    mut audio: Pieces<Bytes>,
) -> Result<(AudioFormat, Pieces<Bytes>), TtsError> {
    let mut head = BytesMut::new();
    let mut is_whole = false;
    loop {
        match look(asked, media_type, &head, is_whole) {
            Seen::TooShort => match audio.next().await {
                Some(piece) => head.extend_from_slice(&piece?),
                None => is_whole = true,
            },
            Seen::Audio(format, begins) => {
                let first = head.freeze().slice(begins..);
                let first = (!first.is_empty()).then_some(Ok(first));
                // What has ended is not asked again.
                let rest = if is_whole { stream::empty().boxed() } else { audio };
                return Ok((format, stream::iter(first).chain(rest).boxed()));
            }
            Seen::NotAudio(what) => {
                let error = TtsError::new(provider, ErrorKind::NotAudio);
                return Err(TtsError { cause: Some(format!("it is {what}")), ..error });
            }
        }
    }
}

/// What the `head` of an answer says, which is all of it or not.
fn look(asked: AudioFormat, media_type: &str, head: &[u8], is_whole: bool) -> Seen {
    // Whatever the bytes are, they can be µ-law.
    if asked.codec == Codec::Ulaw && !head.is_empty() {
        return Seen::Audio(asked, 0);
    }
    if wav::begins(head) {
        return match wav::header(head) {
            Ok(Some((sample_rate_hz, begins))) => {
                let codec = Codec::Pcm;
                Seen::Audio(AudioFormat { codec, sample_rate_hz, bit_rate_kbps: None }, begins)
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
    let found = match head {
        [b'O', b'g', b'g', b'S', ..] => Some(Codec::Opus),
        [b'I', b'D', b'3', ..] => Some(Codec::Mp3),
        // The first frame of layer 3, which two bytes of bare samples could be as well.
        [0xff, second, ..] if second & 0xe6 == 0xe2 && is_mpeg(media_type) => Some(Codec::Mp3),
        _ => None,
    };
    match (found, asked.codec) {
        (Some(codec), other) if codec != other => {
            Seen::Audio(AudioFormat { codec, bit_rate_kbps: None, ..asked }, 0)
        }
        (_, Codec::Wav) => Seen::Audio(AudioFormat { codec: Codec::Pcm, ..asked }, 0),
        _ => Seen::Audio(asked, 0),
    }
}

fn is_printable(byte: &u8) -> bool {
    byte.is_ascii_graphic() || byte.is_ascii_whitespace()
}

fn is_mpeg(media_type: &str) -> bool {
    matches!(media_type, "audio/mpeg" | "audio/mp3")
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

    #[test]
    fn another_container_than_was_asked_for_is_told() {
        let frame = [0xff, 0xf3, 0x44, 0xc4, 0, 0];
        assert_eq!(is("pcm_24000", "audio/mpeg", &frame), "mp3_24000");
        assert_eq!(is("pcm_24000", "audio/pcm", &frame), "pcm_24000", "these may be samples");
        assert_eq!(is("opus_48000_64", "audio/mpeg", b"ID3\x04\0\0\0\0\0\0"), "mp3_48000");
        assert_eq!(is("mp3_24000_64", "audio/mpeg", b"OggS\0\x02\0\0"), "opus_24000");
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
