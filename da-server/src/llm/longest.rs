//! How long a conversation a model may be shown, learned from what it refused and what it answered.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// After so many answers within the limit it is doubled: the model may have been changed for a larger
/// one behind its name, and the lines that were too long may have been of another kind. If it is too
/// much, that costs one attempt.
const ANSWERS_BEFORE_DOUBLING: u32 = 50;

/// The longest conversation that one model may be shown, in bytes.
#[derive(Debug, Default)]
pub(super) struct Longest(Mutex<Learned>);

#[derive(Debug, Default)]
struct Learned {
    /// `None`: nothing was too long so far.
    limit: Option<usize>,
    /// The longest that was answered.
    answered: usize,
    /// Answers since the limit changed.
    answers: u32,
}

impl Longest {
    /// The limit, if there is one.
    pub(super) fn limit(&self) -> Option<usize> {
        self.lock().limit
    }

    /// A conversation of `shown` bytes was too long; its newer half has `half`.
    pub(super) fn refused(&self, shown: usize, half: usize) {
        let mut learned = self.lock();
        if learned.answered >= shown {
            // Not any more.
            learned.answered = 0;
        }
        let limit = half.max(learned.answered);
        learned.limit = Some(learned.limit.map_or(limit, |known| known.min(limit)));
        learned.answers = 0;
    }

    /// A conversation of `shown` bytes was answered.
    pub(super) fn answered(&self, shown: usize) {
        let mut learned = self.lock();
        learned.answered = learned.answered.max(shown);
        let Some(limit) = learned.limit else { return };
        learned.answers += 1;
        if learned.answers == ANSWERS_BEFORE_DOUBLING {
            (learned.limit, learned.answers) = (Some(limit.saturating_mul(2)), 0);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Learned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(longest: &Longest, shown: usize, times: u32) {
        (0..times).for_each(|_| longest.answered(shown));
    }

    #[test]
    fn refusals_lower_it_and_late_ones_do_not_raise_it() {
        let longest = Longest::default();
        assert_eq!(longest.limit(), None);
        for (shown, half, limit) in [(800, 400, 400), (400, 210, 210), (800, 400, 210)] {
            longest.refused(shown, half);
            assert_eq!(longest.limit(), Some(limit));
        }
    }

    #[test]
    fn answers_raise_it_and_what_was_answered_is_not_given_up() {
        let longest = Longest::default();
        answer(&longest, 5, 2 * ANSWERS_BEFORE_DOUBLING);
        assert_eq!(longest.limit(), None, "there is nothing to raise");
        longest.refused(800, 400);
        answer(&longest, 390, ANSWERS_BEFORE_DOUBLING - 1);
        assert_eq!(longest.limit(), Some(400));
        answer(&longest, 390, 1);
        assert_eq!(longest.limit(), Some(800));
        // A little longer than what is known to go is too long, and its half is less than that.
        longest.refused(420, 200);
        assert_eq!(longest.limit(), Some(390));
        answer(&longest, 380, 2 * ANSWERS_BEFORE_DOUBLING);
        assert_eq!(longest.limit(), Some(4 * 390));
    }

    #[test]
    fn a_model_that_takes_less_than_before_is_shown_less() {
        let longest = Longest::default();
        answer(&longest, 400, 1);
        longest.refused(400, 200);
        assert_eq!(longest.limit(), Some(200));
        longest.refused(200, 100);
        assert_eq!(longest.limit(), Some(100));
    }
}
