//! Asking for the exchange that an idle connection owes before its silence is long enough.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use da_ebpf_common::event::ConnectionId;

/// Requests that wait for the reader; one beyond that is refused, and may be made again.
const CAPACITY: usize = 4_096;

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Settlement {
    /// The connection.
    pub connection: ConnectionId,
    /// When whoever used it had read all of the response, ns.
    pub over_ns: u64,
}

/// The way to the reader.
#[derive(Debug, Clone)]
pub struct Settlements(SyncSender<Settlement>);

impl Settlements {
    /// The two ends.
    pub(in crate::kernel) fn channel() -> (Self, Receiver<Settlement>) {
        let (sender, receiver) = sync_channel(CAPACITY);
        (Self(sender), receiver)
    }

    /// Says that the exchange now on `connection` was over by then, so that it is observed soon and
    /// not when the next one begins. If something has happened since, nothing comes of it. Never
    /// waits; whether the request was taken.
    pub fn ask(&self, connection: ConnectionId, over_ns: u64) -> bool {
        self.0.try_send(Settlement { connection, over_ns }).is_ok()
    }
}
