//! How much silence audio begins with.

use std::time::Duration;

use nanomp3::{Decoder, MAX_SAMPLES_PER_FRAME};

use super::{AudioFormat, Codec};

/// The smallest 16-bit sample that counts as audible: −60 dB of full scale.
const AUDIBLE: u16 = 33;

/// Longer silence is not measured, and no more audio than this is decoded.
const MAX_LEADING_SILENCE: Duration = Duration::from_secs(5);

/// What comes before the first audible sample. `None` if there is none in the first seconds, or
/// the codec can't be decoded here.
pub(super) fn leading(format: &AudioFormat, audio: &[u8]) -> Option<Duration> {
    let silence = match format.codec {
        Codec::Pcm | Codec::Wav => {
            let samples = audio.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
            after(first_audible(samples)?, format.sample_rate_hz)
        }
        Codec::Ulaw => {
            after(first_audible(audio.iter().copied().map(linear))?, format.sample_rate_hz)
        }
        Codec::Mp3 => leading_mp3(audio)?,
        Codec::Opus => return None,
    };
    (silence <= MAX_LEADING_SILENCE).then_some(silence)
}

fn first_audible(mut samples: impl Iterator<Item = i16>) -> Option<usize> {
    samples.position(|sample| sample.unsigned_abs() >= AUDIBLE)
}

fn after(samples: usize, rate_hz: u32) -> Duration {
    Duration::from_secs_f64(samples as f64 / f64::from(rate_hz))
}

/// A µ-law byte as a 16-bit sample (ITU-T G.711, table 2a).
fn linear(byte: u8) -> i16 {
    const BIAS: i16 = 0x84;
    let code = !byte;
    let (exponent, mantissa) = (code >> 4 & 7, i16::from(code & 0xf));
    let magnitude = (((mantissa << 3) + BIAS) << exponent) - BIAS;
    if code & 0x80 == 0 { magnitude } else { -magnitude }
}

/// As a decoder puts it out, with the delay that the encoder put in front.
fn leading_mp3(mut audio: &[u8]) -> Option<Duration> {
    let mut decoder = Decoder::new();
    let mut samples = [0i16; MAX_SAMPLES_PER_FRAME];
    let mut silence = Duration::ZERO;
    while silence <= MAX_LEADING_SILENCE {
        let (used, frame) = decoder.decode(audio, &mut samples);
        audio = audio.get(used..).filter(|_| used > 0)?;
        let Ok(frame) = frame else { continue };
        let channels = usize::from(frame.channels.num());
        let decoded = &samples[..frame.samples_produced * channels];
        if let Some(first) = first_audible(decoded.iter().copied()) {
            return Some(silence + after(first / channels, frame.sample_rate));
        }
        silence += after(frame.samples_produced, frame.sample_rate);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(name: &str) -> AudioFormat {
        name.parse().expect("format")
    }

    #[test]
    fn silence_of_bare_samples_ends_with_the_first_that_can_be_heard() {
        let mut pcm: Vec<u8> =
            [0i16, 32, -32, 0].repeat(2000).iter().flat_map(|s| s.to_le_bytes()).collect();
        assert_eq!(leading(&format("pcm_16000"), &pcm), None);
        pcm.extend((-33i16).to_le_bytes());
        assert_eq!(leading(&format("pcm_16000"), &pcm), Some(Duration::from_millis(500)));
        assert_eq!(leading(&format("pcm_8000"), &pcm), Some(Duration::from_secs(1)));
        assert_eq!(leading(&format("pcm_8000"), &pcm[16_000..]), Some(Duration::ZERO));
    }

    #[test]
    fn ulaw_is_decoded() {
        // G.711: the ends of the scale and both zeros.
        assert_eq!([0x00, 0x80, 0xff, 0x7f].map(linear), [-32124, 32124, 0, 0]);
        let mut ulaw = [0xff, 0x7f].repeat(400);
        ulaw.push(0x00);
        assert_eq!(leading(&format("ulaw_8000"), &ulaw), Some(Duration::from_millis(100)));
    }

    #[test]
    fn silence_without_end_is_no_wait_for_a_voice() {
        let mut pcm = vec![0; 16_000 * 2 * 5 + 2];
        pcm.extend(i16::MAX.to_le_bytes());
        assert_eq!(leading(&format("pcm_16000"), &pcm), None);
    }

    #[test]
    fn what_is_no_mp3_or_not_decoded_here_has_no_figure() {
        assert_eq!(leading(&format("mp3_44100_128"), b""), None);
        assert_eq!(leading(&format("mp3_44100_128"), &[7; 5000]), None);
        assert_eq!(leading(&format("opus_48000_64"), b"OggS"), None);
    }
}
