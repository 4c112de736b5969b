//! Calls of which the kernel's half is lost, or late.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use da_server::calls::{Attempt, Call, Join, Phase, Reuse};
use da_server::kernel::KernelConfig;
use da_standin::{Delay, Plan};
use da_testkit::scrape::Scrape;
use tokio::runtime::Runtime;

use crate::calls::desk::{Desk, ask};
use crate::calls::differences::{CALLS, usual};
use crate::calls::provider::{Provider, one_worker};
use crate::calls::served::Served;
use crate::lab::config;
use crate::plain;
use crate::turns::alone;

const NAME: &str = "incomplete.calls.test";
/// How long the kernel's half is waited for: longer than the calls after which it comes.
const GRACE: Duration = Duration::from_secs(3);

/// A provider at which each call gets a connection of its own, and who calls it.
struct Caller {
    provider: Provider,
    player: Runtime,
}

impl Caller {
    fn new() -> Self {
        // Soon enough that the first call is not given up before the last one is over.
        let plan = Plan { first_byte_ms: Delay::Fixed(5.0), ..usual(Reuse::Fresh) };
        Self { provider: Provider::start(NAME, plan), player: one_worker() }
    }

    /// A desk whose kernel view reads nothing until `unread` is done.
    fn desk(&self, kernel: &KernelConfig, unread: impl FnOnce(&Desk)) -> Option<Desk> {
        Desk::late(kernel, &[self.provider.endpoint()], GRACE, unread)
    }

    fn calls(&self, desk: &Desk) {
        let model = self.provider.model(desk);
        (0..CALLS).for_each(|_| self.player.block_on(ask(&model)));
    }
}

/// The attempts of so many calls, each of which must have been answered on a connection of its own.
fn attempts(calls: &[Arc<Call>]) -> Vec<&Attempt> {
    let attempts = calls.iter().map(|call| {
        let [attempt] = &call.attempts[..] else { panic!("{call:?}") };
        assert_eq!((attempt.outcome.as_str(), attempt.reuse), ("success", Reuse::Fresh));
        assert!(attempt.after_ns + attempt.duration_ns() <= call.duration_ns, "{call:?}");
        attempt
    });
    attempts.collect()
}

fn joins(scrape: &Scrape, join: Join) -> f64 {
    scrape.get(&format!("call_join_total{{kind=\"llm\",result=\"{}\"}}", join.as_str()))
}

fn late(scrape: &Scrape) -> f64 {
    scrape.get("call_join_late_total{kind=\"llm\"}")
}

fn lost(scrape: &Scrape, reason: &str) -> f64 {
    scrape.get(&format!("ebpf_lost_total{{reason=\"{reason}\"}}"))
}

/// Events of the programs that were read, without those of older connections: they are looked for
/// once the ring is read.
fn delivered(scrape: &Scrape) -> f64 {
    scrape.sum("ebpf_events_total") - scrape.get("ebpf_events_total{event=\"existing\"}")
}

/// Nothing in it can be the kernel's.
fn is_of_the_application_alone(call: &Call, served: &Served) {
    let json = served.call(call.id);
    let attempt = &json["attempts"][0];
    assert_eq!((attempt["join"].as_str(), attempt["socket"].is_null()), (Some("missing"), true));
    for phase in [Phase::Tls, Phase::Pickup] {
        assert_eq!(attempt["phases"][phase.as_str()], 0, "{json}");
    }
    for phase in [Phase::Connect, Phase::Wait] {
        assert_ne!(attempt["phases"][phase.as_str()], 0, "{json}");
    }
}

/// Other traffic fills a ring that nobody reads, between calls of which it has all and calls of which
/// it has nothing.
#[test]
fn calls_that_a_full_ring_lost_are_missing_and_told_by_the_application_alone() {
    let _alone = alone();
    /// Three events each, first bytes, exchange, close; where the first bytes are lost, these and the close.
    const FILLING: usize = 600;
    let caller = Caller::new();
    let to: SocketAddr = plain::serve("127.0.0.1:0");
    let small = KernelConfig { ring_bytes: 64 << 10, ..config() };
    let desk = caller.desk(&small, |desk| {
        caller.calls(desk);
        for _ in 0..FILLING {
            plain::exchange(&mut TcpStream::connect(to).expect("connects"), NAME);
        }
        caller.calls(desk);
    });
    let Some(desk) = desk else { return };
    let calls = desk.known(2 * CALLS);
    let all = attempts(&calls);
    assert_eq!(all.len(), 2 * CALLS);
    let (before, after) = all.split_at(CALLS);
    assert!(before.iter().all(|one| one.join == Join::Joined), "{before:#?}");
    assert!(after.iter().all(|one| one.join == Join::Missing), "{after:#?}");

    let scrape = desk.scrape();
    let (joined, missing) = (joins(&scrape, Join::Joined), joins(&scrape, Join::Missing));
    assert_eq!((joined, missing), (CALLS as f64, CALLS as f64));
    assert_eq!(scrape.sum("call_join_total"), joined + missing, "every attempt, once");
    // Each attempt was an exchange; what is missing of them the view has not counted either.
    let talks = (2 * CALLS + FILLING) as f64;
    let (read, full) = (delivered(&scrape), lost(&scrape, "ring_full"));
    println!("{read} events read, {full} lost; {joined} calls joined, {missing} missing");
    assert!(scrape.sum("socket_exchanges_total") + full >= talks, "lost, and nobody says so");
    // Of a call that was seen also its handshake and its first arrivals.
    let least = (2 * FILLING + (5 + 2) * CALLS) as f64;
    assert!(read + full >= least, "{least} events were emitted at least");
    assert!(full >= 5.0 * missing, "what is missing was lost");
    assert_eq!(late(&scrape), 0.0);

    // No time of theirs is lost: the sum of all phases is what the clients' own clocks say.
    let by_phases = scrape.sum("call_phase_seconds_sum");
    let by_clients = scrape.sum("llm_attempt_seconds_sum");
    assert!((by_phases - by_clients).abs() < 0.01 * by_clients, "{by_phases} s, {by_clients} s");
    let served = Served::start(&desk.calls.history);
    calls[CALLS..].iter().for_each(|call| is_of_the_application_alone(call, &served));

    // The ring is empty again: nothing is missing any more.
    caller.calls(&desk);
    let calls = desk.known(3 * CALLS);
    let again = attempts(&calls[2 * CALLS..]);
    assert!(again.iter().all(|one| one.join == Join::Joined), "{again:#?}");
    assert_eq!(joins(&desk.scrape(), Join::Joined), 2.0 * CALLS as f64);
}

#[test]
fn what_comes_late_is_joined_within_the_grace_and_counted_after_it() {
    let _alone = alone();
    let caller = Caller::new();
    let desk = caller.desk(&config(), |desk| {
        caller.calls(desk);
        assert_eq!(desk.known(CALLS).len(), CALLS, "given up");
        assert_eq!(joins(&desk.scrape(), Join::Missing), CALLS as f64);
        assert_eq!(late(&desk.scrape()), 0.0, "nothing has come yet");
        caller.calls(desk);
        // They have ended, and nobody has read yet what the programs say of them.
    });
    let Some(desk) = desk else { return };
    let calls = desk.known(2 * CALLS);
    let all = attempts(&calls);
    let (given_up, waited_for) = all.split_at(CALLS);
    assert!(given_up.iter().all(|one| one.join == Join::Missing), "{given_up:#?}");
    assert!(waited_for.iter().all(|one| one.join == Join::Joined), "{waited_for:#?}");
    let scrape = desk.scrape();
    assert_eq!(late(&scrape), CALLS as f64, "came after the grace");
    let (joined, missing) = (joins(&scrape, Join::Joined), joins(&scrape, Join::Missing));
    assert_eq!((joined, missing), (CALLS as f64, CALLS as f64), "late ones count as missing");
    assert_eq!(scrape.sum("call_join_total"), joined + missing, "every attempt, once");
}
