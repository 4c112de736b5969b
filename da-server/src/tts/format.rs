//! Audio formats by the names that speech providers give them: `codec_rate` or
//! `codec_rate_kbps`.

use std::{fmt, str::FromStr, time::Duration};

use crate::provider::ProviderSetupError;

/// How samples are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// MPEG layer 3; plays in every browser.
    Mp3,
    /// Signed 16-bit little-endian samples, one channel, no header.
    Pcm,
    /// µ-law, one byte per sample, no header; telephony.
    Ulaw,
    /// Opus in an Ogg container.
    Opus,
    /// The samples of [`Codec::Pcm`] behind a header that says so, which is taken off: what is
    /// played is PCM.
    Wav,
}

/// An audio format, as `mp3_44100_128`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioFormat {
    /// How samples are coded.
    pub codec: Codec,
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// Thousand bits per second, where the name says so.
    pub bit_rate_kbps: Option<u32>,
}

impl AudioFormat {
    /// The media type for whoever plays it, with the rate where the audio does not carry it.
    #[must_use]
    pub fn mime(&self) -> String {
        let rate = self.sample_rate_hz;
        match self.codec {
            Codec::Mp3 => "audio/mpeg".to_owned(),
            Codec::Pcm | Codec::Wav => format!("audio/pcm;rate={rate};channels=1"),
            Codec::Ulaw => format!("audio/basic;rate={rate};channels=1"),
            Codec::Opus => "audio/ogg;codecs=opus".to_owned(),
        }
    }

    /// How long so many bytes play. Exact for bare samples; MP3 by the constant bit rate that its
    /// name asks for, so to a frame (26 ms). `None` where bytes don't tell: Opus varies its rate.
    #[must_use]
    pub fn duration(&self, bytes: usize) -> Option<Duration> {
        let bytes_per_second = match self.codec {
            Codec::Pcm | Codec::Wav => 2.0 * f64::from(self.sample_rate_hz),
            Codec::Ulaw => f64::from(self.sample_rate_hz),
            Codec::Mp3 => self.bit_rate_kbps.map(|kbps| f64::from(kbps) * 125.0)?,
            Codec::Opus => return None,
        };
        Duration::try_from_secs_f64(bytes as f64 / bytes_per_second).ok()
    }
}

impl FromStr for AudioFormat {
    type Err = ProviderSetupError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        parse(name).ok_or_else(|| ProviderSetupError::OutputFormat { format: name.to_owned() })
    }
}

impl fmt::Display for AudioFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codec = match self.codec {
            Codec::Mp3 => "mp3",
            Codec::Pcm => "pcm",
            Codec::Ulaw => "ulaw",
            Codec::Opus => "opus",
            Codec::Wav => "wav",
        };
        write!(f, "{codec}_{}", self.sample_rate_hz)?;
        match self.bit_rate_kbps {
            Some(kbps) => write!(f, "_{kbps}"),
            None => Ok(()),
        }
    }
}

fn parse(name: &str) -> Option<AudioFormat> {
    let mut parts = name.split('_');
    let codec = match parts.next()? {
        "mp3" => Codec::Mp3,
        "pcm" => Codec::Pcm,
        "ulaw" => Codec::Ulaw,
        "opus" => Codec::Opus,
        "wav" => Codec::Wav,
        _ => return None,
    };
    let sample_rate_hz = parts.next()?.parse().ok().filter(|rate| *rate > 0)?;
    let bit_rate_kbps = match parts.next() {
        Some(kbps) => Some(kbps.parse().ok()?),
        None => None,
    };
    parts.next().is_none().then_some(AudioFormat { codec, sample_rate_hz, bit_rate_kbps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_round_trip() {
        for name in ["mp3_44100_128", "pcm_16000", "ulaw_8000", "opus_48000_64", "wav_24000"] {
            assert_eq!(name.parse::<AudioFormat>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn unknown_names_are_refused() {
        for name in ["", "mp3", "flac_44100", "pcm_fast", "pcm_0", "mp3_44100_128_2", "mp3_44100_"]
        {
            assert!(name.parse::<AudioFormat>().is_err(), "{name}");
        }
    }

    #[test]
    fn bytes_tell_how_long_they_play_where_the_rate_is_constant() {
        for (name, bytes, ms) in [
            ("pcm_16000", 32_000, Some(1000)),
            ("ulaw_8000", 4_000, Some(500)),
            ("mp3_44100_128", 16_000, Some(1000)),
            ("mp3_44100", 16_000, None),
            ("mp3_44100_0", 16_000, None),
            ("opus_48000_64", 8_000, None),
        ] {
            let duration = name.parse::<AudioFormat>().unwrap().duration(bytes);
            assert_eq!(duration, ms.map(Duration::from_millis), "{name}");
        }
    }

    #[test]
    fn bare_samples_carry_their_rate_in_the_media_type() {
        let pcm: AudioFormat = "pcm_16000".parse().unwrap();
        assert_eq!(pcm.mime(), "audio/pcm;rate=16000;channels=1");
        let mp3: AudioFormat = "mp3_44100_128".parse().unwrap();
        assert_eq!(mp3.mime(), "audio/mpeg");
    }
}
