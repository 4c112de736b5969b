//! Who connects: a bounded number of processes and workloads that are told apart.

use std::time::{Duration, Instant};

/// Both labels of whatever is beyond the bound.
const OTHER: &str = "other";
/// A caller that has had no connection for so long gives way to another one.
pub const UNUSED_FOR: Duration = Duration::from_secs(15 * 60);

/// Values of the labels `process` and `workload`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// What the process that connected calls itself.
    pub process: String,
    /// The workload it belongs to; where that is not known, the process once more.
    pub workload: String,
}

impl Caller {
    fn others() -> Self {
        Self { process: OTHER.to_owned(), workload: OTHER.to_owned() }
    }
}

/// One of them; another one never has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(u64);

/// Names of processes and workloads are theirs to choose, so there is a bound to them.
#[derive(Debug)]
pub struct Callers {
    max: usize,
    known: Vec<Known>,
    /// Those that gave way.
    gone: Vec<CallerId>,
    made: u64,
    unused_for: Duration,
}

#[derive(Debug)]
struct Known {
    id: CallerId,
    caller: Caller,
    /// Connections it has now.
    open: i64,
    used: Instant,
}

/// That of all who are not told apart.
const ALL_OTHERS: CallerId = CallerId(0);

impl Callers {
    /// None yet, and never more than `max`.
    pub fn new(max: usize) -> Self {
        Self { max, known: Vec::new(), gone: Vec::new(), made: 0, unused_for: UNUSED_FOR }
    }

    /// The same, and they give way after so long.
    #[cfg(test)]
    pub fn unused_for(self, unused_for: Duration) -> Self {
        Self { unused_for, ..self }
    }

    /// How many there can be.
    pub fn max(&self) -> usize {
        self.max
    }

    /// That of a caller which connects at `now`, and the labels that it has.
    pub fn id(&mut self, caller: Caller, now: Instant) -> (CallerId, Caller) {
        if caller.process == OTHER {
            return (ALL_OTHERS, Caller::others());
        }
        if let Some(known) = self.known.iter_mut().find(|known| known.caller == caller) {
            known.used = now;
            return (known.id, caller);
        }
        if self.known.len() >= self.max && !self.make_room(now) {
            return (ALL_OTHERS, Caller::others());
        }
        self.made += 1;
        let id = CallerId(self.made);
        self.known.push(Known { id, caller: caller.clone(), open: 0, used: now });
        (id, caller)
    }

    /// A caller has one connection more, or one less.
    pub fn opened(&mut self, id: CallerId, change: i64, now: Instant) {
        if let Some(known) = self.known.iter_mut().find(|known| known.id == id) {
            known.open += change;
            known.used = now;
        }
    }

    /// Those that gave way since the last call: nothing is measured of them any more.
    pub fn take_gone(&mut self) -> Vec<CallerId> {
        std::mem::take(&mut self.gone)
    }

    /// The one that has been without a connection for longest gives way, if that is long enough.
    fn make_room(&mut self, now: Instant) -> bool {
        let unused = |known: &Known| now.saturating_duration_since(known.used);
        let idle = self.known.iter().enumerate().filter(|(_, known)| known.open <= 0);
        let Some((at, longest)) = idle.max_by_key(|(_, known)| unused(known)) else { return false };
        if unused(longest) < self.unused_for {
            return false;
        }
        self.gone.push(self.known.swap_remove(at).id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(process: &str, workload: &str) -> Caller {
        Caller { process: process.to_owned(), workload: workload.to_owned() }
    }

    fn labels(callers: &mut Callers, process: &str, workload: &str, now: Instant) -> [String; 2] {
        let (_, Caller { process, workload }) = callers.id(caller(process, workload), now);
        [process, workload]
    }

    #[test]
    fn callers_beyond_the_bound_are_other() {
        let (mut callers, now) = (Callers::new(2), Instant::now());
        for (asked, told) in [
            (["python3", "shop/bot"], ["python3", "shop/bot"]),
            (["python3", "shop/web"], ["python3", "shop/web"]),
            (["node", "node"], ["other", "other"]),
            (["python3", "shop/bot"], ["python3", "shop/bot"]),
            (["other", "a.service"], ["other", "other"]),
        ] {
            assert_eq!(labels(&mut callers, asked[0], asked[1], now), told, "{asked:?}");
        }
        assert!(callers.take_gone().is_empty());
    }

    #[test]
    fn one_without_a_connection_for_long_gives_way() {
        let (mut callers, now) = (Callers::new(2), Instant::now());
        let (open, _) = callers.id(caller("a", "a"), now);
        callers.opened(open, 1, now);
        let (idle, _) = callers.id(caller("b", "b"), now + Duration::from_secs(1));
        let soon = now + UNUSED_FOR;
        assert_eq!(labels(&mut callers, "c", "c", soon), ["other"; 2]);
        let later = soon + Duration::from_secs(1);
        assert_eq!(labels(&mut callers, "c", "c", later), ["c"; 2]);
        assert_eq!(callers.take_gone(), [idle], "not the one that has a connection");
        let (again, _) = callers.id(caller("b", "b"), later + UNUSED_FOR);
        assert_ne!(again, idle);
    }
}
