//! Which look-ups connections have followed.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use super::message::Question;

/// Look-ups that are remembered of all processes, and of one; of more, the oldest are forgotten.
const MAX_LOOKUPS: usize = 1_024;
const MAX_OF_PROCESS: usize = 64;
/// Answers of one look-up: a search list has few domains, and there are two kinds of address.
const MAX_ANSWERS: usize = 16;
/// A query belongs to the look-up before it, of the same host by the same process, if it was sent no later than so
/// long after the last answer: resolvers ask for one kind of address after the other, and for one domain of a search
/// list after the other.
const SAME_LOOKUP_NS: u64 = 100_000_000;
/// A connection that begins no later than so long after its host was looked up has waited for that, if the same thread
/// did both. Later, it is one to an address that was known.
const FOLLOWS_NS: u64 = 1_000_000_000;
/// The same of another thread: a pool of threads may look up for one that connects.
const FOLLOWS_ANOTHER_NS: u64 = 500_000_000;
/// Connections that begin together have waited together.
const TOGETHER_NS: u64 = 10_000_000;
/// For how long an address tells which host a connect that failed was for.
const TELLS_HOST_NS: u64 = 60_000_000_000;

/// How a host was looked up. Times are ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The first query was sent.
    pub from_ns: u64,
    /// The last answer was read.
    pub to_ns: u64,
    /// Who gave it; none where several were asked over one socket.
    pub resolver: Option<SocketAddr>,
}

/// Who asked, or connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// Its process.
    pub pid: u32,
    /// Its thread.
    pub thread: u32,
}

/// An answer to one query.
#[derive(Debug, Clone)]
pub struct Answered {
    /// What was asked; not kept of hosts that nobody lists.
    pub question: Option<Question>,
    /// When, and by whom it was answered.
    pub resolved: Resolved,
    /// What is there.
    pub addresses: Vec<IpAddr>,
}

#[derive(Debug)]
struct Lookup {
    asker: Asker,
    /// None where nobody lists it.
    host: Option<String>,
    answers: Vec<Answered>,
    /// When the first connection began that had waited for it, ns.
    followed_ns: Option<u64>,
}

impl Lookup {
    fn last_ns(&self) -> u64 {
        self.answers.iter().map(|answer| answer.resolved.to_ns).max().unwrap_or(0)
    }

    /// As it stood at that time, if the address was among its answers.
    fn by(&self, at_ns: u64, address: IpAddr) -> Option<Resolved> {
        let mut there = self.answers.iter().filter(|answer| answer.resolved.to_ns <= at_ns);
        let has_address = there.clone().any(|answer| answer.addresses.contains(&address));
        let first = there.next().filter(|_| has_address)?.resolved;
        Some(there.fold(first, |all, answer| {
            let Resolved { from_ns, to_ns, resolver } = answer.resolved;
            let is_later = to_ns > all.to_ns;
            Resolved {
                from_ns: all.from_ns.min(from_ns),
                to_ns: all.to_ns.max(to_ns),
                resolver: if is_later { resolver } else { all.resolver },
            }
        }))
    }
}

/// The latest look-ups of all processes.
#[derive(Debug, Default)]
pub struct Resolutions(VecDeque<Lookup>);

impl Resolutions {
    /// Somebody has an answer to a query for `host`; none where nobody lists that.
    pub fn answered(&mut self, asker: Asker, host: Option<&str>, answered: Answered) {
        let is_over = |lookup: &Lookup| {
            answered.resolved.to_ns.saturating_sub(lookup.last_ns()) > TELLS_HOST_NS
        };
        while self.0.front().is_some_and(is_over) {
            self.0.pop_front();
        }
        // A question that is asked once more begins another look-up: of another thread, or a later one.
        let lacks_it = |lookup: &&mut Lookup| {
            lookup.asker.pid == asker.pid
                && lookup.host.as_deref() == host
                && lookup.host.is_some()
                && lookup.followed_ns.is_none()
                && lookup.answers.len() < MAX_ANSWERS
                && lookup.answers.iter().all(|other| other.question != answered.question)
                && answered.resolved.from_ns <= lookup.last_ns() + SAME_LOOKUP_NS
        };
        let candidates = self.0.iter_mut().rev().filter(lacks_it);
        if let Some(lookup) = candidates.max_by_key(|lookup| lookup.asker == asker) {
            lookup.answers.push(answered);
            return;
        }
        let is_own = |lookup: &Lookup| lookup.asker.pid == asker.pid;
        if self.0.iter().filter(|lookup| is_own(lookup)).count() >= MAX_OF_PROCESS
            && let Some(oldest) = self.0.iter().position(is_own)
        {
            self.0.remove(oldest);
        } else if self.0.len() == MAX_LOOKUPS {
            self.0.pop_front();
        }
        let (host, answers) = (host.map(str::to_owned), vec![answered]);
        self.0.push_back(Lookup { asker, host, answers, followed_ns: None });
    }

    /// The look-up that a connection, which began at `born_ns`, has waited for, if it did. `name` is what it asked for
    /// there, if it said so.
    pub fn followed(
        &mut self,
        asker: Asker,
        address: IpAddr,
        born_ns: u64,
        name: Option<&str>,
    ) -> Option<Resolved> {
        let waited = |lookup: &Lookup| {
            let host = lookup.host.as_deref()?;
            let is_own = lookup.asker.pid == asker.pid && name.is_none_or(|name| name == host);
            let resolved = lookup.by(born_ns, address).filter(|_| is_own)?;
            let most_ns = if lookup.asker == asker { FOLLOWS_NS } else { FOLLOWS_ANOTHER_NS };
            let is_soon = match lookup.followed_ns {
                None => born_ns - resolved.to_ns <= most_ns,
                Some(first_ns) => born_ns.abs_diff(first_ns) <= TOGETHER_NS,
            };
            is_soon.then_some(resolved)
        };
        let candidates = self
            .0
            .iter_mut()
            .filter_map(|lookup| waited(lookup).map(|resolved| (lookup, resolved)));
        let (lookup, resolved) =
            candidates.max_by_key(|(lookup, resolved)| (lookup.asker == asker, resolved.to_ns))?;
        lookup.followed_ns.get_or_insert(born_ns);
        Some(resolved)
    }

    /// When a process last had an answer to a question, ns; 0 where it had none.
    pub fn last_answer_ns(&self, pid: u32, question: &Question) -> u64 {
        let own = self.0.iter().filter(|lookup| lookup.asker.pid == pid);
        let answers = own.flat_map(|lookup| &lookup.answers);
        let same = answers.filter(|answer| answer.question.as_ref() == Some(question));
        same.map(|answer| answer.resolved.to_ns).max().unwrap_or(0)
    }

    /// What a process wanted at an address by then.
    pub fn wanted_at(&self, pid: u32, address: IpAddr, at_ns: u64) -> Wanted<'_> {
        let is_there = |lookup: &&Lookup| {
            let age_ns = at_ns.saturating_sub(lookup.last_ns());
            lookup.asker.pid == pid
                && age_ns <= TELLS_HOST_NS
                && lookup.by(at_ns, address).is_some()
        };
        let mut hosts = self.0.iter().filter(is_there).map(|lookup| lookup.host.as_deref());
        match hosts.next() {
            None => Wanted::Unknown,
            Some(first) if hosts.all(|host| host == first) => {
                first.map_or(Wanted::Unlisted, Wanted::Host)
            }
            Some(_) => Wanted::Several,
        }
    }
}

/// What a process wanted at an address, by what it has looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// It has looked up nothing that is there.
    Unknown,
    /// One host.
    Host(&'a str),
    /// Only what nobody lists.
    Unlisted,
    /// Several.
    Several,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;
    const MAIN: Asker = Asker { pid: 7, thread: 7 };
    const OTHER: Asker = Asker { pid: 7, thread: 8 };

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn resolved(from_ms: u64, to_ms: u64) -> Resolved {
        let resolver = Some(SocketAddr::from(([127, 0, 0, 53], 53)));
        Resolved { from_ns: from_ms * MS, to_ns: to_ms * MS, resolver }
    }

    /// An answer to a question about `name`.
    fn answer(name: &str, is_v6: bool, times_ms: (u64, u64), addresses: &[IpAddr]) -> Answered {
        Answered {
            question: Some(Question { name: name.to_owned(), is_v6 }),
            resolved: resolved(times_ms.0, times_ms.1),
            addresses: addresses.to_vec(),
        }
    }

    fn followed(all: &mut Resolutions, asker: Asker, at_ms: u64) -> Option<Resolved> {
        all.followed(asker, address(1), at_ms * MS, Some("a.example"))
    }

    #[test]
    fn a_connection_has_waited_for_all_queries_of_its_look_up() {
        let mut all = Resolutions::default();
        let host = Some("a.example");
        // A search list: not there, then there, in both kinds.
        all.answered(MAIN, host, answer("a.example.corp", false, (1_000, 1_020), &[]));
        all.answered(MAIN, host, answer("a.example", false, (1_021, 1_030), &[address(1)]));
        all.answered(MAIN, host, answer("a.example", true, (1_021, 1_050), &[]));
        let stranger = Asker { pid: 9, thread: 9 };
        assert_eq!(followed(&mut all, stranger, 1_051), None, "another process");
        let elsewhere = all.followed(MAIN, address(2), 1_051 * MS, None);
        assert_eq!(elsewhere, None, "another address");
        let other_name = all.followed(MAIN, address(1), 1_051 * MS, Some("b.example"));
        assert_eq!(other_name, None);
        assert_eq!(followed(&mut all, MAIN, 1_029), None, "before there was an address");
        assert_eq!(followed(&mut all, MAIN, 1_051), Some(resolved(1_000, 1_050)));
        assert_eq!(followed(&mut all, MAIN, 1_056), Some(resolved(1_000, 1_050)), "together");
        assert_eq!(followed(&mut all, MAIN, 1_190), None, "the address was known");
    }

    #[test]
    fn a_connection_that_does_not_wait_for_the_other_kind_of_address_has_not() {
        let mut all = Resolutions::default();
        all.answered(
            MAIN,
            Some("a.example"),
            answer("a.example", false, (1_000, 1_010), &[address(1)]),
        );
        all.answered(MAIN, Some("a.example"), answer("a.example", true, (1_000, 1_400), &[]));
        assert_eq!(followed(&mut all, MAIN, 1_011), Some(resolved(1_000, 1_010)));
    }

    #[test]
    fn threads_that_look_a_host_up_at_once_have_each_waited_for_their_own() {
        let mut all = Resolutions::default();
        let host = Some("a.example");
        all.answered(MAIN, host, answer("a.example", false, (1_000, 1_003), &[address(1)]));
        all.answered(OTHER, host, answer("a.example", false, (1_030, 1_033), &[address(1)]));
        all.answered(MAIN, host, answer("a.example", true, (1_000, 1_004), &[]));
        all.answered(OTHER, host, answer("a.example", true, (1_030, 1_034), &[]));
        assert_eq!(followed(&mut all, OTHER, 1_035), Some(resolved(1_030, 1_034)));
        assert_eq!(followed(&mut all, MAIN, 1_036), Some(resolved(1_000, 1_004)));
        // One that connects for another thread, later than which there is no other.
        all.answered(OTHER, host, answer("a.example", false, (2_000, 2_003), &[address(1)]));
        assert_eq!(followed(&mut all, MAIN, 2_004), Some(resolved(2_000, 2_003)));
        all.answered(OTHER, host, answer("a.example", false, (3_000, 3_003), &[address(1)]));
        assert_eq!(followed(&mut all, MAIN, 3_504), None);
        assert_eq!(followed(&mut all, OTHER, 3_504), Some(resolved(3_000, 3_003)));
    }

    #[test]
    fn an_address_tells_a_host_while_all_agree() {
        let mut all = Resolutions::default();
        let at = |name: &str, addresses: &[IpAddr]| answer(name, false, (1_000, 1_020), addresses);
        let ten = [address(1), address(2), address(3)];
        all.answered(MAIN, Some("a.example"), at("a.example", &ten));
        all.answered(OTHER, Some("b.example"), at("b.example", &[address(2)]));
        all.answered(OTHER, None, at("nobody.example", &[address(3), address(4)]));
        let wanted = |pid, last, at_ns| all.wanted_at(pid, address(last), at_ns);
        assert_eq!(wanted(7, 1, 5_000 * MS), Wanted::Host("a.example"));
        assert_eq!(wanted(7, 2, 5_000 * MS), Wanted::Several);
        assert_eq!(wanted(7, 3, 5_000 * MS), Wanted::Several, "one that nobody lists among them");
        assert_eq!(wanted(7, 4, 5_000 * MS), Wanted::Unlisted);
        assert_eq!(wanted(8, 1, 5_000 * MS), Wanted::Unknown);
        assert_eq!(wanted(7, 1, 1_020 * MS + TELLS_HOST_NS + 1), Wanted::Unknown);
        let asked = Question { name: "a.example".to_owned(), is_v6: false };
        assert_eq!(all.last_answer_ns(7, &asked), 1_020 * MS);
        assert_eq!(all.last_answer_ns(8, &asked), 0);
    }

    #[test]
    fn the_oldest_look_ups_give_way_and_of_one_process_first() {
        let mut all = Resolutions::default();
        let one = |pid: u32, name: &str| {
            let asker = Asker { pid, thread: pid };
            (asker, answer(name, false, (1_000, 1_020), &[address(1)]))
        };
        let (asker, first) = one(1, "a.example");
        all.answered(asker, Some("a.example"), first);
        for number in 0..=MAX_OF_PROCESS {
            let name = format!("{number}.example");
            let (asker, answer) = one(2, &name);
            all.answered(asker, Some(&name), answer);
        }
        assert_eq!(all.0.len(), 1 + MAX_OF_PROCESS);
        let wanted =
            |all: &Resolutions| all.wanted_at(1, address(1), 1_021 * MS) != Wanted::Unknown;
        assert!(wanted(&all));
        for pid in 3..MAX_LOOKUPS as u32 + 3 {
            let (asker, answer) = one(pid, "a.example");
            all.answered(asker, Some("a.example"), answer);
        }
        assert_eq!(all.0.len(), MAX_LOOKUPS);
        assert!(!wanted(&all));
        let (asker, mut late) = one(1, "a.example");
        late.resolved.to_ns += TELLS_HOST_NS + 1;
        all.answered(asker, Some("a.example"), late);
        assert_eq!(all.0.len(), 1, "the others are over");
    }
}
