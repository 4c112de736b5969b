//! Errors of a measurement, and how they are printed.

use super::heartbeat::Late;

/// What two clocks say of one duration.
struct Sample {
    error_ns: u64,
    from_ns: u64,
    to_ns: u64,
}

impl Sample {
    /// For how long a processor stood still meanwhile: so much either clock may have been read late.
    fn late_ns(&self, late: &[Late]) -> u64 {
        let overlaps = |one: &&Late| one.from_ns < self.to_ns && self.from_ns < one.to_ns;
        late.iter().filter(overlaps).map(|one| one.to_ns - one.from_ns).sum()
    }
}

/// Absolute differences between what the kernel view and the stand-in (or the client) measured.
#[derive(Default)]
pub struct Errors(Vec<Sample>);

impl Errors {
    /// Adds the difference of a duration that was measured, from its beginning to its end, and what it
    /// should have been.
    pub fn add(&mut self, (from_ns, to_ns): (u64, u64), expected_ns: u64) {
        let error_ns = (to_ns - from_ns).abs_diff(expected_ns);
        self.0.push(Sample { error_ns, from_ns, to_ns });
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Prints median, p99 and maximum; whether all but a few are within the bound, longer by the time in
    /// which a processor provably stood still. A few may be over it: an interrupt between a clock and
    /// its system call is in nobody's sight.
    #[must_use]
    pub fn within(mut self, what: &str, bound_ns: u64, late: &[Late]) -> bool {
        self.0.sort_unstable_by_key(|sample| sample.error_ns);
        let at = |share: f64| {
            let last = self.0.len().saturating_sub(1);
            let sample = self.0.get((last as f64 * share) as usize);
            sample.map_or(f64::NAN, |sample| sample.error_ns as f64 / 1e3)
        };
        let beyond = || self.0.iter().filter(|sample| sample.error_ns > bound_ns);
        let over =
            beyond().filter(|sample| sample.error_ns > bound_ns + sample.late_ns(late)).count();
        println!(
            "{what:<40} n {:>4}  error µs: median {:>7.1}  p99 {:>7.1}  max {:>7.1}  over {over:>2}, \
             and {} while a processor stood still",
            self.0.len(),
            at(0.5),
            at(0.99),
            at(1.0),
            beyond().count() - over
        );
        over <= 1 + self.0.len() / 50
    }
}

#[test]
fn a_processor_that_stood_still_excuses_what_it_delayed_and_by_no_more() {
    let late = [Late { from_ns: 1_000, to_ns: 1_500 }];
    let errors = |from_ns: u64, error_ns: u64| {
        let mut errors = Errors::default();
        (0..10).for_each(|_| errors.add((from_ns, from_ns + 600 + error_ns), 600));
        errors
    };
    assert!(errors(900, 100).within("within", 100, &late));
    assert!(errors(900, 600).within("beyond, and delayed so long", 100, &late));
    assert!(!errors(900, 601).within("beyond, and not delayed so long", 100, &late));
    assert!(!errors(2_000, 600).within("beyond, and delayed before", 100, &late));
}
