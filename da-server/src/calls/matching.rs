//! Matches attempts whose addresses are not known, since they ended before they had an answer, with what
//! the kernel saw: by thread and time, and only where nothing else fits.

use super::sockets::{ConnectionKey, ObservedConnection, Sockets};
use crate::provider::AttemptTimings;

/// A connection that takes a request's body hands it to the kernel at once; the thread may lose the
/// CPU in between.
const MAX_TAKEN_TO_SENT_NS: u64 = 50_000_000;
/// The same where the thread is known, so that its first request is the one.
const MAX_TAKEN_TO_SENT_BY_THREAD_NS: u64 = 1_000_000_000;
/// So far apart may be the end of an attempt and the close of its connection, either way: whichever
/// side noticed the other's.
const MAX_END_TO_CLOSE_NS: u64 = 1_000_000_000;

/// What an attempt may be, of all that the kernel saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate {
    /// An exchange, by its connection and its number there.
    Exchange(ConnectionKey, u64),
    /// A connection on which nothing was asked.
    Connection(ConnectionKey),
}

/// An attempt that is not matched yet, and its candidates.
#[derive(Debug)]
pub struct UnmatchedAttempt<W> {
    /// The attempt.
    pub who: W,
    /// All that fits.
    pub candidates: Vec<Candidate>,
}

/// The candidates that fit an attempt.
pub fn candidates(sockets: &Sockets, timings: &AttemptTimings) -> Vec<Candidate> {
    let leads_there = |connection: &ObservedConnection| {
        // Who takes a connection from the pool does not ask for the addresses of the name.
        let known = timings.addresses.contains(&connection.remote.ip().to_canonical())
            || timings.addresses.is_empty() && timings.body_taken_ns.is_some();
        timings.port == Some(connection.remote.port())
            && known
            && connection.closed_ns.is_some_and(|closed_ns| {
                closed_ns.abs_diff(timings.ended_ns) <= MAX_END_TO_CLOSE_NS
            })
    };
    if let Some(taken_ns) = timings.body_taken_ns {
        // A thread that hands a request to its connection sends it before it does anything else.
        let (within_ns, most) = if sockets.knows_threads() {
            (MAX_TAKEN_TO_SENT_BY_THREAD_NS, 1)
        } else {
            (MAX_TAKEN_TO_SENT_NS, usize::MAX)
        };
        // Given up in that very moment, it may never be sent: then the thread's next is another's.
        let to_ns = (taken_ns + within_ns).min(timings.ended_ns + MAX_TAKEN_TO_SENT_NS);
        let was_there = |connection: &ObservedConnection| {
            connection.established_ns.is_some_and(|established_ns| established_ns <= taken_ns)
        };
        return sockets
            .unclaimed(taken_ns, to_ns)
            .filter(|(_, one)| sockets.may_be_thread(one.request_thread, timings.body_taken_by))
            .take(most)
            .filter(|(connection, _)| was_there(connection) && leads_there(connection))
            .map(|(connection, exchange)| Candidate::Exchange(connection.key(), exchange.number))
            .collect();
    }
    // Nothing is connected to before its address is known.
    let resolved_ns = timings.dns_ns.and_then(|(_, to_ns)| to_ns).unwrap_or(timings.asked_ns);
    let mut all = Vec::new();
    for poll in timings.connect_polls.iter().filter(|poll| poll.to_ns >= resolved_ns) {
        let born = sockets
            .born(poll.from_ns.max(resolved_ns), poll.to_ns)
            .filter(|connection| sockets.may_be_thread(connection.thread, poll.thread))
            .filter(|connection| leads_there(connection));
        all.extend(born.map(|connection| Candidate::Connection(connection.key())));
    }
    all
}

/// Matches each attempt that has a single candidate, which then is no other attempt's. Takes the matched
/// attempts out of `unmatched`; of the others nothing is guessed.
pub fn match_unique<W: Copy>(unmatched: &mut Vec<UnmatchedAttempt<W>>) -> Vec<(W, Candidate)> {
    let mut found = Vec::new();
    loop {
        // Two that fit nothing but the same thing contradict each other.
        let only = |attempt: &UnmatchedAttempt<W>, one: Candidate| attempt.candidates == [one];
        let decided = unmatched.iter().position(|attempt| match attempt.candidates[..] {
            [one] => unmatched.iter().filter(|other| only(other, one)).count() == 1,
            _ => false,
        });
        let Some(decided) = decided else { break };
        let UnmatchedAttempt { who, candidates } = unmatched.swap_remove(decided);
        for other in unmatched.iter_mut() {
            other.candidates.retain(|one| !candidates.contains(one));
        }
        found.extend(candidates.into_iter().map(|candidate| (who, candidate)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(n: u64) -> Candidate {
        Candidate::Connection((n, 0))
    }

    fn unmatched(all: &[&[u64]]) -> Vec<UnmatchedAttempt<usize>> {
        let attempt = |(who, fits): (usize, &&[u64])| UnmatchedAttempt {
            who,
            candidates: fits.iter().map(|n| connection(*n)).collect(),
        };
        all.iter().enumerate().map(attempt).collect()
    }

    fn deduced(all: &[&[u64]]) -> (Vec<(usize, Candidate)>, usize) {
        let mut left = unmatched(all);
        let mut found = match_unique(&mut left);
        found.sort_by_key(|(who, _)| *who);
        (found, left.iter().filter(|attempt| !attempt.candidates.is_empty()).count())
    }

    #[test]
    fn what_is_decided_decides_others() {
        let all = vec![(0, connection(1)), (1, connection(2)), (2, connection(3))];
        assert_eq!(deduced(&[&[1], &[1, 2], &[2, 1, 3]]), (all, 0));
    }

    #[test]
    fn of_two_that_fit_alike_none_is_chosen() {
        assert_eq!(deduced(&[&[1, 2], &[1, 2]]), (vec![], 2));
        let decided = vec![(2, connection(3))];
        assert_eq!(deduced(&[&[1, 2], &[2, 1, 3], &[3]]), (decided, 2));
    }

    #[test]
    fn two_that_are_both_sure_of_one_thing_are_both_wrong() {
        assert_eq!(deduced(&[&[1], &[1], &[1, 2]]), (vec![], 3));
    }

    #[test]
    fn what_nothing_fits_is_nobodys() {
        assert_eq!(deduced(&[&[]]), (vec![], 0));
    }
}
