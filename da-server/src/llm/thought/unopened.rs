//! Whether answers of a model begin with thought that no tag opens.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

/// After so many answers in a row without a closing tag, it is expected no longer: another model may be
/// behind the name. Until then such an answer is only shown later.
const ANSWERS_BEFORE_DECISION: u32 = 50;

/// What is known of one model. Clones share it.
#[derive(Debug, Clone, Default)]
pub(in crate::llm) struct Unopened {
    /// The operator said so.
    always: bool,
    /// For so many more answers it is expected.
    left: Arc<AtomicU32>,
}

impl Unopened {
    /// Of a model of which the operator says whether it does `always`.
    pub(in crate::llm) fn new(always: bool) -> Self {
        Self { always, ..Self::default() }
    }

    /// Whether the next answer may begin so.
    pub(super) fn is_expected(&self) -> bool {
        self.always || self.left.load(Ordering::Relaxed) > 0
    }

    /// An answer began so.
    pub(super) fn seen(&self) {
        self.left.store(ANSWERS_BEFORE_DECISION, Ordering::Relaxed);
    }

    /// An answer was expected to, and did not.
    pub(super) fn missed(&self) {
        // Of two at once one may go uncounted, which does no harm.
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
    }
}

#[test]
fn it_is_forgotten_after_many_answers_without_unless_the_operator_said_so() {
    for (always, forgotten) in [(false, true), (true, false)] {
        let unopened = Unopened::new(always);
        assert_eq!(unopened.is_expected(), always);
        unopened.seen();
        (1..ANSWERS_BEFORE_DECISION).for_each(|_| unopened.missed());
        assert!(unopened.clone().is_expected());
        unopened.missed();
        unopened.missed();
        assert_eq!(!unopened.is_expected(), forgotten);
    }
}
