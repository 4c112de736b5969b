//! Whether the database takes what is written, as far as the queries tell.

use std::sync::atomic::{AtomicU64, Ordering};

/// Failures, and those after which something was written all the same.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    failures: AtomicU64,
    settled: AtomicU64,
}

/// The failures that were known when a write began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known(u64);

impl Doubt {
    /// Something failed.
    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// To be asked before a write.
    pub(super) fn known(&self) -> Known {
        Known(self.failures.load(Ordering::Relaxed))
    }

    /// A write has changed something. It says nothing of what failed while it was under way.
    pub(super) fn settle(&self, Known(failures): Known) {
        self.settled.fetch_max(failures, Ordering::Relaxed);
    }

    /// Something failed, and nothing was written since.
    pub(super) fn is_there(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > self.settled.load(Ordering::Relaxed)
    }
}

#[test]
fn a_write_settles_what_failed_before_it_and_not_what_failed_meanwhile() {
    let doubt = Doubt::default();
    assert!(!doubt.is_there());
    doubt.failed();
    assert!(doubt.is_there());
    let before = doubt.known();
    doubt.failed();
    doubt.settle(before);
    assert!(doubt.is_there(), "the second one failed while the write was under way");
    doubt.settle(doubt.known());
    assert!(!doubt.is_there());
    doubt.settle(before);
    assert!(!doubt.is_there(), "an older write ends later");
}
