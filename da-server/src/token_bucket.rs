//! A rate that allows for bursts: a bucket that fills evenly, and from which each event takes one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What may still happen. It fills by itself, up to its capacity.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    capacity: f64,
    per_second: f64,
    left: f64,
    counted: Instant,
}

impl TokenBucket {
    /// Full at first. `capacity`, at least 1, may happen at once, and then `per_minute` evenly.
    pub(crate) fn full(capacity: f64, per_minute: u32, now: Instant) -> Self {
        let capacity = capacity.max(1.0);
        Self { capacity, per_second: f64::from(per_minute) / 60.0, left: capacity, counted: now }
    }

    /// Takes one out, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let there_is_one = self.wait(now).is_zero();
        if there_is_one {
            self.left -= 1.0;
        }
        there_is_one
    }

    /// Puts back what was taken for nothing.
    pub(crate) fn give_back(&mut self, now: Instant) {
        self.fill(now);
        self.left = (self.left + 1.0).min(self.capacity);
    }

    /// How long until there is one to take; nothing if there is one now.
    pub(crate) fn wait(&mut self, now: Instant) -> Duration {
        self.fill(now);
        let missing = (1.0 - self.left).max(0.0);
        // Beyond what a duration holds it is for ever, which no rate that is allowed comes near.
        Duration::try_from_secs_f64(missing / self.per_second).unwrap_or(Duration::MAX)
    }

    /// Whether nothing was taken out lately: it says no more than a new one.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.left >= self.capacity
    }

    fn fill(&mut self, now: Instant) {
        let filled = now.saturating_duration_since(self.counted).as_secs_f64() * self.per_second;
        self.left = (self.left + filled).min(self.capacity);
        self.counted = self.counted.max(now);
    }
}

/// One from which several take.
#[derive(Debug, Clone)]
pub(crate) struct SharedTokenBucket(Arc<Mutex<TokenBucket>>);

impl SharedTokenBucket {
    /// Of what is in this one.
    pub(crate) fn of(bucket: TokenBucket) -> Self {
        Self(Arc::new(Mutex::new(bucket)))
    }

    /// As [`TokenBucket::take`].
    pub(crate) fn take(&self, now: Instant) -> bool {
        self.lock().take(now)
    }

    /// As [`TokenBucket::is_full`].
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.lock().is_full(now)
    }

    fn lock(&self) -> MutexGuard<'_, TokenBucket> {
        // Each change of it is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_its_capacity_and_then_it_fills_evenly() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(10.0, 30, start);
        assert_eq!((0..20).filter(|_| bucket.take(start)).count(), 10);
        assert_eq!(bucket.wait(start), Duration::from_secs(2));
        assert!(!bucket.take(start + Duration::from_millis(1900)));
        assert!(bucket.take(start + Duration::from_millis(2100)));
        let later = start + Duration::from_secs(3600);
        assert!(bucket.is_full(later));
        assert_eq!((0..20).filter(|_| bucket.take(later)).count(), 10, "it does not overflow");
        assert!(!bucket.is_full(later));
    }

    #[test]
    fn the_smallest_bucket_still_lets_one_through() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(0.3, 1, start);
        assert!(bucket.take(start) && !bucket.take(start + Duration::from_secs(59)));
        assert!(bucket.take(start + Duration::from_secs(120)));
    }

    #[test]
    fn an_earlier_moment_fills_nothing() {
        let start = Instant::now();
        let later = start + Duration::from_secs(60);
        let mut bucket = TokenBucket::full(1.0, 1, later);
        assert!(bucket.take(later) && !bucket.take(start));
        assert!(!bucket.take(later + Duration::from_secs(59)));
    }
}
