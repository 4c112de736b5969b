//! Whose password may wait to be looked at.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Passwords that may wait in all.
pub(super) const MAX_WAITING: usize = 16;

/// Passwords of one address that may wait: a scraper has one under way, a person who looks at the page of
/// calls a few that the browser remembers. Whoever tries thousands leaves the other places free.
pub(super) const MAX_WAITING_OF_ONE: usize = 2;

/// So many wait already.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct Busy;

/// The passwords that wait, by where they came from.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<HashMap<IpAddr, usize>>);

/// A place among those that wait, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    waiting: &'a Waiting,
    owner: IpAddr,
}

impl Waiting {
    /// A place for one who comes from `address`, if there is one.
    pub(super) fn enter(&self, address: IpAddr) -> Result<Place<'_>, Busy> {
        let owner = owner(address);
        let mut by_owner = self.by_owner();
        let all: usize = by_owner.values().sum();
        let own = by_owner.get(&owner).copied().unwrap_or(0);
        if all >= MAX_WAITING || own >= MAX_WAITING_OF_ONE {
            return Err(Busy);
        }
        by_owner.insert(owner, own + 1);
        Ok(Place { waiting: self, owner })
    }

    fn by_owner(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut by_owner = self.waiting.by_owner();
        match by_owner.get_mut(&self.owner) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(by_owner.remove(&self.owner)),
        }
    }
}

/// Whoever has an IPv6 address has the 2^64 beside it as well.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_has_few_places_and_frees_them() {
        let waiting = Waiting::default();
        let flood = address("192.0.2.1");
        let places: Vec<_> = (0..1000).map_while(|_| waiting.enter(flood).ok()).collect();
        assert_eq!(places.len(), MAX_WAITING_OF_ONE);
        let other = waiting.enter(address("192.0.2.2"));
        assert!(other.is_ok(), "a flood leaves room for others");
        drop((places, other));
        assert!(waiting.by_owner().is_empty(), "nothing is kept of who does not wait");
    }

    #[test]
    fn all_together_have_a_limit() {
        let waiting = Waiting::default();
        let enter = |n: u32| waiting.enter(IpAddr::V4(n.into())).ok();
        assert_eq!((0..100).map_while(enter).collect::<Vec<_>>().len(), MAX_WAITING);
    }

    #[test]
    fn a_network_of_ipv6_is_one_owner_and_a_mapped_address_is_its_own() {
        assert_eq!(owner(address("2001:db8::1")), owner(address("2001:db8::ffff:2")));
        assert_ne!(owner(address("2001:db8::1")), owner(address("2001:db8:0:1::1")));
        assert_eq!(owner(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
