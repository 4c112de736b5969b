//! How long the process as a whole did not run: it was stopped (SIGSTOP, a frozen container, a paused
//! virtual machine) or got no processor. What waited for somebody else meanwhile could not have seen
//! an answer, and must not blame whoever was waited for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Shorter than this it is called being busy, and every loop is late by a little.
const MIN_STANDSTILL: Duration = Duration::from_millis(500);

/// The time that the process has stood still. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Standstill(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// When somebody looked last, and until when nothing is to be wondered at; `None`: nobody looks.
    due_ns: Option<u64>,
    stood: Duration,
}

impl Standstill {
    /// A task that is woken by a clock runs at `now_ns`, and is to run again after `pause`. Called by
    /// one task alone, over and over.
    pub(super) fn look(&self, now_ns: u64, pause: Duration) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stood = state.so_far(now_ns);
        *state = State { due_ns: Some(now_ns + pause.as_nanos() as u64), stood };
    }

    /// All of it until `now_ns` of `CLOCK_MONOTONIC`: also what that task has not seen yet. Zero if
    /// there is no such task.
    #[must_use]
    pub fn so_far(&self, now_ns: u64) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).so_far(now_ns)
    }
}

impl State {
    fn so_far(&self, now_ns: u64) -> Duration {
        let late_ns = self.due_ns.map_or(0, |due_ns| now_ns.saturating_sub(due_ns));
        let late = Duration::from_nanos(late_ns);
        self.stood + if late >= MIN_STANDSTILL { late } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(50);

    fn ms(ms: u64) -> u64 {
        ms * 1_000_000
    }

    #[test]
    fn what_a_look_comes_too_late_is_a_standstill_whoever_asks_first() {
        let standstill = Standstill::default();
        assert_eq!(standstill.so_far(ms(9000)), Duration::ZERO, "nobody looks");
        standstill.look(ms(1000), PAUSE);
        standstill.look(ms(1400), PAUSE);
        assert_eq!(standstill.so_far(ms(1900)), Duration::ZERO, "busy");
        let stood = Duration::from_millis(3000);
        assert_eq!(standstill.so_far(ms(4450)), stood, "before the next look");
        standstill.look(ms(4450), PAUSE);
        assert_eq!(standstill.so_far(ms(4450)), stood, "and after it");
        standstill.look(ms(4500), PAUSE);
        standstill.look(ms(5550), PAUSE);
        assert_eq!(standstill.so_far(ms(5551)), stood + Duration::from_secs(1));
    }
}
