//! Calls over a network that is slow, and over one that loses packets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use da_server::calls::{Attempt, Call, Join, Phase, Reuse};
use da_server::llm::{LlmClient, LlmConfig};
use da_server::provider::ApiKey;
use da_standin::{Delay, Options, Plan, Standin};
use futures_util::future::join_all;
use serde_json::Value;

use super::judged::judge;
use crate::calls::desk::{Desk, ask, http, url};
use crate::calls::differences::{CALLS, Medians, USUAL_MS, usual};
use crate::calls::line::{Line, Network, can_be_lossy};
use crate::calls::served::Served;
use crate::lab::{config, endpoint_at};
use crate::turns::{alone, undisturbed};

const NAME: &str = "network.calls.test";
/// What makes networks, and loses packets between them.
/// Addresses that nobody outside the test's own networks has: RFC 5737.
const HERE: &str = "192.0.2.1";
const THERE: &str = "192.0.2.2";
const PORT: u16 = 443;
/// How long the network takes there and back.
const ROUND_TRIP_MS: f64 = 40.0;
/// How long a network takes over which answers are over before session tickets would have had to come.
const FAR_AWAY_MS: f64 = 150.0;
/// Between two calls of a client: its connection is back by then, and its exchange has been asked for.
const PAUSE: Duration = Duration::from_millis(150);

/// Calls are made here, and answered in another network.
struct Abroad {
    calls: usize,
    standin: Standin,
    line: Line,
    here: Network,
    there: Network,
    // Ends last: the clients report to it.
    desk: Desk,
}

impl Abroad {
    fn open() -> Option<Self> {
        Self::with(Options::default().tickets)
    }

    /// The stand-in sends so many session tickets.
    fn with(tickets: usize) -> Option<Self> {
        let at: SocketAddr = format!("{THERE}:{PORT}").parse().expect("an address");
        let desk = Desk::open(&config(), &[endpoint_at(NAME, NAME, at)])?;
        let (here, there) = (Network::new(), Network::new());
        let line = Line::between((&here, HERE), (&there, THERE));
        let names = vec![NAME.to_owned()];
        let options = Options { listen: at, names, tickets, ..Options::default() };
        let standin = there.run(Standin::start(options)).expect("a stand-in");
        Some(Self { calls: 0, standin, line, here, there, desk })
    }

    /// A client with connections of its own.
    fn client(&self) -> LlmClient {
        let http = http(&self.standin, &[NAME]);
        let config = LlmConfig {
            base_url: Some(url(NAME, self.standin.addr())),
            api_key: ApiKey::new("test-key"),
            ..LlmConfig::default()
        };
        self.desk.client_with(&http, config)
    }

    /// So many calls one after the other, by each of the clients at the same time.
    fn calls(&mut self, clients: &[LlmClient], of_each: usize, pause: Duration) -> Vec<Arc<Call>> {
        let ask_each = |client: LlmClient| async move {
            for _ in 0..of_each {
                ask(&client).await;
                tokio::time::sleep(pause).await;
            }
        };
        self.here.run(join_all(clients.iter().cloned().map(ask_each)));
        let before = self.calls;
        self.calls += clients.len() * of_each;
        let calls = self.desk.known(self.calls);
        assert_eq!(calls.len(), self.calls);
        calls[before..].to_vec()
    }

    /// Attempts of the median call over a network that takes so long, on connections of their own
    /// or on one that was there before.
    fn attempts(&mut self, round_trip_ms: f64, reuse: Reuse) -> Vec<Attempt> {
        self.line.set_round_trip(Duration::from_secs_f64(round_trip_ms / 1e3));
        self.standin.set_plan(usual(reuse));
        let client = self.client();
        // The first one pays for the connection.
        let calls = self.calls(&[client], CALLS + 1, PAUSE);
        let attempts = calls[1..].iter().map(|call| call.attempts[0].clone());
        let attempts: Vec<_> = attempts.collect();
        for (call, attempt) in calls[1..].iter().zip(&attempts) {
            assert_eq!((call.outcome.as_str(), attempt.reuse), ("success", reuse), "{attempt:?}");
            assert_eq!(attempt.phases.sum_ns() + call.back_off_ns(), call.duration_ns);
            assert!(attempt.socket.is_some(), "{attempt:?}");
        }
        attempts
    }
}

/// Prints by how much each phase is longer over the slow network; whether those are by its round
/// trip, and no other is.
fn slows(abroad: &mut Abroad, reuse: Reuse, carriers: &[Phase]) -> bool {
    let near = Medians::of(&abroad.attempts(0.0, reuse));
    let far = abroad.attempts(ROUND_TRIP_MS, reuse);
    let rtt_ms = far.iter().map(|attempt| {
        let socket = attempt.socket.as_ref().expect("joined");
        socket.rtt_ns.expect("a round trip") as f64 / 1e6
    });
    let rtt_ms: Vec<_> = rtt_ms.collect();
    let far = Medians::of(&far);
    let exact = far.differ(reuse.as_str(), &near, carriers, ROUND_TRIP_MS);
    println!("round trips, ms: {rtt_ms:.2?}");
    exact
}

#[test]
fn a_slow_network_shows_where_calls_wait_for_it_and_nowhere_else() {
    if !can_be_lossy() {
        return;
    }
    let _alone = undisturbed();
    let Some(mut abroad) = Abroad::open() else { return };
    judge("a slow network", || {
        Medians::head("ms longer");
        let fresh = slows(&mut abroad, Reuse::Fresh, &[Phase::Connect, Phase::Tls, Phase::Wait]);
        slows(&mut abroad, Reuse::Reused, &[Phase::Wait]) && fresh
    });
}

/// Makes calls by new clients whose answers come at once, so within the time in which session tickets
/// of their connection may.
fn are_joined(abroad: &mut Abroad, text_characters: usize, of_each: usize) {
    let text_characters = Some(text_characters);
    abroad.standin.set_plan(Plan { chunks: Some(1), text_characters, ..Plan::default() });
    let clients: Vec<_> = (0..4).map(|_| abroad.client()).collect();
    for call in abroad.calls(&clients, of_each, Duration::ZERO) {
        let attempt = &call.attempts[0];
        assert_eq!(attempt.join, Join::Joined, "{attempt:?}");
        let wait_ms = attempt.phases.ns(Phase::Wait) as f64 / 1e6;
        assert!(wait_ms > 0.9 * FAR_AWAY_MS, "{attempt:?}");
    }
}

#[test]
fn first_answers_that_come_at_once_from_far_away_are_joined() {
    if !can_be_lossy() {
        return;
    }
    let _alone = alone();
    for tickets in [2, 0] {
        let Some(mut abroad) = Abroad::with(tickets) else { return };
        abroad.line.set_round_trip(Duration::from_secs_f64(FAR_AWAY_MS / 1e3));
        // Nothing follows on the connection: what the kernel saw is nowhere but in its record.
        are_joined(&mut abroad, 100, 1);
        // The next one follows at once: the first was too long for tickets.
        are_joined(&mut abroad, 8_000, 2);
    }
}

/// Segments that the kernel sent again during a call; none where it was not joined.
fn sent_again(call: &Call) -> Option<u64> {
    let socket = |attempt: &Attempt| attempt.socket.as_ref().map(|socket| socket.retransmits);
    call.attempts.iter().map(socket).sum()
}

#[test]
fn what_was_sent_again_is_told_of_the_call_during_which_it_was() {
    if !can_be_lossy() {
        return;
    }
    let _alone = alone();
    let Some(mut abroad) = Abroad::open() else { return };
    abroad.standin.set_plan(Plan { first_byte_ms: Delay::Fixed(USUAL_MS), ..Plan::default() });
    abroad.here.lose(5);
    abroad.there.lose(5);
    let clients: Vec<_> = (0..16).map(|_| abroad.client()).collect();
    let before = abroad.here.retransmits();
    let calls = abroad.calls(&clients, 20, PAUSE);
    // What closes sends, too: until here nothing has.
    let by_the_kernel = abroad.here.retransmits() - before;
    drop(clients);
    let told: Vec<_> = calls.iter().filter_map(|call| sent_again(call)).collect();
    let sum: u64 = told.iter().sum();
    let hit = told.iter().filter(|sent_again| **sent_again > 0).count();
    println!("{by_the_kernel} segments sent again, {sum} of them during {hit} calls");
    assert!(by_the_kernel > 0, "nothing was lost");
    // Rarely a call is missing among so many lost packets, and what was sent again during it.
    let missing = calls.len() - told.len();
    println!("{missing} of {} calls are missing", calls.len());
    assert!(missing * 100 <= calls.len(), "more than one in a hundred");
    let scrape = abroad.desk.scrape();
    let counted = scrape.get("call_join_total{kind=\"llm\",result=\"missing\"}");
    assert_eq!(counted, missing as f64, "missing, and nobody says so");
    if missing == 0 {
        assert_eq!(sum, by_the_kernel, "{told:?}");
    } else {
        assert!(sum <= by_the_kernel, "{told:?}");
    }

    let served = Served::start(&abroad.desk.calls.history);
    for call in &calls {
        assert_eq!(retransmits(&served.call(call.id)), sent_again(call), "{call:?}");
    }
}

/// What `/api/calls/{id}` says was sent again, if anything.
fn retransmits(call: &Value) -> Option<u64> {
    let attempts = call["attempts"].as_array().expect("attempts");
    attempts.iter().map(|attempt| attempt["socket"]["retransmits"].as_u64()).sum()
}
