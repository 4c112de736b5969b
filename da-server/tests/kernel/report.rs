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

    /// Prints median, p99 and maximum; whether all but a few are within the bound. A few may be over
    /// it: a process that is preempted between its clock and its system call proves nothing.
    #[must_use]
    pub fn within(mut self, what: &str, bound_ns: u64) -> bool {
        self.0.sort_unstable();
        let at = |share: f64| {
            let last = self.0.len().saturating_sub(1);
            self.0.get((last as f64 * share) as usize).map_or(f64::NAN, |ns| *ns as f64 / 1e3)
        };
        let over = self.0.iter().filter(|error| **error > bound_ns).count();
        println!(
            "{what:<40} n {:>4}  error µs: median {:>7.1}  p99 {:>7.1}  max {:>7.1}  over {:>2}",
            self.0.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            over
        );
        over <= 1 + self.0.len() / 50
    }
}
