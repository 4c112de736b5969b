//! Puts the audio of several utterances together, so that whoever plays it hears one.
//!
//! Bare samples follow each other as they are. Each utterance of MP3 may begin with what belongs at the
//! beginning of a file: an ID3v2 tag, and a frame that holds no sound but its length (Xing, Info, VBRI),
//! which would be played as 26 ms of silence. Both are left out but for the first.

use bytes::{Bytes, BytesMut};

use super::frames::{HEADER_BYTES, mp3_bytes};
use super::{AudioFormat, Codec};

/// How much of a frame may come before the name that tells a frame without sound.
const INFO_WITHIN_BYTES: usize = 44;

/// Bytes of the head of an ID3v2 tag.
const TAG_HEAD_BYTES: usize = 10;

/// One stream of audio, made of utterances of one format.
pub struct JoinedAudio {
    format: AudioFormat,
    has_begun: bool,
    /// Bytes passed on so far.
    bytes: usize,
    head: Head,
}

/// Where in an utterance we are.
enum Head {
    /// So many bytes are to be left out before the next look; these came after.
    Within { skip_bytes: usize, held: BytesMut },
    /// All is sound from here on.
    Past,
}

impl JoinedAudio {
    /// A stream without audio yet.
    pub fn new(format: AudioFormat) -> Self {
        Self { format, has_begun: false, bytes: 0, head: Head::Past }
    }

    /// What its bytes mean.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// Whether an utterance of this format can go on in the stream. What is in a container can't: Ogg
    /// would begin a second file.
    pub fn takes(&self, format: AudioFormat) -> bool {
        self.format == format && format.codec != Codec::Opus
    }

    /// The next utterance begins. Returns what has to come before it.
    pub fn begin(&mut self) -> Bytes {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if is_first {
            return Bytes::new();
        }
        match self.format.codec {
            Codec::Mp3 => {
                self.head = Head::Within { skip_bytes: 0, held: BytesMut::new() };
                Bytes::new()
            }
            // Half a sample at the end of an utterance would make noise of all that follows.
            Codec::Pcm | Codec::Wav if self.bytes % 2 == 1 => self.count(Bytes::from_static(&[0])),
            _ => Bytes::new(),
        }
    }

    /// The next bytes of the utterance, as they go on; empty where they are left out or not yet decided.
    pub fn next(&mut self, chunk: Bytes) -> Bytes {
        let Head::Within { skip_bytes, held } = &mut self.head else { return self.count(chunk) };
        held.extend_from_slice(&chunk);
        loop {
            let skipped = (*skip_bytes).min(held.len());
            let _ = held.split_to(skipped);
            *skip_bytes -= skipped;
            if *skip_bytes > 0 {
                return Bytes::new();
            }
            match beginning(held) {
                Beginning::Skip(bytes) => *skip_bytes = bytes,
                Beginning::TooShort => return Bytes::new(),
                Beginning::Sound => return self.end(),
            }
        }
    }

    /// The utterance is over. Returns what was not decided.
    pub fn end(&mut self) -> Bytes {
        match std::mem::replace(&mut self.head, Head::Past) {
            Head::Within { held, .. } => self.count(held.freeze()),
            Head::Past => Bytes::new(),
        }
    }

    fn count(&mut self, chunk: Bytes) -> Bytes {
        self.bytes += chunk.len();
        chunk
    }
}

/// What some MP3 begins with.
enum Beginning {
    /// So many bytes without sound.
    Skip(usize),
    Sound,
    /// More of it tells.
    TooShort,
}

fn beginning(audio: &[u8]) -> Beginning {
    const TAG: &[u8] = b"ID3";
    if audio.len() < TAG_HEAD_BYTES {
        return Beginning::TooShort;
    }
    if audio.starts_with(TAG) {
        // Four times seven bits: https://id3.org/id3v2.4.0-structure §3.1.
        let size = audio[6..10].iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        return Beginning::Skip(TAG_HEAD_BYTES + size);
    }
    let header = audio.first_chunk::<HEADER_BYTES>();
    let Some(frame_bytes) = header.and_then(mp3_bytes) else { return Beginning::Sound };
    let Some(head) = audio.get(..INFO_WITHIN_BYTES) else { return Beginning::TooShort };
    let has_no_sound =
        head.windows(4).any(|name| [b"Xing", b"Info", b"VBRI"].iter().any(|n| *n == name));
    if has_no_sound { Beginning::Skip(frame_bytes) } else { Beginning::Sound }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An MP3 frame of 64 kbit/s at 44.1 kHz: 208 bytes.
    fn frame(fill: u8, name: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xff, 0xfb, 0x50, 0xc4];
        frame.resize(208, fill);
        frame[36..36 + name.len()].copy_from_slice(name);
        frame
    }

    /// An utterance as encoders write them: a tag, a frame without sound, and two frames with it.
    fn utterance(fill: u8, name: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut tag = b"ID3\x04\x00\x00\x00\x00\x01\x22".to_vec();
        tag.resize(10 + 0xa2, 0xff);
        let sound = [frame(fill, b""), frame(fill, b"")].concat();
        ([tag, frame(0, name), sound.clone()].concat(), sound)
    }

    fn joined(format: &str, utterances: &[&[u8]], chunk_bytes: usize) -> Vec<u8> {
        let mut stream = JoinedAudio::new(format.parse().expect("format"));
        let mut all = Vec::new();
        for utterance in utterances {
            all.extend(stream.begin());
            for chunk in utterance.chunks(chunk_bytes) {
                all.extend(stream.next(Bytes::copy_from_slice(chunk)));
            }
            all.extend(stream.end());
        }
        all
    }

    #[test]
    fn what_belongs_at_the_beginning_of_a_file_is_there_once() {
        for name in [&b"Xing"[..], b"Info", b"VBRI"] {
            let (first, _) = utterance(1, name);
            let (second, sound) = utterance(2, name);
            for chunk_bytes in [1, 7, 208, 10_000] {
                let all = joined("mp3_44100_64", &[&first, &second, &second], chunk_bytes);
                assert_eq!(all, [&first[..], &sound, &sound].concat(), "{chunk_bytes}");
            }
        }
    }

    #[test]
    fn sound_alone_is_passed_on_whatever_it_is() {
        let sound = [frame(7, b""), frame(8, b"")].concat();
        for chunk_bytes in [1, 50, 1000] {
            let twice = joined("mp3_44100_64", &[&sound, &sound], chunk_bytes);
            assert_eq!(twice, [&sound[..], &sound].concat());
            // Not even a frame, or none that we know.
            let all = joined(
                "mp3_44100_64",
                &[b"\xff\xfb", b"\xff\xfb\x50", b"no frame of any kind"],
                chunk_bytes,
            );
            assert_eq!(all, b"\xff\xfb\xff\xfb\x50no frame of any kind");
        }
    }

    #[test]
    fn samples_stay_whole() {
        assert_eq!(
            joined("pcm_16000", &[&[1, 2, 3], &[4, 5], &[6, 7]], 2),
            [1, 2, 3, 0, 4, 5, 6, 7]
        );
        assert_eq!(joined("ulaw_8000", &[&[1, 2, 3], &[4, 5]], 2), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn another_format_and_what_is_in_a_container_can_t_go_on() {
        let takes = |format: &str, next: &str| {
            JoinedAudio::new(format.parse().unwrap()).takes(next.parse().unwrap())
        };
        assert!(takes("mp3_44100_128", "mp3_44100_128") && takes("wav_24000", "wav_24000"));
        assert!(!takes("mp3_44100_128", "mp3_24000") && !takes("pcm_16000", "pcm_24000"));
        assert!(!takes("opus_48000", "opus_48000"));
    }
}
