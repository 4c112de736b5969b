//! The phases of the median call, and how they differ from what they are without a cause.

use da_server::calls::{Attempt, Phase, Reuse};
use da_standin::{Delay, Plan};

/// How long an answer takes by itself.
pub const USUAL_MS: f64 = 30.0;
/// Calls of each kind: what counts is their median, since each of them may have to wait for the CPU.
pub const CALLS: usize = 15;
/// A phase may differ so much from what was put in, an eighth of that at most: on a busy machine, whose
/// caches are others', all that a call does takes a millisecond or two longer. How exact single times
/// are is `accuracy`'s.
const BOUND_MS: f64 = 5.0;

/// An answer that does not outrun its own request, after which the connection ends if each call is to
/// have one of its own.
pub fn usual(reuse: Reuse) -> Plan {
    let close = reuse == Reuse::Fresh;
    Plan { close, chunks: Some(2), first_byte_ms: Delay::Fixed(USUAL_MS), ..Plan::default() }
}

/// The median of so many figures.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// The phases of the median attempt, ms.
pub struct Medians([f64; Phase::ALL.len()]);

impl Medians {
    /// Those of no call.
    pub const NONE: Self = Self([0.0; Phase::ALL.len()]);

    pub fn of(attempts: &[Attempt]) -> Self {
        let ms = |phase| attempts.iter().map(move |one| one.phases.ns(phase) as f64 / 1e6);
        Self(Phase::ALL.map(|phase| median(ms(phase).collect())))
    }

    /// Prints what the columns of [`Self::differ`] are.
    pub fn head(what: &str) {
        let names = Phase::ALL.map(|phase| format!("{:>12}", phase.as_str()));
        println!("{what:<18}{}", names.concat());
    }

    /// Prints how each phase differs from what it is without the cause; whether these do by so much,
    /// and no other.
    pub fn differ(&self, cause: &str, without: &Self, phases: &[Phase], by_ms: f64) -> bool {
        let differs = |one: Phase| self.0[one as usize] - without.0[one as usize];
        let expected = |one: Phase| if phases.contains(&one) { by_ms } else { 0.0 };
        let cells = Phase::ALL.map(|one| format!("{:>12.2}", differs(one)));
        println!("{cause:<18}{}", cells.concat());
        Phase::ALL.into_iter().all(|one| (differs(one) - expected(one)).abs() <= BOUND_MS)
    }
}
