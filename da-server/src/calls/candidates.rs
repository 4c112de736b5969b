//! Which of the things the kernel saw an attempt may be, whose own addresses are not known: it ended
//! before it had an answer. Decided by thread and time, and only where nothing else is possible.

use super::sockets::{Birth, Connection, Sockets};
use crate::provider::AttemptTimings;

/// A connection that takes a request's body hands it to the kernel at once; the thread may lose the
/// CPU in between.
const TAKEN_TO_SENT_NS: u64 = 50_000_000;
/// The same where the thread is known, so that its first request is the one.
const TAKEN_TO_SENT_BY_THREAD_NS: u64 = 1_000_000_000;
/// So far apart may be the end of an attempt and the close of its connection, either way: whichever
/// side noticed the other's.
const END_TO_CLOSE_NS: u64 = 1_000_000_000;

/// Something that the kernel saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidate {
    /// An exchange, by its connection and its number there.
    Exchange(Birth, u64),
    /// A connection on which nothing was asked.
    Connection(Birth),
}

/// An attempt and what it may be.
#[derive(Debug)]
pub struct Seeker<W> {
    /// The attempt.
    pub who: W,
    /// All that fits.
    pub candidates: Vec<Candidate>,
}

/// All that fits an attempt.
pub fn candidates(sockets: &Sockets, timings: &AttemptTimings) -> Vec<Candidate> {
    let leads_there = |connection: &Connection| {
        // Who takes a connection from the pool does not ask for the addresses of the name.
        let known = timings.addresses.contains(&connection.remote.ip().to_canonical())
            || timings.addresses.is_empty() && timings.body_taken_ns.is_some();
        timings.port == Some(connection.remote.port())
            && known
            && connection
                .closed_ns
                .is_some_and(|closed_ns| closed_ns.abs_diff(timings.ended_ns) <= END_TO_CLOSE_NS)
    };
    if let Some(taken_ns) = timings.body_taken_ns {
        // A thread that hands a request to its connection sends it before it does anything else.
        let (within_ns, most) = if sockets.knows_threads() {
            (TAKEN_TO_SENT_BY_THREAD_NS, 1)
        } else {
            (TAKEN_TO_SENT_NS, usize::MAX)
        };
        // Given up in that very moment, it may never be sent: then the thread's next is another's.
        let to_ns = (taken_ns + within_ns).min(timings.ended_ns + TAKEN_TO_SENT_NS);
        let was_there = |connection: &Connection| {
            connection.established_ns.is_some_and(|established_ns| established_ns <= taken_ns)
        };
        return sockets
            .unclaimed(taken_ns, to_ns)
            .filter(|(_, one)| sockets.may_be_thread(one.request_thread, timings.body_taken_by))
            .take(most)
            .filter(|(connection, _)| was_there(connection) && leads_there(connection))
            .map(|(connection, exchange)| Candidate::Exchange(connection.birth(), exchange.number))
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
        all.extend(born.map(|connection| Candidate::Connection(connection.birth())));
    }
    all
}

/// Finds what each attempt must be: one that fits a single thing is that, which then is nobody
/// else's. Takes the attempts that are decided out of `seekers`; of the others nothing is guessed.
pub fn deduce<W: Copy>(seekers: &mut Vec<Seeker<W>>) -> Vec<(W, Candidate)> {
    let mut found = Vec::new();
    loop {
        // Two that fit nothing but the same thing contradict each other.
        let only = |seeker: &Seeker<W>, one: Candidate| seeker.candidates == [one];
        let decided = seekers.iter().position(|seeker| match seeker.candidates[..] {
            [one] => seekers.iter().filter(|other| only(other, one)).count() == 1,
            _ => false,
        });
        let Some(decided) = decided else { break };
        let Seeker { who, candidates } = seekers.swap_remove(decided);
        for other in seekers.iter_mut() {
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

    fn seekers(all: &[&[u64]]) -> Vec<Seeker<usize>> {
        let seeker = |(who, fits): (usize, &&[u64])| Seeker {
            who,
            candidates: fits.iter().map(|n| connection(*n)).collect(),
        };
        all.iter().enumerate().map(seeker).collect()
    }

    fn deduced(all: &[&[u64]]) -> (Vec<(usize, Candidate)>, usize) {
        let mut left = seekers(all);
        let mut found = deduce(&mut left);
        found.sort_by_key(|(who, _)| *who);
        (found, left.iter().filter(|seeker| !seeker.candidates.is_empty()).count())
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
