//! Looks the endpoints' hosts up, now and then, so that a connection which shows no name can be told
//! by its address: `ebpf_name_lookups_total`.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounterVec, Opts};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::own_threads::OwnThreads;
use crate::metrics::Registry;

/// How often every host is looked up.
const INTERVAL: Duration = Duration::from_secs(300);
/// What has no answer by then counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Look-ups under way at once; each holds a thread.
const CONCURRENT: usize = 4;
/// Addresses of one host that are kept.
const MAX_ADDRESSES: usize = 64;

/// What came of looking one host up.
#[derive(Debug)]
pub struct Answer {
    /// The host.
    pub host: String,
    /// The port that its addresses were asked for.
    pub port: u16,
    /// Its addresses; empty where it has none, or nobody answered.
    pub addresses: Vec<SocketAddr>,
}

/// How a look-up ended: label value of `ebpf_name_lookups_total{result}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LookupResult {
    Resolved,
    Failed,
}

impl LookupResult {
    const ALL: [Self; 2] = [Self::Resolved, Self::Failed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "resolved",
            Self::Failed => "failed",
        }
    }
}

/// Look-ups of one round after another. Nothing waits for them.
#[derive(Debug)]
pub struct Lookups {
    under_way: JoinSet<Answer>,
    permits: Arc<Semaphore>,
    next_round: Option<Instant>,
    threads: OwnThreads,
    total: IntCounterVec,
}

impl Lookups {
    /// None begin before [`Self::begin_if_due`]; `enabled` is `kernel.resolve`. The threads that ask are told of.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(
        registry: &Registry,
        enabled: bool,
        threads: OwnThreads,
    ) -> prometheus::Result<Self> {
        let opts = Opts::new("ebpf_name_lookups_total", "Look-ups of the endpoints' host names.");
        let total = IntCounterVec::new(opts, &["result"])?;
        registry.register(Box::new(total.clone()))?;
        for result in LookupResult::ALL {
            total.with_label_values(&[result.as_str()]);
        }
        Ok(Self {
            under_way: JoinSet::new(),
            permits: Arc::new(Semaphore::new(CONCURRENT)),
            next_round: enabled.then(Instant::now),
            threads,
            total,
        })
    }

    /// Begins a round if it is time for one.
    pub fn begin_if_due<'a>(&mut self, hosts: impl Iterator<Item = (&'a str, u16)>) {
        let now = Instant::now();
        if !self.is_idle() || self.next_round.is_none_or(|at| now < at) {
            return;
        }
        self.next_round = Some(now + INTERVAL);
        for (host, port) in hosts {
            self.under_way.spawn(look_up(
                host.to_owned(),
                port,
                Arc::clone(&self.permits),
                self.threads.clone(),
                now + PATIENCE,
            ));
        }
    }

    /// There are other hosts: the next round is due as soon as the current one is over.
    pub fn hasten(&mut self) {
        if let Some(at) = &mut self.next_round {
            *at = Instant::now();
        }
    }

    /// The next answer; none while no look-up is under way.
    pub async fn next(&mut self) -> Option<Answer> {
        let answer = self.under_way.join_next().await?.ok()?;
        let result =
            if answer.addresses.is_empty() { LookupResult::Failed } else { LookupResult::Resolved };
        self.total.with_label_values(&[result.as_str()]).inc();
        Some(answer)
    }

    /// Whether no look-up is under way.
    pub fn is_idle(&self) -> bool {
        self.under_way.is_empty()
    }
}

/// The permit goes along with the system's resolver, which can't be interrupted: one that hangs keeps
/// its thread, and no more than [`CONCURRENT`] ever do.
async fn look_up(
    host: String,
    port: u16,
    permits: Arc<Semaphore>,
    threads: OwnThreads,
    deadline: Instant,
) -> Answer {
    let name = host.clone();
    let looked_up = async move {
        let permit = permits.acquire_owned().await.ok()?;
        let resolver = spawn_blocking(move || {
            let _permit = permit;
            let _looks_up = threads.looks_up();
            let addresses = (name.as_str(), port).to_socket_addrs();
            addresses.map(|all| all.take(MAX_ADDRESSES).collect::<Vec<_>>())
        });
        Some(resolver.await)
    };
    let addresses = match timeout_at(deadline, looked_up).await {
        Ok(Some(Ok(Ok(addresses)))) => addresses,
        Ok(Some(Ok(Err(error)))) => {
            tracing::debug!(host, %error, "can't look up an endpoint's host");
            Vec::new()
        }
        _ => {
            tracing::debug!(host, "nobody answers for an endpoint's host");
            Vec::new()
        }
    };
    Answer { host, port, addresses }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(lookups: &mut Lookups) -> Vec<Answer> {
        let mut answers = Vec::new();
        while let Some(answer) = lookups.next().await {
            answers.push(answer);
        }
        answers
    }

    /// The second can't be a name, so nobody is asked.
    fn hosts() -> impl Iterator<Item = (&'static str, u16)> {
        [("localhost", 8000), ("no name", 443)].into_iter()
    }

    #[tokio::test]
    async fn a_round_tells_addresses_and_counts_failures() {
        let registry = Registry::new();
        let mut lookups = Lookups::register(&registry, true, OwnThreads::new()).expect("registers");
        lookups.begin_if_due(hosts());
        assert!(!lookups.is_idle());
        let answers = all(&mut lookups).await;
        let of = |host| answers.iter().find(|answer| answer.host == host).expect(host);
        assert!(of("localhost").addresses.contains(&"127.0.0.1:8000".parse().expect("address")));
        assert!(of("no name").addresses.is_empty());
        for result in ["resolved", "failed"] {
            assert_eq!(lookups.total.with_label_values(&[result]).get(), 1, "{result}");
        }
        lookups.begin_if_due(hosts());
        assert!(lookups.is_idle(), "a round is over; the next is not due yet");
        lookups.hasten();
        lookups.begin_if_due(hosts());
        assert!(!lookups.is_idle());
    }

    #[tokio::test]
    async fn nothing_is_looked_up_where_that_is_not_wanted() {
        let mut lookups =
            Lookups::register(&Registry::new(), false, OwnThreads::new()).expect("registers");
        lookups.begin_if_due(hosts());
        assert!(lookups.is_idle());
        assert!(lookups.next().await.is_none());
    }
}
