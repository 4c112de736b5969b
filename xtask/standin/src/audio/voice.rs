//! A babbling voice: pulses of the glottis through two resonators, a vowel at a time.

use std::f64::consts::TAU;

/// First and second formant of a vowel in Hz, and where the pitch goes meanwhile, in Hz.
struct Syllable {
    formants: [f64; 2],
    pitch: f64,
}

const fn syllable(first: f64, second: f64, pitch: f64) -> Option<Syllable> {
    let formants = [first, second];
    Some(Syllable { formants, pitch })
}

/// Three words with a pause after each; the last one falls like the end of a sentence.
const BABBLE: [Option<Syllable>; 12] = [
    syllable(730.0, 1090.0, 135.0),
    syllable(270.0, 2290.0, 150.0),
    syllable(530.0, 1840.0, 142.0),
    None,
    syllable(300.0, 870.0, 138.0),
    syllable(660.0, 1720.0, 160.0),
    syllable(570.0, 840.0, 145.0),
    None,
    syllable(390.0, 1990.0, 150.0),
    syllable(730.0, 1090.0, 128.0),
    syllable(440.0, 1020.0, 105.0),
    None,
];
const SYLLABLE_SECONDS: f64 = 0.2;
/// How far the loudest sample is from zero.
const PEAK: f64 = 0.6 * i16::MAX as f64;

/// One sentence, 2.4 s of it, ending in silence so that it can be repeated; little endian.
pub(crate) fn babble(rate: u32) -> Vec<u8> {
    let samples = wave(f64::from(rate));
    let loudest = samples.iter().fold(f64::MIN_POSITIVE, |peak, sample| peak.max(sample.abs()));
    samples.iter().flat_map(|sample| ((sample / loudest * PEAK) as i16).to_le_bytes()).collect()
}

fn wave(rate: f64) -> Vec<f64> {
    let per_syllable = (SYLLABLE_SECONDS * rate) as usize;
    let mut samples = Vec::with_capacity(BABBLE.len() * per_syllable);
    let mut phase = 0.0;
    for syllable in &BABBLE {
        let Some(Syllable { formants, pitch }) = syllable else {
            samples.resize(samples.len() + per_syllable, 0.0);
            continue;
        };
        let mut resonators = formants.map(|frequency| Resonator::new(frequency, rate));
        for index in 0..per_syllable {
            let progress = index as f64 / per_syllable as f64;
            phase += pitch * (1.03 - 0.06 * progress) / rate;
            let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
            phase = phase.fract();
            let [first, second] = &mut resonators;
            let voiced = first.next(pulse) + 0.5 * second.next(pulse);
            // Swells and fades, so that neither syllables nor repetitions click.
            samples.push(voiced * (progress * TAU / 2.0).sin());
        }
    }
    samples
}

/// A two-pole filter that rings at one frequency.
struct Resonator {
    feedback: [f64; 2],
    gain: f64,
    past: [f64; 2],
}

impl Resonator {
    const BANDWIDTH_HZ: f64 = 90.0;

    fn new(frequency: f64, rate: f64) -> Resonator {
        let radius = (-Resonator::BANDWIDTH_HZ * TAU / 2.0 / rate).exp();
        let feedback = [2.0 * radius * (TAU * frequency / rate).cos(), -radius * radius];
        Resonator { feedback, gain: 1.0 - radius, past: [0.0; 2] }
    }

    fn next(&mut self, input: f64) -> f64 {
        let [one, two] = self.past;
        let output = self.gain * input + self.feedback[0] * one + self.feedback[1] * two;
        self.past = [output, one];
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rate: u32) -> Vec<i16> {
        let bytes = babble(rate);
        bytes.chunks(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn is_loud_unclipped_and_ends_quietly_at_every_rate() {
        for rate in [8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] {
            let samples = samples(rate);
            assert_eq!(samples.len(), rate as usize * 24 / 10);
            let peak = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            assert!((19_000..20_000).contains(&peak), "{rate}: {peak}");
            let power: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
            let rms = (power / samples.len() as f64).sqrt();
            assert!(rms > 1_000.0, "{rate}: {rms}");
            assert!(samples[samples.len() - rate as usize / 10..].iter().all(|s| *s == 0));
        }
    }

    #[test]
    fn pitch_is_that_of_a_voice_whatever_the_rate() {
        for rate in [8_000, 44_100] {
            // The last syllable before the final pause falls to about 105 Hz.
            let samples = samples(rate);
            let from = rate as usize * 205 / 100;
            let part = &samples[from..from + rate as usize / 10];
            let correlation = |lag: usize| -> f64 {
                let pairs = part.iter().zip(&part[lag..]);
                pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let lags = rate as usize / 200..rate as usize / 60;
            let best = lags.max_by(|a, b| correlation(*a).total_cmp(&correlation(*b))).unwrap();
            let pitch = f64::from(rate) / best as f64;
            assert!((95.0..118.0).contains(&pitch), "{rate}: {pitch} Hz");
        }
    }
}
