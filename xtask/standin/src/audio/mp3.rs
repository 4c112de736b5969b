//! MP3 from clips of the babble, one per format, repeated frame by frame.
//!
//! Each clip was encoded without a bit reservoir (`clips/make.sh`), so that every frame decodes
//! on its own and any sequence of whole frames plays. Encoding at run time would spend processor
//! time between the request and the first byte, which is what is being measured.

use crate::audio::Speech;

/// The babble in one format: frames of MPEG layer III and nothing else.
pub(crate) struct Clip {
    pub(crate) name: &'static str,
    bytes: &'static [u8],
}

macro_rules! clip {
    ($name:literal) => {
        Clip { name: $name, bytes: include_bytes!(concat!("clips/", $name, ".mp3")) }
    };
}

pub(crate) static CLIPS: [Clip; 7] = [
    clip!("mp3_22050_32"),
    clip!("mp3_24000_48"),
    clip!("mp3_44100_32"),
    clip!("mp3_44100_64"),
    clip!("mp3_44100_96"),
    clip!("mp3_44100_128"),
    clip!("mp3_44100_192"),
];

impl Clip {
    /// So many seconds of audio, rounded up to whole frames.
    pub(crate) fn repeated(&self, seconds: f64) -> Speech {
        let frames: Vec<(&[u8], Frame)> = self.frames().collect();
        let (mut bytes, mut covered) = (Vec::new(), 0.0);
        for (frame_bytes, frame) in frames.into_iter().cycle() {
            if covered >= seconds {
                break;
            }
            bytes.extend_from_slice(frame_bytes);
            covered += frame.seconds();
        }
        Speech { bytes: bytes.into(), seconds: covered }
    }

    fn frames(&self) -> impl Iterator<Item = (&'static [u8], Frame)> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let frame = Frame::parse(rest)?;
            let bytes;
            (bytes, rest) = rest.split_at(frame.bytes);
            Some((bytes, frame))
        })
    }
}

/// A whole frame at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Frame {
    bytes: usize,
    samples: u32,
    rate: u32,
}

impl Frame {
    /// Reads a header of MPEG-1 or MPEG-2 layer III (ISO 11172-3 §2.4.1.3, 13818-3 §2.4.1.3).
    fn parse(bytes: &[u8]) -> Option<Frame> {
        const MPEG1_KBPS: [u32; 15] =
            [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
        const MPEG2_KBPS: [u32; 15] =
            [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
        const MPEG1_RATES: [u32; 3] = [44_100, 48_000, 32_000];
        let header = u32::from_be_bytes(*bytes.first_chunk()?);
        // Eleven bits of synchronisation, the version (3 or 2), the layer (1 stands for III).
        let mpeg1 = match (header >> 21, header >> 19 & 3, header >> 17 & 3) {
            (0x7ff, 3, 1) => true,
            (0x7ff, 2, 1) => false,
            _ => return None,
        };
        let bitrate = (header >> 12 & 0xf) as usize;
        let kbps = *if mpeg1 { &MPEG1_KBPS } else { &MPEG2_KBPS }.get(bitrate)?;
        let rate = MPEG1_RATES.get((header >> 10 & 3) as usize)? / if mpeg1 { 1 } else { 2 };
        let samples = if mpeg1 { 1152 } else { 576 };
        let padding = header >> 9 & 1;
        let length = (samples / 8 * kbps * 1000 / rate + padding) as usize;
        (kbps > 0 && length <= bytes.len()).then_some(Frame { bytes: length, samples, rate })
    }

    fn seconds(self) -> f64 {
        f64::from(self.samples) / f64::from(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_are_whole_frames_of_the_named_rate_without_a_reservoir() {
        for clip in &CLIPS {
            let named: Vec<u32> =
                clip.name.split('_').skip(1).map(|n| n.parse().unwrap()).collect();
            let mut covered = 0;
            let mut seconds = 0.0;
            for (bytes, frame) in clip.frames() {
                assert_eq!(frame.rate, named[0], "{}", clip.name);
                // main_data_begin is 9 bits in MPEG-1 and 8 in MPEG-2, behind the header.
                let reservoir = match frame.samples {
                    1152 => u16::from_be_bytes([bytes[4], bytes[5]]) >> 7,
                    _ => u16::from(bytes[4]),
                };
                assert_eq!(reservoir, 0, "{}: a frame needs the one before", clip.name);
                seconds += frame.seconds();
                covered += bytes.len();
            }
            assert_eq!(covered, clip.bytes.len(), "{}: more than frames", clip.name);
            assert!((2.4..2.6).contains(&seconds), "{}: {seconds} s", clip.name);
            let kbps = clip.bytes.len() as f64 * 8.0 / 1000.0 / seconds;
            assert!((kbps - f64::from(named[1])).abs() < 1.0, "{}: {kbps}", clip.name);
        }
    }

    #[test]
    fn repetition_goes_on_past_the_end_of_the_clip() {
        for clip in &CLIPS {
            let speech = clip.repeated(6.0);
            assert!((6.0..6.06).contains(&speech.seconds));
            assert!(speech.bytes.starts_with(clip.bytes));
            assert!(speech.bytes[clip.bytes.len()..].starts_with(clip.bytes));
        }
    }
}
