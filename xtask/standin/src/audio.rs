//! Audio that plays: the output formats, and how long a text is spoken.

mod mp3;
mod voice;

use std::sync::OnceLock;

use bytes::Bytes;

/// Characters spoken in a second.
pub(crate) const CHARACTERS_PER_SECOND: f64 = 15.0;

/// PCM sample rates on offer.
const PCM_RATES: [u32; 7] = [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000];

/// An output format by its `output_format` name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Signed 16 bit little endian, mono; the index of its rate.
    Pcm(usize),
    /// The index of its clip.
    Mp3(usize),
}

impl Format {
    pub(crate) const DEFAULT: &'static str = "mp3_44100_128";

    pub(crate) fn from_name(name: &str) -> Option<Format> {
        if let Some(rate) = name.strip_prefix("pcm_") {
            let rate: u32 = rate.parse().ok()?;
            return PCM_RATES.iter().position(|have| *have == rate).map(Format::Pcm);
        }
        mp3::CLIPS.iter().position(|clip| clip.name == name).map(Format::Mp3)
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Format::Pcm(_) => "audio/pcm",
            Format::Mp3(_) => "audio/mpeg",
        }
    }
}

/// Some audio.
pub(crate) struct Speech {
    pub(crate) bytes: Bytes,
    pub(crate) seconds: f64,
}

impl Speech {
    /// The same speech after so much silence. MP3 is left as it is: silence would have to be
    /// encoded.
    pub(crate) fn after_silence(self, format: Format, silence_ms: u32) -> Speech {
        let Format::Pcm(index) = format else { return self };
        let samples = PCM_RATES[index] as usize * silence_ms as usize / 1000;
        let mut bytes = vec![0; samples * 2];
        bytes.extend_from_slice(&self.bytes);
        let silence_seconds = samples as f64 / f64::from(PCM_RATES[index]);
        Speech { bytes: bytes.into(), seconds: silence_seconds + self.seconds }
    }
}

impl Speech {
    /// The same samples as a WAV file whose length is not known when it begins.
    pub(crate) fn into_streamed_wav(self, rate_hz: u32) -> Speech {
        let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        bytes.extend_from_slice(&rate_hz.to_le_bytes());
        bytes.extend_from_slice(&(2 * rate_hz).to_le_bytes());
        bytes.extend_from_slice(b"\x02\0\x10\0data\xff\xff\xff\xff");
        bytes.extend_from_slice(&self.bytes);
        Speech { bytes: bytes.into(), seconds: self.seconds }
    }
}

/// Makes speech of any length by repeating a short babble; keeps the babble of the rates in use.
#[derive(Default)]
pub(crate) struct Audio {
    babble: [OnceLock<Vec<u8>>; PCM_RATES.len()],
}

impl Audio {
    /// Speech for a text of so many characters: [`CHARACTERS_PER_SECOND`], in whole MP3 frames.
    pub(crate) fn speech(&self, format: Format, characters: usize) -> Speech {
        let seconds = characters as f64 / CHARACTERS_PER_SECOND;
        match format {
            Format::Pcm(index) => {
                let rate = PCM_RATES[index];
                let babble = self.babble[index].get_or_init(|| voice::babble(rate));
                let samples = (seconds * f64::from(rate)).round().max(1.0);
                let length = samples as usize * 2;
                let mut bytes = babble.repeat(length.div_ceil(babble.len()));
                bytes.truncate(length);
                Speech { bytes: bytes.into(), seconds: samples / f64::from(rate) }
            }
            Format::Mp3(index) => mp3::CLIPS[index].repeated(seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_of_the_provider_that_can_play_is_there() {
        for rate in PCM_RATES {
            assert!(Format::from_name(&format!("pcm_{rate}")).is_some());
        }
        for name in [
            "mp3_22050_32",
            "mp3_24000_48",
            "mp3_44100_32",
            "mp3_44100_64",
            "mp3_44100_96",
            "mp3_44100_128",
            "mp3_44100_192",
        ] {
            assert!(Format::from_name(name).is_some(), "{name}");
        }
        for name in ["pcm_1", "pcm_", "opus_48000_32", "ulaw_8000", ""] {
            assert_eq!(Format::from_name(name), None);
        }
        assert!(Format::from_name(Format::DEFAULT).is_some());
    }

    #[test]
    fn silence_comes_before_speech() {
        let format = Format::from_name("pcm_16000").unwrap();
        let audio = Audio::default();
        let (plain, late) = (audio.speech(format, 15), audio.speech(format, 15));
        let late = late.after_silence(format, 250);
        assert_eq!(late.seconds, 1.25);
        assert_eq!(late.bytes[..8000], [0; 8000]);
        assert_eq!(late.bytes[8000..], plain.bytes);
    }

    #[test]
    fn pcm_has_exactly_the_length_of_the_text() {
        let audio = Audio::default();
        let speech = audio.speech(Format::from_name("pcm_16000").unwrap(), 150);
        assert_eq!(speech.bytes.len(), 10 * 16_000 * 2);
        assert_eq!(speech.seconds, 10.0);
    }
}
