//! One connection per session: a newer connection evicts the older one. This is the registry of one
//! server; among several, the store has a lease for each session.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::TokenHash;

/// How long an evicted connection may take to save its state in the store.
const EVICTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Which connection has which session.
#[derive(Debug, Clone, Default)]
pub(super) struct SessionRegistry(Arc<Mutex<HashMap<TokenHash, Arc<Signals>>>>);

#[derive(Debug, Default)]
struct Signals {
    evicted: CancellationToken,
    ended: CancellationToken,
    /// The connection that has to end first, until it has.
    predecessor: Mutex<Option<Arc<Signals>>>,
}

impl Signals {
    fn predecessor(&self) -> MutexGuard<'_, Option<Arc<Self>>> {
        self.predecessor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until this connection has ended, and those that it still waited for when it gave up.
    async fn all_ended(self: Arc<Self>) {
        let mut next = Some(self);
        while let Some(signals) = next {
            signals.ended.cancelled().await;
            next = signals.predecessor().clone();
        }
    }
}

/// A connection's entry in the registry, until it is dropped.
#[derive(Debug)]
pub(super) struct SessionGuard {
    registry: SessionRegistry,
    hash: TokenHash,
    signals: Arc<Signals>,
}

impl SessionRegistry {
    /// Registers a connection for the session. A connection that has it is evicted and waited for, so
    /// that its last state can be read.
    pub(super) async fn acquire(&self, hash: TokenHash) -> SessionGuard {
        let signals = Arc::new(Signals::default());
        let predecessor = {
            let mut entries = self.lock();
            let predecessor = entries.insert(hash, signals.clone());
            signals.predecessor().clone_from(&predecessor);
            predecessor.inspect(|predecessor| predecessor.evicted.cancel())
        };
        let guard = SessionGuard { registry: self.clone(), hash, signals };
        if let Some(predecessor) = predecessor {
            // One that does not end in time has lost its state, not the session.
            let _ = tokio::time::timeout(EVICTION_TIMEOUT, predecessor.all_ended()).await;
        }
        guard.signals.predecessor().take();
        guard
    }

    /// Whether no session has a connection.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Evicts the session's connection, if there is one, for a connection to another server.
    pub(super) fn evict(&self, hash: &TokenHash) {
        if let Some(signals) = self.lock().get(hash) {
            signals.evicted.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenHash, Arc<Signals>>> {
        // Nothing that could leave the map half-changed runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionGuard {
    /// Waits until a newer connection evicts this one.
    pub(super) async fn evicted(&self) {
        self.signals.evicted.cancelled().await;
    }

    /// The hash of the session's token.
    pub(super) fn hash(&self) -> TokenHash {
        self.hash
    }

    /// To be cancelled when the store says that the session has a newer connection.
    pub(super) fn eviction_token(&self) -> CancellationToken {
        self.signals.evicted.clone()
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.signals.ended.cancel();
        let mut entries = self.registry.lock();
        // The entry may be the newer connection's by now.
        if entries.get(&self.hash).is_none_or(|has| !Arc::ptr_eq(has, &self.signals)) {
            return;
        }
        // Or still that of the older one, if this connection has given up waiting for it.
        match self.signals.predecessor().take().filter(|older| !older.ended.is_cancelled()) {
            Some(older) => entries.insert(self.hash, older),
            None => entries.remove(&self.hash),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_newer_connection_waits_for_the_older_to_leave() {
        let registry = SessionRegistry::default();
        let first = registry.acquire([1; 32]).await;
        let second = tokio::spawn({
            let registry = registry.clone();
            async move { registry.acquire([1; 32]).await }
        });
        first.evicted().await;
        assert!(!second.is_finished());
        drop(first);
        let second = second.await.expect("joined");
        assert_eq!(registry.lock().len(), 1, "the newer one keeps its entry");
        drop(second);
        assert!(registry.lock().is_empty());
    }

    /// The second gives up while it waits for the first: whoever comes then waits for the first as well.
    #[tokio::test]
    async fn a_third_connection_waits_for_the_first_although_the_second_gave_up() {
        for third_comes_first in [false, true] {
            let registry = SessionRegistry::default();
            let first = registry.acquire([1; 32]).await;
            let mut second = Box::pin(registry.acquire([1; 32]));
            assert!(futures_util::poll!(second.as_mut()).is_pending());
            let mut second = Some(second);
            if !third_comes_first {
                second.take();
            }
            let mut third = Box::pin(registry.acquire([1; 32]));
            assert!(futures_util::poll!(third.as_mut()).is_pending());
            second.take();
            assert!(futures_util::poll!(third.as_mut()).is_pending(), "the first has not ended");
            drop(first);
            let third = third.await;
            assert_eq!(registry.lock().len(), 1);
            drop(third);
            assert!(registry.lock().is_empty());
        }
    }

    #[tokio::test]
    async fn other_sessions_are_not_evicted() {
        let registry = SessionRegistry::default();
        let first = registry.acquire([1; 32]).await;
        let _second = registry.acquire([2; 32]).await;
        assert!(!first.signals.evicted.is_cancelled());
    }
}
