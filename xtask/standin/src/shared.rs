//! What all connections of a stand-in have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::ServerConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::audio::Audio;
use crate::log::Log;
use crate::plans::Plans;

/// One for all of them.
pub(crate) struct Shared {
    /// None in plain mode.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) plans: Plans,
    pub(crate) log: Log,
    pub(crate) seed: u64,
    pub(crate) audio: Arc<Audio>,
    pub(crate) exchanges: AtomicU64,
    pub(crate) in_flight: watch::Sender<usize>,
    pub(crate) stop: CancellationToken,
}

impl Shared {
    /// A number for the exchange that begins, and a guard that it holds until it is in the log.
    pub(crate) fn begin_exchange(&self) -> (u64, InFlight<'_>) {
        self.in_flight.send_modify(|count| *count += 1);
        let number = self.exchanges.fetch_add(1, Ordering::Relaxed) + 1;
        (number, InFlight(self))
    }

    pub(crate) fn in_flight(&self) -> usize {
        *self.in_flight.borrow()
    }
}

/// Counts as an exchange until dropped.
pub(crate) struct InFlight<'a>(&'a Shared);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.send_modify(|count| *count -= 1);
    }
}
