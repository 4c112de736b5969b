//! Calls without an answer on a connection that was there before: nobody asked for its addresses, so
//! nothing but thread and time tells which one it was.

use std::time::Duration;

use da_server::calls::{Join, Phase, Reuse};
use da_standin::{Delay, Fault, Plan};

use super::desk::ask;
use super::provider::{Provider, one_worker};

const NAME: &str = "reused.calls.test";
/// How long the provider keeps quiet before whatever it does: no session ticket comes as late.
const QUIET: Delay = Delay::Fixed(600.0);
/// How soon the player leaves who does.
const LEAVES: Duration = Duration::from_millis(80);
/// Longer than the client waits for an answer.
const STAYS: Duration = Duration::from_secs(10);

/// Outcomes with what the provider does instead of answering, and how long the player waits for it.
fn faults() -> [(&'static str, Fault, Duration); 3] {
    [
        ("timeout", Fault::Hang, STAYS),
        ("interrupted", Fault::ResetBeforeFirstToken { after_head: false }, STAYS),
        ("cancelled", Fault::Hang, LEAVES),
    ]
}

#[test]
fn a_call_without_an_answer_is_found_on_the_connection_of_the_one_before() {
    let provider = Provider::start(NAME, Plan::default());
    let Some(desk) = provider.desk() else { return };
    let (standin, model, player) = (&provider.standin, provider.model(&desk), one_worker());
    for (number, (outcome, fault, patience)) in faults().into_iter().enumerate() {
        standin.set_plan(Plan { first_byte_ms: QUIET, ..Plan::default() });
        player.block_on(ask(&model));
        desk.known(2 * number + 1); // its connection is back by then
        standin.set_plan(Plan { fault: Some(fault), first_byte_ms: QUIET, ..Plan::default() });
        let asked = player.block_on(async { tokio::time::timeout(patience, ask(&model)).await });
        assert_eq!(asked.is_err(), outcome == "cancelled");
        let calls = desk.known(2 * (number + 1));
        let [.., answered, call] = &calls[..] else { panic!("{calls:#?}") };
        let (before, attempt) = (&answered.attempts[0], &call.attempts[0]);
        assert_eq!((before.join, call.outcome.as_str()), (Join::Joined, outcome), "{call:#?}");
        assert_eq!((attempt.join, attempt.reuse), (Join::Joined, Reuse::Reused), "{call:#?}");
        let (before, socket) = (before.socket.as_ref(), attempt.socket.as_ref());
        let (before, socket) = (before.expect("joined"), socket.expect("joined"));
        assert_eq!((socket.local, socket.exchange), (before.local, Some(2)), "{call:#?}");
        let elsewhere_ns = attempt.duration_ns() - attempt.phases.ns(Phase::Wait);
        assert!(elsewhere_ns < attempt.phases.ns(Phase::Wait), "{call:#?}");
    }
}
