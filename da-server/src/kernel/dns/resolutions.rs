//! Which look-ups connections have followed.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Look-ups that are remembered; of more, the oldest are forgotten.
const MAX_LOOKUPS: usize = 1_024;
/// Addresses of a host that are remembered.
const MAX_ADDRESSES: usize = 64;
/// A query belongs to the look-up before it, of the same host by the same process, if it was sent no later than so
/// long after the last answer: resolvers ask for one kind of address after the other, and for one domain of a search
/// list after the other.
const SAME_LOOKUP_NS: u64 = 100_000_000;
/// A connection that begins no later than so long after its host was looked up has waited for that. Later, it is one
/// to an address that was known.
const FOLLOWS_NS: u64 = 200_000_000;
/// Connections that begin together have waited together.
const TOGETHER_NS: u64 = 50_000_000;
/// For how long an address tells which host a connect that failed was for.
const TELLS_HOST_NS: u64 = 60_000_000_000;

/// How a host was looked up. Times are ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved {
    /// The first query was sent.
    pub from_ns: u64,
    /// The last answer was read.
    pub to_ns: u64,
    /// Who gave it.
    pub resolver: SocketAddr,
}

#[derive(Debug)]
struct Lookup {
    pid: u32,
    host: String,
    resolved: Resolved,
    addresses: Vec<IpAddr>,
    /// When the first connection began that had waited for it, ns.
    followed_ns: Option<u64>,
}

/// The latest look-ups of all processes.
#[derive(Debug, Default)]
pub struct Resolutions(VecDeque<Lookup>);

impl Resolutions {
    /// A process has an answer to a query for `host`, with these addresses.
    pub fn answered(&mut self, pid: u32, host: &str, answer: Resolved, addresses: &[IpAddr]) {
        let is_same = |lookup: &&mut Lookup| {
            lookup.pid == pid
                && lookup.host == host
                && lookup.followed_ns.is_none()
                && answer.from_ns <= lookup.resolved.to_ns + SAME_LOOKUP_NS
        };
        if let Some(lookup) = self.0.iter_mut().rev().find(is_same) {
            let Resolved { from_ns, to_ns, resolver } = answer;
            lookup.resolved.from_ns = lookup.resolved.from_ns.min(from_ns);
            lookup.resolved.to_ns = lookup.resolved.to_ns.max(to_ns);
            lookup.resolved.resolver = resolver;
            lookup.addresses.extend(addresses);
            lookup.addresses.truncate(MAX_ADDRESSES);
            return;
        }
        if self.0.len() == MAX_LOOKUPS {
            self.0.pop_front();
        }
        let (host, addresses) = (host.to_owned(), addresses.to_vec());
        self.0.push_back(Lookup { pid, host, resolved: answer, addresses, followed_ns: None });
    }

    /// The look-up that a connection of a process, which began at `born_ns`, has waited for, if it did. `name` is what
    /// it asked for there, if it said so.
    pub fn followed(
        &mut self,
        pid: u32,
        address: IpAddr,
        born_ns: u64,
        name: Option<&str>,
    ) -> Option<Resolved> {
        let has_waited = |lookup: &&mut Lookup| {
            let since_ns = born_ns.checked_sub(lookup.resolved.to_ns);
            let is_soon = match lookup.followed_ns {
                None => since_ns.is_some_and(|ns| ns <= FOLLOWS_NS),
                Some(first_ns) => since_ns.is_some() && born_ns.abs_diff(first_ns) <= TOGETHER_NS,
            };
            lookup.pid == pid
                && is_soon
                && lookup.addresses.contains(&address)
                && name.is_none_or(|name| name == lookup.host)
        };
        let lookup = self.0.iter_mut().rev().find(has_waited)?;
        lookup.followed_ns.get_or_insert(born_ns);
        Some(lookup.resolved)
    }

    /// The host that a process wanted at an address by then; none where it has looked up several that are there.
    pub fn host_at(&self, pid: u32, address: IpAddr, at_ns: u64) -> Option<&str> {
        let is_one = |lookup: &&Lookup| {
            let age_ns = at_ns.checked_sub(lookup.resolved.from_ns);
            lookup.pid == pid
                && age_ns.is_some_and(|age_ns| age_ns <= TELLS_HOST_NS)
                && lookup.addresses.contains(&address)
        };
        let mut hosts = self.0.iter().filter(is_one).map(|lookup| lookup.host.as_str());
        let first = hosts.next()?;
        hosts.all(|host| host == first).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn answer(from_ms: u64, to_ms: u64) -> Resolved {
        let resolver = SocketAddr::from(([127, 0, 0, 53], 53));
        Resolved { from_ns: from_ms * MS, to_ns: to_ms * MS, resolver }
    }

    #[test]
    fn a_connection_has_waited_for_all_queries_of_its_look_up() {
        let mut all = Resolutions::default();
        // A search list: not there, then there, in both kinds.
        all.answered(7, "a.example", answer(1_000, 1_020), &[]);
        all.answered(7, "a.example", answer(1_021, 1_030), &[address(1)]);
        all.answered(7, "a.example", answer(1_021, 1_050), &[]);
        let at = |ms: u64| ms * MS;
        assert_eq!(all.followed(8, address(1), at(1_051), None), None, "another process");
        assert_eq!(all.followed(7, address(2), at(1_051), None), None, "another address");
        assert_eq!(all.followed(7, address(1), at(1_051), Some("b.example")), None);
        assert_eq!(all.followed(7, address(1), at(1_049), None), None, "before the last answer");
        let resolved = all.followed(7, address(1), at(1_051), Some("a.example"));
        assert_eq!(resolved, Some(answer(1_000, 1_050)));
        assert_eq!(all.followed(7, address(1), at(1_060), None), resolved, "together with it");
        assert_eq!(all.followed(7, address(1), at(1_190), None), None, "the address was known");
    }

    #[test]
    fn a_later_query_begins_a_new_look_up() {
        let mut all = Resolutions::default();
        all.answered(7, "a.example", answer(1_000, 1_020), &[address(1)]);
        all.answered(7, "a.example", answer(2_000, 2_020), &[address(1)]);
        assert_eq!(all.followed(7, address(1), 2_021 * MS, None), Some(answer(2_000, 2_020)));
        all.answered(7, "a.example", answer(2_030, 2_040), &[address(1)]);
        assert_eq!(all.followed(7, address(1), 2_041 * MS, None), Some(answer(2_030, 2_040)));
        let late = 2_040 * MS + FOLLOWS_NS + TOGETHER_NS;
        assert_eq!(all.followed(7, address(1), late, None), None);
    }

    #[test]
    fn an_address_tells_a_host_while_all_agree() {
        let mut all = Resolutions::default();
        all.answered(7, "a.example", answer(1_000, 1_020), &[address(1), address(2)]);
        all.answered(7, "b.example", answer(1_000, 1_020), &[address(2)]);
        assert_eq!(all.host_at(7, address(1), 5_000 * MS), Some("a.example"));
        assert_eq!(all.host_at(7, address(2), 5_000 * MS), None);
        assert_eq!(all.host_at(8, address(1), 5_000 * MS), None);
        assert_eq!(all.host_at(7, address(1), 1_000 * MS + TELLS_HOST_NS + 1), None);
    }

    #[test]
    fn the_oldest_look_ups_give_way() {
        let mut all = Resolutions::default();
        for pid in 0..MAX_LOOKUPS as u32 + 1 {
            all.answered(pid, "a.example", answer(1_000, 1_020), &[address(1)]);
        }
        assert_eq!(all.0.len(), MAX_LOOKUPS);
        assert_eq!(all.host_at(0, address(1), 1_021 * MS), None);
        assert_eq!(all.host_at(1, address(1), 1_021 * MS), Some("a.example"));
    }
}
