//! Errors of a measurement, and how they are printed.

/// Absolute differences between what the kernel view and the stand-in (or the client) measured, ns.
#[derive(Default)]
pub struct Errors(Vec<u64>);

impl Errors {
    /// Adds the difference of two durations.
    pub fn add(&mut self, measured_ns: u64, expected_ns: u64) {
        self.0.push(measured_ns.abs_diff(expected_ns));
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Prints median, p99 and maximum, and fails if more than a few are over the bound: a process
    /// that is preempted between its clock and its system call proves nothing.
    pub fn assert_within(self, what: &str, bound_ns: u64) {
        let allowed = 1 + self.0.len() / 50;
        self.print_and_assert(what, bound_ns, allowed);
    }

    /// The same for a few samples on a machine that wakes many threads at once: half of them.
    pub fn assert_half_within(self, what: &str, bound_ns: u64) {
        let allowed = self.0.len() / 2;
        self.print_and_assert(what, bound_ns, allowed);
    }

    fn print_and_assert(mut self, what: &str, bound_ns: u64, allowed: usize) {
        self.0.sort_unstable();
        let at = |share: f64| {
            let last = self.0.len().saturating_sub(1);
            self.0.get((last as f64 * share) as usize).map_or(f64::NAN, |ns| *ns as f64 / 1e3)
        };
        println!(
            "{what:<40} n {:>4}  error µs: median {:>7.1}  p99 {:>7.1}  max {:>7.1}",
            self.0.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
        let over = self.0.iter().filter(|error| **error > bound_ns).count();
        assert!(over <= allowed, "{what}: {over} over the bound of {bound_ns} ns");
    }
}
