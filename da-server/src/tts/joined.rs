//! Puts the MP3 of several utterances together, so that whoever plays it hears one.
//!
//! Each may begin with what belongs at the beginning of a file: an ID3v2 tag, and a frame that holds no sound
//! but its length (Xing, Info, VBRI), which would be played as silence and is wrong for all of them together.
//! Both are left out.

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
    /// A stream that begins with an utterance of this format.
    pub fn new(format: AudioFormat) -> Self {
        Self { format, head: Head::of(format) }
    }

    /// What its bytes mean.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// Whether an utterance of this format goes on in the stream, and begins there now. MP3 alone does: Ogg
    /// would begin a second file, and browsers play no bare samples before the end of their stream.
    pub fn goes_on_with(&mut self, format: AudioFormat) -> bool {
        let goes_on = self.format == format && format.codec == Codec::Mp3;
        if goes_on {
            self.head = Head::of(format);
        }
        goes_on
    }

    /// The next bytes of the utterance, as they go on; empty where they are left out or not yet decided.
    pub fn next(&mut self, chunk: Bytes) -> Bytes {
        let Head::Within { skip_bytes, held } = &mut self.head else { return chunk };
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
            Head::Within { held, .. } => held.freeze(),
            Head::Past => Bytes::new(),
        }
    }
}

impl Head {
    fn of(format: AudioFormat) -> Self {
        match format.codec {
            Codec::Mp3 => Self::Within { skip_bytes: 0, held: BytesMut::new() },
            _ => Self::Past,
        }
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
        // Flags, then four times seven bits: https://id3.org/id3v2.4.0-structure §3.1 and §3.4.
        let has_footer = audio[5] & 0x10 != 0;
        let size = audio[6..10].iter().fold(0, |size, byte| size << 7 | usize::from(byte & 0x7f));
        return Beginning::Skip(TAG_HEAD_BYTES * (1 + usize::from(has_footer)) + size);
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
    fn frame(fill: u8, at: usize, name: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xff, 0xfb, 0x50, 0xc4];
        frame.resize(208, fill);
        frame[at..at + name.len()].copy_from_slice(name);
        frame
    }

    /// An utterance as encoders write them: a tag, a frame without sound, and two frames with it.
    fn utterance(fill: u8, at: usize, name: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut tag = b"ID3\x04\x00\x00\x00\x00\x01\x22".to_vec();
        tag.resize(10 + 0xa2, 0xff);
        let sound = [frame(fill, 36, b""), frame(fill, 36, b"")].concat();
        ([tag, frame(0, at, name), sound.clone()].concat(), sound)
    }

    fn joined(format: &str, utterances: &[&[u8]], chunk_bytes: usize) -> Vec<u8> {
        let format = format.parse().expect("format");
        let mut stream = JoinedAudio::new(format);
        let mut all = Vec::new();
        for (number, utterance) in utterances.iter().enumerate() {
            assert!(number == 0 || stream.goes_on_with(format));
            for chunk in utterance.chunks(chunk_bytes) {
                all.extend(stream.next(Bytes::copy_from_slice(chunk)));
            }
            all.extend(stream.end());
        }
        all
    }

    #[test]
    fn what_belongs_at_the_beginning_of_a_file_is_left_out() {
        // Where LAME writes it in MPEG 2 of one channel, in MPEG 1 of one channel, and of two.
        for (at, name) in [(13, &b"Info"[..]), (21, b"Info"), (36, b"Xing"), (36, b"VBRI")] {
            let (first, first_sound) = utterance(1, at, name);
            let (second, second_sound) = utterance(2, at, name);
            for chunk_bytes in [1, 7, 208, 10_000] {
                let all = joined("mp3_44100_64", &[&first, &second, &second], chunk_bytes);
                let sound = [&first_sound[..], &second_sound, &second_sound].concat();
                assert_eq!(all, sound, "{chunk_bytes}");
            }
        }
    }

    #[test]
    fn a_tag_may_have_a_footer() {
        let mut tagged = b"ID3\x04\x00\x10\x00\x00\x00\x04....3DI.......".to_vec();
        assert_eq!(tagged.len(), 24);
        tagged.extend(frame(1, 36, b""));
        assert_eq!(joined("mp3_44100_64", &[&tagged], 5), frame(1, 36, b""));
    }

    #[test]
    fn sound_alone_is_passed_on_whatever_it_is() {
        let sound = [frame(7, 36, b""), frame(8, 36, b"")].concat();
        for chunk_bytes in [1, 50, 1000] {
            let twice = joined("mp3_44100_64", &[&sound, &sound], chunk_bytes);
            assert_eq!(twice, [&sound[..], &sound].concat());
            // Not even a frame, or none that we know.
            let odd: [&[u8]; 3] = [b"\xff\xfb", b"\xff\xfb\x50", b"no frame of any kind"];
            assert_eq!(joined("mp3_44100_64", &odd, chunk_bytes), odd.concat());
            assert_eq!(joined("pcm_16000", &[b"ID3 or samples"], chunk_bytes), b"ID3 or samples");
        }
    }

    #[test]
    fn only_mp3_of_one_format_goes_on() {
        let goes_on = |format: &str, next: &str| {
            JoinedAudio::new(format.parse().unwrap()).goes_on_with(next.parse().unwrap())
        };
        assert!(goes_on("mp3_44100_128", "mp3_44100_128"));
        assert!(!goes_on("mp3_44100_128", "mp3_24000") && !goes_on("pcm_16000", "pcm_16000"));
        assert!(!goes_on("opus_48000", "opus_48000"));
    }
}
