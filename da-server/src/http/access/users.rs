//! Users and their passwords.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hint::black_box;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use bcrypt::HashParts;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::pending_logins::{PendingLogins, TooManyLogins};
use super::secret_hash::{SecretHash, SecretHasher};

/// The highest cost that is accepted. Every password that is tried takes that long, about a second here.
const MAX_COST: u32 = 14;

/// What bcrypt made of a password. Never shown, not even by `Debug`.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::http) struct HashedPassword {
    hash: String,
    cost: u32,
}

/// The users and their passwords.
///
/// bcrypt is slow on purpose, and a scraper comes every few seconds, so the last right password of each user
/// is recognized by its [`SecretHash`]. Any other one takes the time of bcrypt, one after the other and outside
/// the runtime's threads, whether there is such a user or not: neither the time of a refusal nor a flood of
/// them tells which users there are, or locks out those who are recognized. The others, as after a restart, get
/// in during a flood as long as that comes from other addresses: see [`PendingLogins`].
pub(super) struct Users {
    by_name: BTreeMap<String, HashedPassword>,
    /// The hash for unknown users: the most expensive one that is configured.
    dummy_hash: HashedPassword,
    hasher: SecretHasher,
    admitted: Mutex<HashMap<String, SecretHash>>,
    pending: PendingLogins,
    /// bcrypt runs once at a time.
    hashing: Arc<Semaphore>,
}

impl Users {
    /// `None` where there are none.
    pub(super) fn new(by_name: BTreeMap<String, HashedPassword>) -> Option<Self> {
        let dummy_hash = by_name.values().max_by_key(|password| password.cost)?.clone();
        Some(Self {
            by_name,
            dummy_hash,
            hasher: SecretHasher::new(),
            admitted: Mutex::default(),
            pending: PendingLogins::default(),
            hashing: Arc::new(Semaphore::new(1)),
        })
    }

    /// Whether this is the user's password; `from` is the client's address.
    ///
    /// # Errors
    /// Too many logins are in progress.
    pub(super) async fn admits(
        &self,
        from: IpAddr,
        name: &str,
        password: &[u8],
    ) -> Result<bool, TooManyLogins> {
        let login = self.hasher.of(&[name.as_bytes(), password]);
        if self.admitted().get(name) == Some(&login) {
            return Ok(true);
        }
        let _pending = self.pending.enter(from)?;
        let Ok(permit) = Arc::clone(&self.hashing).acquire_owned().await else {
            return Err(TooManyLogins);
        };
        let known = self.by_name.get(name);
        let (hash, password) = (known.unwrap_or(&self.dummy_hash).clone(), password.to_owned());
        let max_cost = self.dummy_hash.cost;
        let hashing = tokio::task::spawn_blocking(move || {
            let is_right = hash.is_of(&password);
            if !is_right {
                hash.burn_remaining_cost(max_cost);
            }
            drop(permit);
            is_right
        });
        let is_right = known.is_some() & hashing.await.unwrap_or(false);
        if is_right {
            self.admitted().insert(name.to_owned(), login);
        }
        Ok(is_right)
    }

    fn admitted(&self) -> std::sync::MutexGuard<'_, HashMap<String, SecretHash>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HashedPassword {
    fn is_of(&self, password: &[u8]) -> bool {
        bcrypt::verify(password, &self.hash).unwrap_or(false)
    }

    /// Burns the time by which a hash of `max_cost` is slower than this one. Each cost takes twice the time of
    /// the one before, so this one's and those up to `max_cost` add up to it.
    fn burn_remaining_cost(&self, max_cost: u32) {
        for cost in self.cost..max_cost {
            black_box(bcrypt::bcrypt(cost, [0; 16], b"nobody's"));
        }
    }
}

impl TryFrom<String> for HashedPassword {
    type Error = String;

    fn try_from(hash: String) -> Result<Self, String> {
        let parts = HashParts::from_str(&hash)
            .map_err(|_| "not a bcrypt hash: htpasswd -nBC 10 NAME makes one".to_owned())?;
        let cost = parts.get_cost();
        if !(4..=MAX_COST).contains(&cost) {
            return Err(format!("a bcrypt hash with a cost of {cost}: use 4 to {MAX_COST}"));
        }
        Ok(Self { hash, cost })
    }
}

impl fmt::Debug for HashedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashedPassword(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use rustix::time::{ClockId, clock_gettime};
    use tokio::runtime::Builder;
    use tokio::task::spawn_blocking;

    use super::*;
    use crate::http::access::pending_logins::MAX_PENDING_PER_ADDRESS;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn users(cost: u32) -> Users {
        users_of([("alice", "sesame", cost), ("bob", "caraway", cost)])
    }

    fn users_of(all: [(&str, &str, u32); 2]) -> Users {
        let by_name = all.map(|(name, password, cost)| {
            let hash = bcrypt::hash(password, cost).expect("hashed");
            (name.to_owned(), hash.try_into().expect("a hash"))
        });
        Users::new(by_name.into()).expect("some")
    }

    /// Runs a test whose passwords are all looked at by one and the same thread.
    fn with_one_thread_for_passwords<T>(test: impl Future<Output = T>) -> T {
        let runtime = Builder::new_current_thread().max_blocking_threads(1).build();
        runtime.expect("a runtime").block_on(test)
    }

    /// What that thread has run for: the time of a password, whatever else the machine has to do.
    async fn ran() -> Duration {
        let ran = spawn_blocking(|| clock_gettime(ClockId::ThreadCPUTime)).await.expect("a clock");
        Duration::new(ran.tv_sec.cast_unsigned(), ran.tv_nsec as u32)
    }

    /// The shortest of a few.
    async fn took(users: &Users, name: &str, password: &str) -> Duration {
        let mut shortest = Duration::MAX;
        for _ in 0..5 {
            let before = ran().await;
            users.admits(HERE, name, password.as_bytes()).await.expect("a turn");
            shortest = shortest.min(ran().await - before);
        }
        shortest
    }

    #[tokio::test]
    async fn each_has_a_password_and_nobody_else_has() {
        let users = users(4);
        for (name, password, admitted) in [
            ("alice", "sesame", true),
            ("alice", "sesame", true),
            ("alice", "caraway", false),
            ("alice", "", false),
            ("bob", "caraway", true),
            ("carol", "sesame", false),
            ("carol", "caraway", false),
            ("", "", false),
            ("alice", "ses\0ame", false),
        ] {
            assert_eq!(users.admits(HERE, name, password.as_bytes()).await, Ok(admitted), "{name}");
        }
        assert!(users.admitted().keys().all(|name| ["alice", "bob"].contains(&name.as_str())));
        assert_eq!(users.admitted().len(), 2);
    }

    #[test]
    fn a_refusal_takes_as_long_whoever_it_is_and_who_is_known_does_not_wait() {
        with_one_thread_for_passwords(async {
            let users = users(9);
            assert_eq!(users.admits(HERE, "alice", b"sesame").await, Ok(true));
            let known = took(&users, "alice", "sesame").await;
            let wrong = took(&users, "alice", "salt").await;
            let stranger = took(&users, "mallory", "salt").await;
            println!("known {known:?}, wrong {wrong:?}, stranger {stranger:?}");
            assert!(stranger.abs_diff(wrong) < wrong / 2, "{stranger:?} and {wrong:?}");
            assert!(known < wrong / 4, "{known:?} and {wrong:?}");
        });
    }

    #[test]
    fn a_refusal_takes_as_long_where_one_hash_is_cheaper_than_another() {
        with_one_thread_for_passwords(async {
            let users = users_of([("alice", "sesame", 4), ("bob", "caraway", 9)]);
            let cheap = took(&users, "alice", "salt").await;
            let dear = took(&users, "bob", "salt").await;
            let stranger = took(&users, "mallory", "salt").await;
            println!("cheap {cheap:?}, dear {dear:?}, stranger {stranger:?}");
            assert!(cheap.abs_diff(stranger) < stranger / 2, "{cheap:?} and {stranger:?}");
            assert!(dear.abs_diff(stranger) < stranger / 2, "{dear:?} and {stranger:?}");
        });
    }

    #[tokio::test]
    async fn a_flood_of_strangers_is_bounded_and_keeps_nobody_out_who_is_known_or_comes_from_elsewhere()
     {
        let users = users(4);
        let elsewhere = "192.0.2.1".parse().expect("an address");
        assert_eq!(users.admits(HERE, "alice", b"sesame").await, Ok(true));
        let permit = Arc::clone(&users.hashing).acquire_owned().await.expect("a permit");
        let strangers = (0..1000).map(|_| users.admits(HERE, "mallory", b"salt"));
        let known = async {
            let alice = users.admits(HERE, "alice", b"sesame").await;
            drop(permit);
            alice
        };
        // Who was never there before, as a scraper after the server's start.
        let unknown = users.admits(elsewhere, "bob", b"caraway");
        let (answers, bob, alice) = tokio::join!(join_all(strangers), unknown, known);
        assert_eq!((alice, bob), (Ok(true), Ok(true)));
        let looked_at = answers.iter().filter(|answer| **answer == Ok(false)).count();
        assert_eq!(looked_at, MAX_PENDING_PER_ADDRESS, "the others were refused at once");
    }
}
