//! How often a player may ask: each request costs a call to a paid model.

use std::time::Instant;

/// A bucket of requests that fills by the minute.
#[derive(Debug)]
pub(super) struct RequestBudget {
    capacity: f64,
    per_second: f64,
    left: f64,
    counted: Instant,
}

impl RequestBudget {
    /// Full at first: a third of a minute's requests may come at once.
    pub(super) fn new(per_minute: u32, now: Instant) -> Self {
        let per_minute = f64::from(per_minute);
        let capacity = (per_minute / 3.0).max(1.0);
        Self { capacity, per_second: per_minute / 60.0, left: capacity, counted: now }
    }

    /// Takes one request out, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let filled = now.saturating_duration_since(self.counted).as_secs_f64() * self.per_second;
        self.left = (self.left + filled).min(self.capacity);
        self.counted = now;
        let there_is_one = self.left >= 1.0;
        if there_is_one {
            self.left -= 1.0;
        }
        there_is_one
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_a_third_of_the_minute_and_then_it_fills_evenly() {
        let start = Instant::now();
        let mut budget = RequestBudget::new(30, start);
        assert_eq!((0..20).filter(|_| budget.take(start)).count(), 10);
        assert!(!budget.take(start + Duration::from_millis(1900)));
        assert!(budget.take(start + Duration::from_millis(2100)));
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..20).filter(|_| budget.take(later)).count(), 10, "it does not overflow");
    }

    #[test]
    fn the_smallest_budget_still_lets_one_through() {
        let start = Instant::now();
        let mut budget = RequestBudget::new(1, start);
        assert!(budget.take(start) && !budget.take(start + Duration::from_secs(59)));
        assert!(budget.take(start + Duration::from_secs(120)));
    }
}
