//! Moments that the kernel view tells of, between what the two ends saw just before and just after them.
//!
//! All clocks are one, so the order can't be spoiled: on a busy machine the ends only see it from further
//! apart.

use std::time::Duration;

/// The shortest delay that these tests put in. A bracket that is narrower shows that a time is right; a wider
/// one only that it is not out of order.
const NARROW: Duration = Duration::from_millis(5);

/// The brackets around moments of one kind, by how long they are, ns.
#[derive(Default)]
pub struct Brackets(Vec<u64>);

impl Brackets {
    /// Adds one.
    ///
    /// # Panics
    /// If the moment is not within it.
    pub fn add(&mut self, earliest_ns: u64, moment_ns: u64, latest_ns: u64) {
        assert!(
            (earliest_ns..=latest_ns).contains(&moment_ns),
            "{} ns after the earliest that it can be, {} ns before the latest",
            moment_ns.cast_signed() - earliest_ns.cast_signed(),
            latest_ns.cast_signed() - moment_ns.cast_signed(),
        );
        self.0.push(latest_ns - earliest_ns);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Prints how long they are, the median and the longest.
    ///
    /// # Panics
    /// If fewer than one in ten is narrow: then they show nothing.
    pub fn assert_narrow(self, what: &str) {
        let all = self.len();
        let narrow = self.print(what);
        assert!(narrow * 10 >= all, "{what}: only {narrow} of {all} show it");
    }

    /// Prints how long they are; how many are narrow.
    pub fn print(mut self, what: &str) -> usize {
        self.0.sort_unstable();
        let us = |at: usize| self.0.get(at).map_or(f64::NAN, |ns| *ns as f64 / 1e3);
        let narrow = self.0.iter().filter(|ns| u128::from(**ns) < NARROW.as_nanos()).count();
        println!(
            "{what:<44} n {:>4}, each within what its ends saw; µs from one to the other: \
             median {:>7.1}, longest {:>8.1}; {narrow} below {NARROW:?}",
            self.0.len(),
            us(self.0.len() / 2),
            us(self.0.len().saturating_sub(1)),
        );
        narrow
    }
}

#[test]
fn a_moment_outside_of_its_bracket_fails_and_so_do_brackets_that_show_nothing() {
    let fails = |of: fn()| std::panic::catch_unwind(of).is_err();
    let add = |moment_ns| Brackets::default().add(10, moment_ns, 20);
    add(10);
    add(20);
    assert!(fails(|| Brackets::default().add(10, 9, 20)), "before");
    assert!(fails(|| Brackets::default().add(10, 21, 20)), "after");
    assert!(fails(|| Brackets(vec![5_000_000; 10]).assert_narrow("wide")));
    let mut one_in_ten = vec![5_000_000; 9];
    one_in_ten.push(4_999_999);
    Brackets(one_in_ten).assert_narrow("narrow");
}
