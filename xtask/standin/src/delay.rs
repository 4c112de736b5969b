//! How long to wait: a fixed time or a draw from a distribution, in milliseconds.

use std::time::Duration;

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp, Normal};
use serde::{Deserialize, Serialize};

/// A delay in milliseconds.
///
/// In JSON a number, `{"uniform":[from,to]}`, `{"normal":[mean,standard_deviation]}` or
/// `{"exponential":mean}`. A draw below zero counts as zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delay {
    /// Evenly between the two.
    Uniform(f64, f64),
    /// Mean and standard deviation.
    Normal(f64, f64),
    /// Mean.
    Exponential(f64),
    /// Always the same.
    #[serde(untagged)]
    Fixed(f64),
}

/// No delay.
impl Default for Delay {
    fn default() -> Delay {
        Delay::Fixed(0.0)
    }
}

/// Always the same.
impl From<Duration> for Delay {
    fn from(delay: Duration) -> Delay {
        Delay::Fixed(delay.as_secs_f64() * 1e3)
    }
}

impl Delay {
    /// The longest delay that is ever waited for.
    pub const MAX: Duration = Duration::from_secs(3600);

    /// Says what is wrong with numbers that no delay can be drawn from.
    pub(crate) fn check(&self) -> Result<(), String> {
        let (numbers, shape) = match *self {
            Delay::Fixed(ms) => ([ms, ms], "a number"),
            Delay::Uniform(from, to) if from <= to => ([from, to], "uniform"),
            Delay::Uniform(..) => {
                return Err("uniform: the first must not exceed the second".into());
            }
            Delay::Normal(mean, deviation) => ([mean, deviation], "normal"),
            Delay::Exponential(mean) => ([mean, mean], "exponential"),
        };
        if numbers.iter().all(|ms| ms.is_finite() && *ms >= 0.0) {
            Ok(())
        } else {
            Err(format!("{shape}: milliseconds must be finite and not negative"))
        }
    }

    /// One draw, between zero and [`Delay::MAX`].
    pub(crate) fn draw(&self, random: &mut impl Rng) -> Duration {
        let ms = match *self {
            Delay::Fixed(ms) => ms,
            Delay::Uniform(from, to) if from < to => random.random_range(from..=to),
            Delay::Uniform(from, _) => from,
            Delay::Normal(mean, deviation) => {
                Normal::new(mean, deviation).map_or(mean, |normal| normal.sample(random))
            }
            Delay::Exponential(mean) => {
                Exp::new(1.0 / mean).map_or(mean, |exponential| exponential.sample(random))
            }
        };
        Duration::try_from_secs_f64(ms.max(0.0) / 1e3)
            .map_or(Delay::MAX, |delay| delay.min(Delay::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn reads_every_shape_and_writes_it_back() {
        for (json, delay) in [
            ("25.0", Delay::Fixed(25.0)),
            (r#"{"uniform":[1.0,2.0]}"#, Delay::Uniform(1.0, 2.0)),
            (r#"{"normal":[5.0,0.5]}"#, Delay::Normal(5.0, 0.5)),
            (r#"{"exponential":7.0}"#, Delay::Exponential(7.0)),
        ] {
            assert_eq!(serde_json::from_str::<Delay>(json).unwrap(), delay);
            assert_eq!(serde_json::to_string(&delay).unwrap(), json);
        }
        assert_eq!(serde_json::from_str::<Delay>("3").unwrap(), Delay::Fixed(3.0));
        assert!(serde_json::from_str::<Delay>(r#"{"pareto":1}"#).is_err());
    }

    #[test]
    fn draws_have_the_mean_and_the_bounds_asked_for() {
        let mut random = StdRng::seed_from_u64(1);
        for (delay, mean_ms) in [
            (Delay::Fixed(4.0), 4.0),
            (Delay::Uniform(2.0, 10.0), 6.0),
            (Delay::Normal(20.0, 2.0), 20.0),
            (Delay::Exponential(8.0), 8.0),
        ] {
            let draws: Vec<f64> =
                (0..4000).map(|_| delay.draw(&mut random).as_secs_f64() * 1e3).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            assert!((mean - mean_ms).abs() < 0.05 * mean_ms, "{delay:?}: {mean}");
            if let Delay::Uniform(from, to) = delay {
                assert!(draws.iter().all(|ms| (from..=to).contains(ms)));
            }
        }
        assert_eq!(Delay::Normal(0.0, 0.0).draw(&mut random), Duration::ZERO);
        assert_eq!(Delay::Exponential(0.0).draw(&mut random), Duration::ZERO);
        assert_eq!(Delay::Fixed(f64::MAX).draw(&mut random), Delay::MAX);
    }

    #[test]
    fn impossible_numbers_are_refused() {
        assert!(Delay::Uniform(2.0, 1.0).check().is_err());
        assert!(Delay::Fixed(-1.0).check().is_err());
        assert!(Delay::Normal(f64::NAN, 1.0).check().is_err());
        assert!(Delay::Exponential(3.0).check().is_ok());
    }
}
