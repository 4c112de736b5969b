//! Times that are held against a bound, and runs that count for nothing because the machine provably
//! stood still for a good part of them.

use std::fmt;
use std::time::{Duration, Instant};

use super::heartbeat::{Heartbeat, Late};

/// Runs of a measurement at most, those that count for nothing among them.
const RUNS: usize = 5;
/// The share of a run for which a processor may stand still before the run counts for nothing.
const MOST_LATE: f64 = 0.01;

/// For how long this machine stood still while work was under way.
pub struct Disturbance {
    lasted: Duration,
    /// The times of that processor which stood still for longest: were those of all added up, on a machine with many
    /// there would always be a proof.
    late: Duration,
}

impl Disturbance {
    /// Does the work, and says what disturbed it.
    pub fn during<T>(work: impl FnOnce() -> T) -> (T, Self) {
        let (began, heartbeat) = (Instant::now(), Heartbeat::start());
        let done = work();
        let late_ns =
            |of_one: &Vec<Late>| of_one.iter().map(|late| late.to_ns - late.from_ns).sum();
        let late_ns: u64 = heartbeat.end().iter().map(late_ns).max().unwrap_or_default();
        (done, Self { lasted: began.elapsed(), late: Duration::from_nanos(late_ns) })
    }

    /// Whether it is reason enough for times beyond their bounds.
    fn is_proven(&self) -> bool {
        self.late.as_secs_f64() > MOST_LATE * self.lasted.as_secs_f64()
    }
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lasted, late } = self;
        write!(f, "a processor stood still for {late:.1?} of {lasted:.1?}")
    }
}

/// Has a measurement run until one counts. The first whose times are within their bounds does, and so
/// does the first that was not disturbed.
///
/// # Panics
/// If times were beyond their bounds and nothing disturbed the run, or every run was disturbed.
pub fn judge(what: &str, mut is_within_bounds: impl FnMut() -> bool) {
    judge_runs(what, || Disturbance::during(&mut is_within_bounds));
}

fn judge_runs(what: &str, mut run: impl FnMut() -> (bool, Disturbance)) {
    for number in 1..=RUNS {
        let (is_within, disturbance) = run();
        let verdict = if is_within { "within its bounds" } else { "beyond its bounds" };
        println!("{what}: run {number} of {RUNS} at most {verdict}; {disturbance}");
        if is_within {
            return;
        }
        assert!(disturbance.is_proven(), "{what}: beyond its bounds, see above");
    }
    panic!("{what}: not judged, for this machine was disturbed in each of {RUNS} runs, see above");
}

/// What a run of a second looks like in which processors stood still for so many milliseconds.
#[cfg(test)]
fn second(late_ms: u64) -> Disturbance {
    Disturbance { lasted: Duration::from_secs(1), late: Duration::from_millis(late_ms) }
}

#[test]
fn only_a_proven_disturbance_has_a_run_repeated() {
    let ends = |runs: &[(bool, u64)]| {
        let mut left = runs.iter();
        let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            judge_runs("a run", || {
                let (is_within, late_ms) = *left.next().expect("no further run");
                (is_within, second(late_ms))
            });
        }));
        (judged.is_ok(), left.len())
    };
    assert_eq!(ends(&[(true, 0), (true, 0)]), (true, 1), "the first run is enough");
    assert_eq!(ends(&[(true, 500), (true, 0)]), (true, 1), "also on a disturbed machine");
    assert_eq!(ends(&[(false, 9), (true, 0)]), (false, 1), "nothing disturbed it");
    assert_eq!(ends(&[(false, 11), (false, 0), (true, 0)]), (false, 1));
    assert_eq!(ends(&[(false, 11), (true, 0)]), (true, 0));
    assert_eq!(ends(&[(false, 11); RUNS]), (false, 0), "every run was disturbed");
}
