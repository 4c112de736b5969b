//! One connection per session: who comes back takes the place of the connection before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::TokenHash;

/// How long the connection before may take to leave its state in the store.
const LEAVING_TAKES: Duration = Duration::from_secs(5);

/// Who sits where.
#[derive(Debug, Clone, Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<TokenHash, Signals>>>);

#[derive(Debug, Clone, Default)]
struct Signals {
    asked_to_leave: CancellationToken,
    left: CancellationToken,
}

/// A connection's place in its session, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    hash: TokenHash,
    signals: Signals,
}

impl Seats {
    /// Takes the session's place. A connection that holds it is asked to leave and waited for, so
    /// that what it saves last is there to be read.
    pub(super) async fn take(&self, hash: TokenHash) -> Seat {
        let signals = Signals::default();
        let before = {
            let mut seats = self.lock();
            let before = seats.insert(hash, signals.clone());
            before.inspect(|before| before.asked_to_leave.cancel())
        };
        let seat = Seat { seats: self.clone(), hash, signals };
        if let Some(before) = before {
            // One that does not leave in time has lost its state, not the session.
            let _ = tokio::time::timeout(LEAVING_TAKES, before.left.cancelled()).await;
        }
        seat
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TokenHash, Signals>> {
        // Nothing that could leave the map half-changed runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Waits until a newer connection wants the place.
    pub(super) async fn asked_to_leave(&self) {
        self.signals.asked_to_leave.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.signals.left.cancel();
        let mut seats = self.seats.lock();
        // The place may be the newer connection's by now: only that one was never asked to leave.
        if !self.signals.asked_to_leave.is_cancelled() {
            seats.remove(&self.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_connection_waits_for_the_older_to_leave() {
        let seats = Seats::default();
        let first = seats.take([1; 32]).await;
        let second = tokio::spawn({
            let seats = seats.clone();
            async move { seats.take([1; 32]).await }
        });
        first.asked_to_leave().await;
        assert!(!second.is_finished());
        drop(first);
        let second = second.await.expect("joined");
        assert_eq!(seats.lock().len(), 1, "the newer one keeps its place");
        drop(second);
        assert!(seats.lock().is_empty());
    }

    #[tokio::test]
    async fn other_sessions_are_left_alone() {
        let seats = Seats::default();
        let first = seats.take([1; 32]).await;
        let _second = seats.take([2; 32]).await;
        assert!(!first.signals.asked_to_leave.is_cancelled());
    }
}
