//! Limits how many sessions are open and how often they are started, per address and in all. It decides
//! when a client connects, before anything that costs: for a client that is refused neither a provider nor
//! the database is asked.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::WebSocketConfig;
use crate::metrics::CloseReason;
use crate::token_bucket::{SharedTokenBucket, TokenBucket};

/// When to try again where another session has to end first, which can't be foreseen.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(10);

/// How many addresses are remembered before those that need not be are removed.
const SWEEP_FROM: usize = 1024;

/// Admits sessions, and remembers the addresses of those that it admitted.
///
/// An address is remembered while it has a session open, or started one or made a request lately, so
/// `starts_per_minute` and `max_sessions` bound the memory as well.
#[derive(Debug)]
pub(super) struct SessionLimiter {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct Limits {
    sessions: usize,
    sessions_per_address: usize,
    starts_per_minute: u32,
    starts_per_minute_per_address: u32,
    requests_per_minute_per_address: u32,
}

#[derive(Debug)]
struct State {
    open: usize,
    starts: TokenBucket,
    addresses: HashMap<IpAddr, Address>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Address {
    open: usize,
    starts: TokenBucket,
    /// What its sessions may ask, all together.
    requests: SharedTokenBucket,
}

/// An open session, until it is dropped.
#[derive(Debug)]
pub(super) struct SessionPermit {
    limiter: Arc<SessionLimiter>,
    address: IpAddr,
    requests: SharedTokenBucket,
}

/// Why a session is not admitted, and when to try again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: CloseReason,
    pub(super) retry_after: Duration,
}

impl Refusal {
    /// It is the client's address that has too many, and not the server.
    pub(super) fn is_of_address(&self) -> bool {
        matches!(self.reason, CloseReason::TooManySessions | CloseReason::TooManyStarts)
    }
}

impl SessionLimiter {
    /// A limiter with the configured limits, without sessions.
    pub(super) fn new(config: &WebSocketConfig, now: Instant) -> Arc<Self> {
        let limits = Limits {
            sessions: config.max_sessions,
            sessions_per_address: config.max_sessions_per_address,
            starts_per_minute: config.starts_per_minute,
            starts_per_minute_per_address: config.starts_per_minute_per_address,
            requests_per_minute_per_address: config.requests_per_minute_per_address,
        };
        let state = State {
            open: 0,
            starts: a_minutes(limits.starts_per_minute, now),
            addresses: HashMap::new(),
            sweep_at: SWEEP_FROM,
        };
        Arc::new(Self { limits, state: Mutex::new(state) })
    }

    /// Admits a session of `client`.
    ///
    /// # Errors
    /// A limit is reached.
    pub(super) fn admit(
        self: &Arc<Self>,
        client: IpAddr,
        now: Instant,
    ) -> Result<SessionPermit, Refusal> {
        let (limits, address) = (&self.limits, network(client));
        let refuse = |reason, retry_after| Err(Refusal { reason, retry_after });
        let mut state = self.lock();
        if state.open >= limits.sessions {
            return refuse(CloseReason::Busy, FULL_RETRY_AFTER);
        }
        if let Some(known) = state.addresses.get_mut(&address) {
            if known.open >= limits.sessions_per_address {
                return refuse(CloseReason::TooManySessions, FULL_RETRY_AFTER);
            }
            let wait = known.starts.wait(now);
            if !wait.is_zero() {
                return refuse(CloseReason::TooManyStarts, wait);
            }
        }
        let wait = state.starts.wait(now);
        if !wait.is_zero() {
            return refuse(CloseReason::Busy, wait);
        }
        state.starts.take(now);
        state.open += 1;
        state.remove_idle_addresses(now);
        let known = state.addresses.entry(address).or_insert_with(|| Address {
            open: 0,
            starts: a_minutes(limits.starts_per_minute_per_address, now),
            requests: requests(limits.requests_per_minute_per_address, now),
        });
        known.starts.take(now);
        known.open += 1;
        let requests = known.requests.clone();
        Ok(SessionPermit { limiter: self.clone(), address, requests })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that could leave the state half-changed runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A minute's worth may come at once.
fn a_minutes(per_minute: u32, now: Instant) -> TokenBucket {
    TokenBucket::full(f64::from(per_minute), per_minute, now)
}

/// A third of a minute's may come at once, as of a session.
fn requests(per_minute: u32, now: Instant) -> SharedTokenBucket {
    SharedTokenBucket::of(TokenBucket::full(f64::from(per_minute) / 3.0, per_minute, now))
}

impl SessionPermit {
    /// The request budget that all sessions of this address share.
    pub(super) fn requests(&self) -> SharedTokenBucket {
        self.requests.clone()
    }

    /// Gives the start back, for a player who could not start through no fault of their own.
    pub(super) fn give_back_start(&self, now: Instant) {
        let mut state = self.limiter.lock();
        state.starts.give_back(now);
        if let Some(known) = state.addresses.get_mut(&self.address) {
            known.starts.give_back(now);
        }
    }
}

impl State {
    /// Removes addresses without sessions whose limits are full again: seldom, so that it costs little.
    fn remove_idle_addresses(&mut self, now: Instant) {
        if self.addresses.len() < self.sweep_at {
            return;
        }
        self.addresses.retain(|_, known| {
            known.open > 0 || !known.starts.is_full(now) || !known.requests.is_full(now)
        });
        self.sweep_at = SWEEP_FROM.max(2 * self.addresses.len());
    }
}

impl Drop for SessionPermit {
    fn drop(&mut self) {
        let mut state = self.limiter.lock();
        state.open -= 1;
        if let Some(known) = state.addresses.get_mut(&self.address) {
            known.open -= 1;
        }
    }
}

/// What counts as one address: one of IPv4, but of IPv6 the 64 bits that a house is given whole.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(change: impl FnOnce(&mut WebSocketConfig), now: Instant) -> Arc<SessionLimiter> {
        let mut config = WebSocketConfig::default();
        change(&mut config);
        SessionLimiter::new(&config, now)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_starts_a_minutes_worth_at_once_and_then_evenly() {
        let now = Instant::now();
        let limiter = limiter(|config| config.starts_per_minute_per_address = 6, now);
        let start = |from: &str, now| limiter.admit(address(from), now).map(drop);
        assert_eq!((0..20).filter(|_| start("192.0.2.1", now).is_ok()).count(), 6);
        let refusal = start("192.0.2.1", now + Duration::from_secs(4)).expect_err("refused");
        assert_eq!(refusal.reason, CloseReason::TooManyStarts);
        assert_eq!(refusal.retry_after, Duration::from_secs(6));
        start("192.0.2.2", now).expect("another address");
        start("192.0.2.1", now + Duration::from_secs(10)).expect("one every ten seconds");
    }

    #[test]
    fn a_house_of_ipv6_is_one_address() {
        let now = Instant::now();
        let limiter = limiter(|config| config.starts_per_minute_per_address = 1, now);
        let start = |from: &str| limiter.admit(address(from), now).map(drop);
        start("2001:db8:1:2::1").expect("let in");
        start("2001:db8:1:2:ffff::9").expect_err("the same house");
        start("2001:db8:1:3::1").expect("another one");
        start("192.0.2.1").expect("let in");
        start("::ffff:192.0.2.1").expect_err("the same, written as IPv6");
    }

    #[test]
    fn seats_are_counted_by_address_and_in_all() {
        let now = Instant::now();
        let limiter =
            limiter(|config| (config.max_sessions, config.max_sessions_per_address) = (3, 2), now);
        let enter = |from: &str| limiter.admit(address(from), now);
        let first = enter("192.0.2.1").expect("a seat");
        let _second = enter("192.0.2.1").expect("a seat");
        let reason = |refused: Result<SessionPermit, Refusal>| refused.expect_err("refused").reason;
        assert_eq!(reason(enter("192.0.2.1")), CloseReason::TooManySessions);
        let _third = enter("192.0.2.2").expect("a seat");
        assert_eq!(reason(enter("192.0.2.3")), CloseReason::Busy);
        drop(first);
        enter("192.0.2.1").expect("a free seat");
    }

    #[test]
    fn many_addresses_together_are_bounded_and_who_is_refused_pays_for_nothing() {
        let now = Instant::now();
        let limiter = limiter(
            |config| (config.starts_per_minute, config.starts_per_minute_per_address) = (60, 2),
            now,
        );
        let start = |n: u32, now| limiter.admit(IpAddr::V4(n.into()), now).map(drop);
        let started = (0..1000).filter(|n| start(*n, now).is_ok()).count();
        assert_eq!(started, 60);
        let refusal = start(5000, now).expect_err("refused");
        assert_eq!(
            refusal,
            Refusal { reason: CloseReason::Busy, retry_after: Duration::from_secs(1) }
        );
        assert_eq!(limiter.lock().addresses.len(), 60, "the others are not remembered");
        let later = now + Duration::from_secs(2);
        assert_eq!((0..2).filter(|_| start(5000, later).is_ok()).count(), 2, "its budget is whole");
    }

    #[test]
    fn a_start_that_came_to_nothing_is_given_back() {
        let now = Instant::now();
        let limiter = limiter(
            |config| (config.starts_per_minute, config.starts_per_minute_per_address) = (3, 2),
            now,
        );
        let start = || limiter.admit(address("192.0.2.1"), now);
        for _ in 0..10 {
            start().expect("let in").give_back_start(now);
        }
        assert_eq!((0..10).filter(|_| start().is_ok()).count(), 2, "and no more than that");
        assert_eq!(limiter.lock().starts.wait(now), Duration::ZERO, "one is left for others");
    }

    #[test]
    fn the_sessions_of_an_address_share_what_they_may_ask() {
        let now = Instant::now();
        let limiter = limiter(|config| config.requests_per_minute_per_address = 6, now);
        let enter = |from: &str| limiter.admit(address(from), now).expect("let in");
        let (first, second, other) = (enter("192.0.2.1"), enter("192.0.2.1"), enter("192.0.2.2"));
        assert!(first.requests().take(now) && second.requests().take(now), "a third of a minute's");
        assert!(!first.requests().take(now) && !second.requests().take(now));
        assert!(other.requests().take(now));
        drop((first, second));
        let again = enter("192.0.2.1");
        assert!(!again.requests().take(now), "who leaves and comes back finds it as it was");
        assert!(again.requests().take(now + Duration::from_secs(10)));
    }

    #[test]
    fn addresses_are_forgotten() {
        let now = Instant::now();
        let limiter = limiter(|config| config.starts_per_minute = 1_000_000, now);
        let _stays = limiter.admit(address("192.0.2.1"), now).expect("let in");
        for minute in 0..20 {
            let now = now + Duration::from_secs(60 * minute);
            for n in 0..1000 {
                let n = u32::try_from(minute).expect("small") << 16 | n;
                limiter.admit(IpAddr::V4(n.into()), now).map(drop).expect("let in");
            }
        }
        let state = limiter.lock();
        assert!(state.addresses.len() <= 3 * SWEEP_FROM, "{}", state.addresses.len());
        assert_eq!(state.addresses[&address("192.0.2.1")].open, 1);
        assert_eq!(state.open, 1);
    }
}
