//! Whether the database takes writes, as far as the queries tell.

use std::sync::atomic::{AtomicU64, Ordering};

/// Failures, and those after which a write succeeded.
#[derive(Debug, Default)]
pub(super) struct WriteHealth {
    failures: AtomicU64,
    confirmed: AtomicU64,
}

/// The failures that were known when a write began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known(u64);

impl WriteHealth {
    /// Something failed.
    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// The failures so far: to be read before a write.
    pub(super) fn known(&self) -> Known {
        Known(self.failures.load(Ordering::Relaxed))
    }

    /// A write has succeeded. It says nothing about failures while it was under way.
    pub(super) fn confirm(&self, Known(failures): Known) {
        self.confirmed.fetch_max(failures, Ordering::Relaxed);
    }

    /// Whether something failed, and no write has succeeded since.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > self.confirmed.load(Ordering::Relaxed)
    }
}

#[test]
fn a_write_confirms_what_failed_before_it_and_not_what_failed_meanwhile() {
    let write_health = WriteHealth::default();
    assert!(!write_health.is_in_doubt());
    write_health.failed();
    assert!(write_health.is_in_doubt());
    let before = write_health.known();
    write_health.failed();
    write_health.confirm(before);
    assert!(write_health.is_in_doubt(), "the second one failed while the write was under way");
    write_health.confirm(write_health.known());
    assert!(!write_health.is_in_doubt());
    write_health.confirm(before);
    assert!(!write_health.is_in_doubt(), "an older write ends later");
}
