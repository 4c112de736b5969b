//! A limit on logins in progress, in all and per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Logins in progress at once, in all.
pub(super) const MAX_PENDING: usize = 16;

/// Logins of one address in progress at once: a scraper has one, a browser a few. A client that tries
/// thousands leaves the rest to other addresses.
pub(super) const MAX_PENDING_PER_ADDRESS: usize = 2;

/// The limit is reached.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http) struct TooManyLogins;

/// The logins in progress, by address.
#[derive(Debug, Default)]
pub(super) struct PendingLogins(Mutex<HashMap<IpAddr, usize>>);

/// A login in progress, until it is dropped.
#[derive(Debug)]
pub(super) struct PendingLogin<'a> {
    pending: &'a PendingLogins,
    owner: IpAddr,
}

impl PendingLogins {
    /// Begins a login from `address`.
    ///
    /// # Errors
    /// The limit is reached.
    pub(super) fn enter(&self, address: IpAddr) -> Result<PendingLogin<'_>, TooManyLogins> {
        let owner = owner(address);
        let mut by_owner = self.by_owner();
        let all: usize = by_owner.values().sum();
        let own = by_owner.get(&owner).copied().unwrap_or(0);
        if all >= MAX_PENDING || own >= MAX_PENDING_PER_ADDRESS {
            return Err(TooManyLogins);
        }
        by_owner.insert(owner, own + 1);
        Ok(PendingLogin { pending: self, owner })
    }

    fn by_owner(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PendingLogin<'_> {
    fn drop(&mut self) {
        let mut by_owner = self.pending.by_owner();
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
        let pending = PendingLogins::default();
        let flood = address("192.0.2.1");
        let logins: Vec<_> = (0..1000).map_while(|_| pending.enter(flood).ok()).collect();
        assert_eq!(logins.len(), MAX_PENDING_PER_ADDRESS);
        let other = pending.enter(address("192.0.2.2"));
        assert!(other.is_ok(), "a flood leaves room for others");
        drop((logins, other));
        assert!(pending.by_owner().is_empty(), "nothing is kept of who does not wait");
    }

    #[test]
    fn all_together_have_a_limit() {
        let pending = PendingLogins::default();
        let enter = |n: u32| pending.enter(IpAddr::V4(n.into())).ok();
        assert_eq!((0..100).map_while(enter).collect::<Vec<_>>().len(), MAX_PENDING);
    }

    #[test]
    fn a_network_of_ipv6_is_one_owner_and_a_mapped_address_is_its_own() {
        assert_eq!(owner(address("2001:db8::1")), owner(address("2001:db8::ffff:2")));
        assert_ne!(owner(address("2001:db8::1")), owner(address("2001:db8:0:1::1")));
        assert_eq!(owner(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
