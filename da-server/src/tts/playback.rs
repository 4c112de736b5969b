//! Simulates a listener who plays audio while it streams.

use std::time::{Duration, Instant};

/// A listener who begins with the first chunk, plays in real time, and pauses while there is
/// nothing to play.
#[derive(Debug, Default)]
pub struct Playback {
    /// When all audio so far will have been played.
    ends: Option<Instant>,
    worst_margin_seconds: Option<f64>,
}

impl Playback {
    /// The next chunk came `at`, and plays for `lasts`. Returns when it begins to be heard.
    pub fn chunk(&mut self, at: Instant, lasts: Duration) -> Instant {
        let begins = match self.ends {
            None => at,
            Some(ends) => {
                let margin = ends.saturating_duration_since(at).as_secs_f64()
                    - at.saturating_duration_since(ends).as_secs_f64();
                let worst = self.worst_margin_seconds.get_or_insert(margin);
                *worst = worst.min(margin);
                ends.max(at)
            }
        };
        self.ends = Some(begins + lasts);
        begins
    }

    /// How much was still to be played when a further chunk came, where that was least; below 0:
    /// how long the longest pause was. `None` if there was no further chunk.
    pub fn worst_margin_seconds(&self) -> Option<f64> {
        self.worst_margin_seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ChunkStream as (comes after ms, lasts ms); when each is heard, in ms, and the worst margin.
    fn play(chunks: &[(u64, u64)]) -> (Vec<u128>, Option<f64>) {
        let start = Instant::now();
        let mut playback = Playback::default();
        let heard = chunks.iter().map(|(at, lasts)| {
            let begins =
                playback.chunk(start + Duration::from_millis(*at), Duration::from_millis(*lasts));
            (begins - start).as_millis()
        });
        let heard = heard.collect();
        let worst = playback.worst_margin_seconds();
        (heard, worst.map(|seconds| (seconds * 1e3).round() / 1e3))
    }

    #[test]
    fn pieces_that_come_early_are_heard_one_after_the_other() {
        assert_eq!(play(&[(5, 100), (10, 100), (15, 100)]), (vec![5, 105, 205], Some(0.095)));
    }

    #[test]
    fn a_piece_that_comes_late_is_a_pause_and_what_follows_is_heard_later() {
        let chunks = [(0, 100), (130, 100), (200, 100), (400, 10)];
        assert_eq!(play(&chunks), (vec![0, 130, 230, 400], Some(-0.07)));
    }

    #[test]
    fn a_single_piece_has_no_margin() {
        assert_eq!(play(&[]), (vec![], None));
        assert_eq!(play(&[(3, 100)]), (vec![3], None));
    }
}
