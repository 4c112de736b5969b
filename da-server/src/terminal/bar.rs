//! A call as a bar of letters, one for each phase.

use crate::calls::{Call, Phase};

/// What stands for the time between two attempts.
pub(super) const PAUSE: char = '·';

/// The letter of a phase.
pub(super) const fn letter(phase: Phase) -> char {
    match phase {
        Phase::Queue => 'q',
        Phase::Dns => 'd',
        Phase::Connect => 'c',
        Phase::Tls => 't',
        Phase::Send => 's',
        Phase::Wait => 'w',
        Phase::Pickup => 'p',
        Phase::FirstToken => 'f',
        Phase::Stream => '=',
        Phase::Unexplained => '?',
    }
}

/// What the call was in at each of so many instants, evenly spread over it; `None` for a pause.
pub(super) fn cells(call: &Call, count: u64) -> Vec<Option<Phase>> {
    let at = |cell: u64| call.duration_ns.saturating_mul(2 * cell + 1) / (2 * count);
    (0..count).map(|cell| phase_at(call, at(cell))).collect()
}

fn phase_at(call: &Call, at_ns: u64) -> Option<Phase> {
    let mut attempts = call.attempts.iter().rev();
    let attempt = attempts.find(|attempt| attempt.after_ns <= at_ns)?;
    let mut end_ns = attempt.after_ns;
    let mut phases = attempt.phases.iter();
    phases.find_map(|(phase, ns)| {
        end_ns += ns;
        (at_ns < end_ns).then_some(phase)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::PhaseSplitter;
    use crate::calls::sample_call as call;

    fn drawn(call: &Call, count: u64) -> String {
        cells(call, count).into_iter().map(|cell| cell.map_or(PAUSE, letter)).collect()
    }

    #[test]
    fn cells_follow_the_phases_in_proportion_and_show_pauses() {
        let mut call = call(1, 100);
        let mut splitter = PhaseSplitter::new(0, 40);
        splitter.until(Phase::Tls, 10).until(Phase::Wait, 30);
        call.attempts[0].phases = splitter.rest(Phase::Stream);
        let mut second = call.attempts[0].clone();
        second.after_ns = 60;
        call.attempts.push(second);
        assert_eq!(drawn(&call, 10), "tww=··tww=");
        assert_eq!(drawn(&call, 1), "·");
    }

    #[test]
    fn calls_of_no_length_and_without_attempts_are_drawn_too() {
        let mut nothing = call(1, 0);
        assert_eq!(drawn(&nothing, 3), "···");
        nothing.attempts.clear();
        nothing.duration_ns = u64::MAX;
        assert_eq!(drawn(&nothing, 3), "···");
    }
}
