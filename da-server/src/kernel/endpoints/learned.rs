//! Who has been seen at an address.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Addresses change hands: what nobody has confirmed for so long counts no more. Connections that are kept
/// are opened again more often.
const TIME_TO_LIVE: Duration = Duration::from_secs(3600);
/// Addresses that are remembered.
const MAX_PLACES: usize = 4096;
/// Hosts that are remembered of each: two that do not agree are enough.
const MAX_HOSTS: usize = 4;
/// While there is no room, how often it is looked for.
const PURGE_INTERVAL: Duration = Duration::from_secs(60);

/// Where a connection leads: in another network namespace the same address is another host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Inode number of the network namespace.
    pub network: u32,
    /// The remote address.
    pub address: SocketAddr,
}

/// Who was asked for at an address. By name, so that it stays true when the endpoints are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// A host that some endpoint listed.
    Host(String),
    /// One that none did.
    Unlisted,
}

#[derive(Debug)]
struct Sighting {
    who: Who,
    last: Instant,
}

impl Sighting {
    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < TIME_TO_LIVE
    }
}

/// There is no room for one more address.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

/// What connections that showed a name have told of their addresses.
#[derive(Debug, Default)]
pub struct Learned {
    by_place: HashMap<Place, Vec<Sighting>>,
    purged: Option<Instant>,
}

impl Learned {
    /// A connection to `place` has asked for `who`, or has done so again.
    ///
    /// # Errors
    /// There is no room.
    pub fn saw(&mut self, place: Place, who: Who, now: Instant) -> Result<(), Full> {
        if !self.by_place.contains_key(&place) && !self.has_room(now) {
            return Err(Full);
        }
        let sightings = self.by_place.entry(place).or_default();
        match sightings.iter_mut().find(|one| one.who == who) {
            Some(known) => known.last = now,
            None => {
                if sightings.len() >= MAX_HOSTS
                    && let Some((oldest, _)) =
                        sightings.iter().enumerate().min_by_key(|(_, one)| one.last)
                {
                    sightings.swap_remove(oldest);
                }
                sightings.push(Sighting { who, last: now });
            }
        }
        Ok(())
    }

    /// Who has been asked for at `place`, as far as it still counts.
    pub fn at(&self, place: Place, now: Instant) -> impl Iterator<Item = &Who> {
        let sightings = self.by_place.get(&place).into_iter().flatten();
        sightings.filter(move |one| one.counts(now)).map(|one| &one.who)
    }

    /// Looking through all of them for each connection would take too long.
    fn has_room(&mut self, now: Instant) -> bool {
        let due = self.purged.is_none_or(|last| now - last >= PURGE_INTERVAL);
        if self.by_place.len() >= MAX_PLACES && due {
            self.purged = Some(now);
            self.by_place.retain(|_, sightings| sightings.iter().any(|one| one.counts(now)));
        }
        self.by_place.len() < MAX_PLACES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: usize) -> Place {
        let address = SocketAddr::from(([10, 0, (number >> 8) as u8, number as u8], 443));
        Place { network: 1, address }
    }

    fn host(name: &str) -> Who {
        Who::Host(name.to_owned())
    }

    #[test]
    fn each_sighting_counts_for_its_time_and_is_renewed_by_use() {
        let mut learned = Learned::default();
        let began = Instant::now();
        let later = |halves: u32| began + TIME_TO_LIVE / 2 * halves;
        learned.saw(place(1), host("a"), later(0)).expect("room");
        learned.saw(place(1), Who::Unlisted, later(0)).expect("room");
        learned.saw(place(1), host("a"), later(1)).expect("room");
        let at = |halves| learned.at(place(1), later(halves)).cloned().collect::<Vec<_>>();
        assert_eq!(at(1), [host("a"), Who::Unlisted]);
        assert_eq!(at(2), [host("a")], "what spoke against it is over");
        assert!(at(3).is_empty());
        let elsewhere = Place { network: 2, ..place(1) };
        assert_eq!(learned.at(elsewhere, began).count(), 0, "another network");
    }

    #[test]
    fn a_full_table_says_so_and_has_room_again_once_they_are_old() {
        let mut learned = Learned::default();
        let began = Instant::now();
        for number in 0..MAX_PLACES {
            learned.saw(place(number), host("a"), began).expect("room");
        }
        assert_eq!(learned.saw(place(MAX_PLACES), host("a"), began), Err(Full));
        assert_eq!(learned.saw(place(0), host("b"), began), Ok(()), "it is there already");
        let later = began + TIME_TO_LIVE;
        assert_eq!(learned.saw(place(MAX_PLACES), host("a"), later), Ok(()));
        assert_eq!(learned.by_place.len(), 1);
    }

    #[test]
    fn many_names_at_one_address_take_no_more_room() {
        let mut learned = Learned::default();
        let began = Instant::now();
        for name in 0..100 {
            learned.saw(place(1), host(&name.to_string()), began).expect("room");
        }
        assert_eq!(learned.at(place(1), began).count(), MAX_HOSTS);
    }
}
