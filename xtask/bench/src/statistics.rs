//! What is said of many samples.

use serde::Serialize;

/// Median and quartiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the samples are below.
    pub median: f64,
    /// A quarter of the samples is below.
    pub lower_quartile: f64,
    /// A quarter of the samples is above.
    pub upper_quartile: f64,
    /// How many there were.
    pub samples: usize,
}

impl Spread {
    /// Of `samples`; none of none.
    pub fn of(samples: &[f64]) -> Option<Self> {
        Some(Self {
            median: quantile(samples, 0.5)?,
            lower_quartile: quantile(samples, 0.25)?,
            upper_quartile: quantile(samples, 0.75)?,
            samples: samples.len(),
        })
    }
}

/// The value below which a `share` (0 to 1) of the samples lies, between two of them where it falls
/// there.
pub fn quantile(samples: &[f64], share: f64) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

/// Ratios of runs to their neighbours: `sequence` begins and ends with a run of the yardstick, and
/// has one between any two of the others. A drift of the machine is in both neighbours.
pub fn ratios_to_neighbours(yardstick: &[f64], between: &[f64]) -> Vec<f64> {
    let neighbours = yardstick.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
    between.iter().zip(neighbours).map(|(run, neighbours)| run / neighbours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_fall_between_samples() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(
            (spread.lower_quartile, spread.median, spread.upper_quartile),
            (1.75, 2.5, 3.25)
        );
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
    }

    #[test]
    fn a_machine_that_slows_down_steadily_changes_no_ratio() {
        let ratios = ratios_to_neighbours(&[100.0, 80.0, 60.0], &[45.0, 35.0]);
        assert_eq!(ratios, [0.5, 0.5]);
    }
}
