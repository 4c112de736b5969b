//! `kernel.cpu_budget`: when the view costs more than it may, its dearest tier is shed, and taken back
//! later to see whether it fits in again. Only the decision: [`super::tier`] carries it out.

use std::time::Duration;

/// Over the budget for so long, and the tier is shed: a moment's rush is no reason.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it is shed at least. A tier that is shed costs nothing, so what it would cost now is only
/// known by trying; each time that fails the next try is twice as far away.
const FIRST_PAUSE: Duration = Duration::from_secs(20);

/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// On for so long, and the next pause is a first one again.
const PROVEN: Duration = Duration::from_secs(60);

/// There is no point in trying where the rest of the view alone takes more than this of the budget.
const ROOM: f64 = 0.7;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Give the tier up for now.
    Shed,
    /// Take it back.
    TakeBack,
}

/// The budget, and what has become of the tier under it.
#[derive(Debug)]
pub struct Budget {
    /// Share of one core.
    share: f64,
    is_shed: bool,
    /// Since the last step.
    lasted: Duration,
    /// Over the budget without a break.
    over: Duration,
    /// How long the tier is shed, the next time or now.
    pause: Duration,
}

impl Budget {
    /// With the tier on.
    pub fn new(share: f64) -> Self {
        let (lasted, over) = (Duration::ZERO, Duration::ZERO);
        Self { share, is_shed: false, lasted, over, pause: FIRST_PAUSE }
    }

    /// Takes a look, about once a second: in `elapsed`, the whole view took `used` of CPU time.
    pub fn look(&mut self, elapsed: Duration, used: Duration) -> Option<Step> {
        let allowed = elapsed.mul_f64(self.share);
        self.lasted += elapsed;
        if self.is_shed {
            if self.lasted < self.pause || used > allowed.mul_f64(ROOM) {
                return None;
            }
            self.pause = LONGEST_PAUSE.min(2 * self.pause);
            return Some(self.turn(false));
        }
        if self.lasted >= PROVEN {
            self.pause = FIRST_PAUSE;
        }
        self.over = if used > allowed { self.over + elapsed } else { Duration::ZERO };
        (self.over >= PATIENCE).then(|| self.turn(true))
    }

    fn turn(&mut self, is_shed: bool) -> Step {
        (self.is_shed, self.lasted, self.over) = (is_shed, Duration::ZERO, Duration::ZERO);
        if is_shed { Step::Shed } else { Step::TakeBack }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first step within so many seconds of equal use, and after how many.
    fn first_step(budget: &mut Budget, used_ms: u64, seconds: u32) -> Option<(u32, Step)> {
        let used = Duration::from_millis(used_ms);
        (1..=seconds).find_map(|second| Some((second, budget.look(Duration::from_secs(1), used)?)))
    }

    #[test]
    fn what_is_allowed_is_allowed_for_ever() {
        let mut budget = Budget::new(0.01);
        assert_eq!(first_step(&mut budget, 10, 10_000), None);
    }

    #[test]
    fn a_rush_is_borne_and_a_load_is_not() {
        let mut budget = Budget::new(0.01);
        for _ in 0..10 {
            assert_eq!(first_step(&mut budget, 11, 4), None);
            assert_eq!(first_step(&mut budget, 10, 1), None);
        }
        assert_eq!(first_step(&mut budget, 11, 99), Some((5, Step::Shed)));
    }

    #[test]
    fn what_is_used_counts_by_the_time_it_was_used_in() {
        let mut budget = Budget::new(0.01);
        let (elapsed, used) = (Duration::from_secs(10), Duration::from_millis(99));
        assert_eq!(budget.look(elapsed, used), None);
        assert_eq!(budget.look(elapsed, 2 * used), Some(Step::Shed));
    }

    #[test]
    fn it_is_not_taken_back_before_the_rest_leaves_room() {
        let mut budget = Budget::new(0.01);
        first_step(&mut budget, 20, 5).expect("shed");
        assert_eq!(first_step(&mut budget, 8, 1000), None);
        assert_eq!(first_step(&mut budget, 7, 1), Some((1, Step::TakeBack)));
    }

    #[test]
    fn tries_that_fail_get_rare_and_one_that_succeeds_makes_good() {
        let mut budget = Budget::new(0.01);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            assert_eq!(first_step(&mut budget, 20, 99), Some((5, Step::Shed)));
            let (seconds, step) = first_step(&mut budget, 1, 10_000).expect("a try");
            assert_eq!(step, Step::TakeBack);
            pauses.push(seconds);
        }
        assert_eq!(pauses, [20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(first_step(&mut budget, 5, 60), None);
        assert_eq!(first_step(&mut budget, 20, 99), Some((5, Step::Shed)));
        assert_eq!(first_step(&mut budget, 1, 99), Some((20, Step::TakeBack)));
    }
}
