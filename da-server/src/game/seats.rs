//! One connection per session: who comes back takes the place of the connection before. Here at one
//! server; among several, the store says whose a session is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::TokenHash;

/// How long the connection before may take to leave its state in the store.
const LEAVING_TAKES: Duration = Duration::from_secs(5);

/// Who sits where.
#[derive(Debug, Clone, Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<TokenHash, Arc<Signals>>>>);

#[derive(Debug, Default)]
struct Signals {
    asked_to_leave: CancellationToken,
    left: CancellationToken,
    /// Who has to leave first, until they have.
    before: Mutex<Option<Arc<Signals>>>,
}

impl Signals {
    fn before(&self) -> MutexGuard<'_, Option<Arc<Self>>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this connection has left, and those that it waited for itself when it gave up.
    async fn all_left(self: Arc<Self>) {
        let mut next = Some(self);
        while let Some(signals) = next {
            signals.left.cancelled().await;
            next = signals.before().clone();
        }
    }
}

/// A connection's place in its session, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    hash: TokenHash,
    signals: Arc<Signals>,
}

impl Seats {
    /// Takes the session's place. A connection that holds it is asked to leave and waited for, so
    /// that what it saves last is there to be read.
    pub(super) async fn take(&self, hash: TokenHash) -> Seat {
        let signals = Arc::new(Signals::default());
        let before = {
            let mut seats = self.lock();
            let before = seats.insert(hash, signals.clone());
            signals.before().clone_from(&before);
            before.inspect(|before| before.asked_to_leave.cancel())
        };
        let seat = Seat { seats: self.clone(), hash, signals };
        if let Some(before) = before {
            // One that does not leave in time has lost its state, not the session.
            let _ = tokio::time::timeout(LEAVING_TAKES, before.all_left()).await;
        }
        seat.signals.before().take();
        seat
    }

    /// Whether nobody sits anywhere.
    pub(super) fn are_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Asks who has the session's place, if anybody, to leave it for a connection to another server.
    pub(super) fn ask_to_leave(&self, hash: &TokenHash) {
        if let Some(signals) = self.lock().get(hash) {
            signals.asked_to_leave.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenHash, Arc<Signals>>> {
        // Nothing that could leave the map half-changed runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Waits until a newer connection wants the place.
    pub(super) async fn asked_to_leave(&self) {
        self.signals.asked_to_leave.cancelled().await;
    }

    /// Of the session's token.
    pub(super) fn hash(&self) -> TokenHash {
        self.hash
    }

    /// What to cancel when the session turns out to be somebody else's.
    pub(super) fn leave(&self) -> CancellationToken {
        self.signals.asked_to_leave.clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.signals.left.cancel();
        let mut seats = self.seats.lock();
        // The place may be the newer connection's by now.
        if seats.get(&self.hash).is_none_or(|has| !Arc::ptr_eq(has, &self.signals)) {
            return;
        }
        // Or still that of the older one, if this has given up waiting for it.
        match self.signals.before().take().filter(|before| !before.left.is_cancelled()) {
            Some(before) => seats.insert(self.hash, before),
            None => seats.remove(&self.hash),
        };
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

    /// The second gives up while it waits for the first: whoever comes then waits for the first as well.
    #[tokio::test]
    async fn a_third_connection_waits_for_the_first_although_the_second_gave_up() {
        for third_comes_first in [false, true] {
            let seats = Seats::default();
            let first = seats.take([1; 32]).await;
            let mut second = Box::pin(seats.take([1; 32]));
            assert!(futures_util::poll!(second.as_mut()).is_pending());
            let mut second = Some(second);
            if !third_comes_first {
                second.take();
            }
            let mut third = Box::pin(seats.take([1; 32]));
            assert!(futures_util::poll!(third.as_mut()).is_pending());
            second.take();
            assert!(futures_util::poll!(third.as_mut()).is_pending(), "the first has not left");
            drop(first);
            let third = third.await;
            assert_eq!(seats.lock().len(), 1);
            drop(third);
            assert!(seats.lock().is_empty());
        }
    }

    #[tokio::test]
    async fn other_sessions_are_left_alone() {
        let seats = Seats::default();
        let first = seats.take([1; 32]).await;
        let _second = seats.take([2; 32]).await;
        assert!(!first.signals.asked_to_leave.is_cancelled());
    }
}
