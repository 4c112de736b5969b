//! Many calls at once, of which a good part go wrong in every way: each must be joined with what the
//! kernel saw of it, and its time accounted for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use da_server::calls::{Attempt, Call, Join, Phase, Reuse};
use da_server::kernel::{EndpointConfig, EndpointKind};
use da_server::llm::LlmClient;
use da_standin::{Delay, Fault, LogEntry, Options, Plan, Standin};
use tokio::runtime::Builder;

use super::judged::judge;
use crate::calls::desk::{Desk, ask, http, url};
use crate::lab::config;
use crate::turns::undisturbed;

const CALLS: usize = 10_000;
const CONCURRENT: usize = 50;
/// How soon a player leaves who does.
const LEAVES: Duration = Duration::from_millis(30);

/// What calls are made of, twentieths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Steady,
    Fresh,
    Hangs,
    ResetBeforeHead,
    ResetAfterHead,
    ResetLater,
    RateLimited,
    Broken,
    BadHandshake,
    Refused,
    Cancelled,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::Steady,
        Self::Fresh,
        Self::Hangs,
        Self::ResetBeforeHead,
        Self::ResetAfterHead,
        Self::ResetLater,
        Self::RateLimited,
        Self::Broken,
        Self::BadHandshake,
        Self::Refused,
        Self::Cancelled,
    ];

    /// Fresh are a fifth, and each thing that goes wrong a twentieth, also of what one player asks: of
    /// every so many calls one.
    fn of(number: usize) -> Self {
        match (number + number / CONCURRENT) % 20 {
            wrong @ 0..=8 => Self::ALL[wrong + 2],
            9..=12 => Self::Fresh,
            _ => Self::Steady,
        }
    }

    fn name(self) -> String {
        format!("{self:?}.calls.test").to_lowercase()
    }

    fn plan(self) -> Plan {
        let fault = match self {
            Self::Hangs => Some(Fault::Hang),
            Self::ResetBeforeHead => Some(Fault::ResetBeforeFirstToken { after_head: false }),
            Self::ResetAfterHead => Some(Fault::ResetBeforeFirstToken { after_head: true }),
            Self::ResetLater => Some(Fault::ResetAfterFirstToken { after_chunks: 1 }),
            Self::RateLimited => {
                Some(Fault::RateLimited { retry_after: None, retry_after_ms: None })
            }
            Self::Broken => Some(Fault::ServerError),
            Self::BadHandshake => Some(Fault::BadHandshake),
            _ => None,
        };
        let slow = self == Self::Cancelled;
        Plan {
            first_byte_ms: if slow { Delay::Fixed(1e3) } else { Delay::Uniform(5.0, 100.0) },
            between_chunks_ms: Delay::Uniform(0.0, 8.0),
            chunks: Some(4),
            close: self == Self::Fresh,
            fault,
            ..Plan::default()
        }
    }
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

#[test]
fn ten_thousand_calls_are_joined_and_their_time_is_accounted_for() {
    let _alone = undisturbed();
    judge("the time of all calls", || {
        let Some((calls, log)) = make_calls() else { return true };
        assert_eq!(calls.len(), CALLS);
        joined(&calls);
        joined_with_their_own(&calls, &log);
        accounted_for(&calls)
    });
}

/// Makes all calls; what is known of them, and what the stand-in says.
fn make_calls() -> Option<(Vec<Arc<Call>>, Vec<LogEntry>)> {
    let runtime = || Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (standins, players) = (runtime().expect("a runtime"), runtime().expect("a runtime"));
    let hosts: Vec<_> = Kind::ALL.map(Kind::name).to_vec();
    let names: Vec<_> = hosts.iter().map(String::as_str).collect();
    let options = Options {
        names: hosts.clone(),
        plans: Kind::ALL.map(|kind| (kind.name(), kind.plan())).to_vec(),
        log_capacity: None,
        ..Options::default()
    };
    let standin = standins.block_on(Standin::start(options)).expect("a stand-in");
    let nobody = nobody();
    let endpoint = EndpointConfig {
        name: "calls".to_owned(),
        kind: EndpointKind::Llm,
        hosts: hosts.clone(),
        addresses: vec![standin.addr(), nobody],
    };
    let desk = Desk::open(&config(), &[endpoint])?;
    let http = http(&standin, &names);
    let client = |kind: Kind| {
        let at = if kind == Kind::Refused { nobody } else { standin.addr() };
        (kind, desk.client_of(&http, &url(&kind.name(), at), &kind.name()))
    };
    let clients: Arc<BTreeMap<Kind, LlmClient>> =
        Arc::new(Kind::ALL.into_iter().map(client).collect());
    let player = |first| play(Arc::clone(&clients), first);
    let tasks: Vec<_> = (0..CONCURRENT).map(|first| players.spawn(player(first))).collect();
    players.block_on(async {
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    let calls = desk.known(CALLS);
    // Calls were given up of which it may never notice, so it is not waited for.
    Some((calls, standin.log()))
}

/// One call after the other.
async fn play(clients: Arc<BTreeMap<Kind, LlmClient>>, first: usize) {
    for number in (first..CALLS).step_by(CONCURRENT) {
        let kind = Kind::of(number);
        let call = ask(&clients[&kind]);
        if kind == Kind::Cancelled {
            // Whether it was answered before does not matter.
            let _ = tokio::time::timeout(LEAVES, call).await;
        } else {
            call.await;
        }
    }
}

/// Each socket must be one on which the stand-in was asked under the call's own name. Of a call that
/// was given up right after its request left, the stand-in may find the connection gone and nothing
/// to answer: that may be so of one in a hundred of these.
fn joined_with_their_own(calls: &[Arc<Call>], log: &[LogEntry]) {
    let asked = log.iter().filter_map(|entry| Some((entry.peer, entry.name.as_deref()?)));
    let asked: BTreeSet<(SocketAddr, &str)> = asked.collect();
    let (mut compared, mut given_up, mut unnoticed) = (0, 0, 0);
    for call in calls {
        let is_given_up = call.outcome.as_str() == "cancelled";
        given_up += usize::from(is_given_up);
        let sockets = call.attempts.iter().filter_map(|one| one.socket.as_ref());
        for socket in sockets.filter(|socket| socket.exchange.is_some()) {
            let is_own = asked.contains(&(socket.local, call.model.as_deref().unwrap_or_default()));
            assert!(is_own || is_given_up, "{call:?}");
            unnoticed += usize::from(!is_own);
            compared += 1;
        }
    }
    assert!(unnoticed * 100 <= given_up, "{unnoticed} of {given_up} given up");
    assert!(compared * 10 >= calls.len() * 8, "{compared} compared");
}

/// Prints what became of joining them, by how they ended.
fn joined(calls: &[Arc<Call>]) {
    let mut table: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for call in calls {
        let [attempt] = &call.attempts[..] else { panic!("{call:?}") };
        let (reuse, join) = (attempt.reuse.as_str(), attempt.join.as_str());
        *table.entry((attempt.outcome.as_str(), reuse, join)).or_default() += 1;
    }
    for ((outcome, reuse, join), count) in &table {
        println!("{outcome:<14} {reuse:<8} {join:<12} {count:>6}");
    }
    let with = |join: Join| attempts(calls).filter(move |one| one.join == join).count();
    let (joined, no_socket) = (with(Join::Joined), with(Join::NoSocket));
    let share = joined as f64 / (calls.len() - no_socket) as f64;
    println!("joined: {:.3} %", 100.0 * share);
    assert!(share >= 0.999, "see above");
    let fresh = attempts(calls).filter(|one| one.reuse == Reuse::Fresh).count();
    assert!(fresh * 5 >= calls.len(), "{fresh} on fresh connections");
}

/// Prints where the time went; whether little of it is unexplained.
fn accounted_for(calls: &[Arc<Call>]) -> bool {
    for call in calls {
        let within: u64 = call.attempts.iter().map(|one| one.after_ns + one.duration_ns()).sum();
        assert!(within <= call.duration_ns, "{call:?}");
    }
    let ns = |phase: Phase| attempts(calls).map(move |one| one.phases.ns(phase));
    let total: u64 = attempts(calls).map(Attempt::duration_ns).sum();
    for phase in Phase::ALL {
        let mut all: Vec<_> = ns(phase).collect();
        all.sort_unstable();
        let [median, p99] = [all.len() / 2, all.len() * 99 / 100].map(|at| all[at] as f64 / 1e6);
        let share = 100.0 * ns(phase).sum::<u64>() as f64 / total as f64;
        println!(
            "{:<12} median {median:>8.3} ms  p99 {p99:>8.3} ms  {share:>6.2} % of all",
            phase.as_str()
        );
    }
    let mut unexplained: Vec<_> = ns(Phase::Unexplained).collect();
    unexplained.sort_unstable();
    let median_ns = unexplained[unexplained.len() / 2];
    median_ns <= 500_000 && unexplained.iter().sum::<u64>() * 100 <= total
}

fn attempts(calls: &[Arc<Call>]) -> impl Iterator<Item = &Attempt> {
    calls.iter().flat_map(|call| &call.attempts)
}
