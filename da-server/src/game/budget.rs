//! How often a player may ask: each request costs a call to a paid model. A budget belongs to the
//! session, and not to the connection: whoever leaves and comes back finds it as it was.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::store::TokenHash;
use crate::token_bucket::TokenBucket;

/// Budgets that are kept for sessions nobody is in. Starts are limited, so there are far fewer.
const MAX_KEPT: usize = 4096;

/// The budgets of the sessions, each until it is full again: then a new one is the same.
#[derive(Debug)]
pub(super) struct RequestBudgets {
    per_minute: u32,
    kept: Mutex<HashMap<TokenHash, TokenBucket>>,
}

impl RequestBudgets {
    /// Of so many requests a minute, a third of which may come at once.
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute, kept: Mutex::default() }
    }

    /// The budget of the session with this token's hash.
    pub(super) fn take(&self, session: &TokenHash, now: Instant) -> TokenBucket {
        let kept = self.lock().remove(session);
        let full = || TokenBucket::full(f64::from(self.per_minute) / 3.0, self.per_minute, now);
        kept.unwrap_or_else(full)
    }

    /// Keeps it for when the player comes back.
    pub(super) fn keep(&self, session: TokenHash, mut budget: TokenBucket, now: Instant) {
        if budget.is_full(now) {
            return;
        }
        let mut kept = self.lock();
        if kept.len() >= MAX_KEPT {
            kept.retain(|_, budget| !budget.is_full(now));
        }
        if kept.len() < MAX_KEPT {
            kept.insert(session, budget);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TokenHash, TokenBucket>> {
        // Nothing that could leave the map half-changed runs under the lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn burst(budget: &mut TokenBucket, now: Instant) -> usize {
        (0..20).filter(|_| budget.take(now)).count()
    }

    #[test]
    fn who_comes_back_finds_the_budget_as_it_was() {
        let (now, budgets) = (Instant::now(), RequestBudgets::new(30));
        let mut budget = budgets.take(&[1; 32], now);
        assert_eq!(burst(&mut budget, now), 10, "a third of a minute's");
        budgets.keep([1; 32], budget, now);
        let later = now + Duration::from_secs(4);
        assert_eq!(
            burst(&mut budgets.take(&[2; 32], later), later),
            10,
            "another session's is full"
        );
        assert_eq!(burst(&mut budgets.take(&[1; 32], later), later), 2, "two every four seconds");
    }

    #[test]
    fn what_is_kept_is_bounded_and_goes_when_it_is_full() {
        let (now, budgets) = (Instant::now(), RequestBudgets::new(30));
        let spent = || {
            let mut budget = budgets.take(&[0; 32], now);
            budget.take(now);
            budget
        };
        let session = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_ne_bytes());
            hash
        };
        (0..2 * MAX_KEPT).for_each(|n| budgets.keep(session(n), spent(), now));
        assert_eq!(budgets.lock().len(), MAX_KEPT);
        let later = now + Duration::from_secs(60);
        let mut last = spent();
        last.take(later);
        budgets.keep(session(3 * MAX_KEPT), last, later);
        assert_eq!(budgets.lock().len(), 1, "the others are full by then");
    }
}
