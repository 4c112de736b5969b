use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;

on_both! {
    a_session_that_was_left_is_free_at_once,
    a_session_that_was_left_between_two_looks_is_not_taken_for_one_that_is_kept,
    a_session_comes_over_with_what_the_other_server_left,
    a_server_that_does_not_answer_loses_its_sessions,
    who_has_just_taken_a_session_is_asked_for_it_as_well,
    of_many_who_take_a_session_one_has_it,
    a_session_that_does_not_exist_is_not_waited_for,
}

const TOKEN: TokenHash = [1; 32];

fn session() -> NewSession {
    NewSession { token_hash: TOKEN, ..new_session(1) }
}

fn handovers(opened: &Opened, result: &str) -> f64 {
    opened.counted(&format!("digital_actors_session_handovers_total{{result=\"{result}\"}}"))
}

async fn lease(opened: &Opened) -> SavedSession {
    let claimed = opened.store.claim_session(&TOKEN).await.expect("asked");
    claimed.expect("found")
}

async fn a_session_that_was_left_is_free_at_once(here: Opened) {
    let first = here.store.create_session(&session()).await.expect("created");
    here.store.leave_session(first, "[1]").await.expect("left");
    let there = here.other_server();
    assert_eq!(lease(&there).await.world, "[1]");
    assert_eq!(there.queries(Operation::AskForSession), 0.0, "there was nobody to ask");
    for result in ["left", "silent", "late"] {
        assert_eq!(handovers(&there, result), 0.0);
    }
}

/// Whoever waits for a session looks whether it is free, and then asks for it.
async fn a_session_that_was_left_between_two_looks_is_not_taken_for_one_that_is_kept(here: Opened) {
    let first = here.store.create_session(&session()).await.expect("created");
    let there = here.other_server();
    let is_acknowledged = async || {
        let asked = there.store.request_lease(&TOKEN).await.expect("asked");
        asked.expect("there is one").is_acknowledged
    };
    assert!(!is_acknowledged().await, "nobody has heard it yet");
    here.store.leave_session(first, "[1]").await.expect("left");
    assert!(is_acknowledged().await);
    assert_eq!(lease(&there).await.world, "[1]");
    assert!(there.store.wanted_sessions().await.expect("looked").is_empty(), "nobody wants it");
}

async fn a_session_comes_over_with_what_the_other_server_left(here: Opened) {
    let first = here.store.create_session(&session()).await.expect("created");
    let untouched = here.store.create_session(&new_session(2)).await.expect("created");
    assert!(here.store.wanted_sessions().await.expect("looked").is_empty());
    let there = here.other_server();
    let leaving = async {
        while here.store.wanted_sessions().await.expect("looked") != [TOKEN] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(here.store.wanted_sessions().await.expect("looked").is_empty(), "it is said once");
        // Longer than one that says nothing is waited for.
        tokio::time::sleep(Duration::from_millis(2000)).await;
        here.store.add_turn(first, &turn("last words"), "[1]").await.expect("still its own");
        here.store.leave_session(first, "[2]").await.expect("left");
    };
    let (there_now, ()) = tokio::join!(lease(&there), leaving);
    assert_eq!(there_now.world, "[2]");
    assert!(there.store.history(there_now.lease, 9).await.expect("read") == [turn("last words")]);
    assert_eq!(handovers(&there, "left"), 1.0);
    here.store.add_turn(untouched, &turn("one"), "{}").await.expect("nobody wanted that one");
}

async fn a_server_that_does_not_answer_loses_its_sessions(here: Opened) {
    let first = here.store.create_session(&session()).await.expect("created");
    let there = here.other_server();
    let asked = Instant::now();
    let there_now = lease(&there).await;
    assert!(asked.elapsed() > Duration::from_millis(1400), "after {:?}", asked.elapsed());
    assert_eq!(handovers(&there, "silent"), 1.0);
    let refused = here.store.add_turn(first, &turn("too late"), "[9]").await;
    assert!(matches!(refused, Err(StoreError::Replaced)), "{refused:?}");
    let refused = here.store.leave_session(first, "[9]").await;
    assert!(matches!(refused, Err(StoreError::Replaced)), "{refused:?}");
    there.store.add_turn(there_now.lease, &turn("one"), "[1]").await.expect("its own");
    assert!(here.store.wanted_sessions().await.expect("looked").is_empty());
}

/// Two wait for a server that does not answer. None of the three ever does.
async fn who_has_just_taken_a_session_is_asked_for_it_as_well(here: Opened) {
    here.store.create_session(&session()).await.expect("created");
    let [one, other] = [here.other_server(), here.other_server()];
    let taking = async |server: &Opened| (lease(server).await.lease.fencing_token, Instant::now());
    let (one, other) = tokio::join!(taking(&one), taking(&other));
    let (first, second) = if one < other { (one, other) } else { (other, one) };
    assert_eq!((first.0, second.0), (2, 3));
    let between = second.1.duration_since(first.1);
    assert!(between > Duration::from_millis(1400), "after {between:?}");
}

async fn of_many_who_take_a_session_one_has_it(here: Opened) {
    let first = here.store.create_session(&session()).await.expect("created");
    here.store.leave_session(first, "{}").await.expect("left");
    let mut leases = Vec::new();
    let mut watching = Vec::new();
    for _ in 0..3 {
        let server = std::sync::Arc::new(here.other_server());
        watching.push(hand_over_at_once(server.clone()));
        leases.push(tokio::spawn(async move {
            let claimed = lease(&server).await.lease;
            // Who had it first has left it by now, as its game would.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let _ = server.store.leave_session(claimed, "{}").await;
            claimed
        }));
    }
    let mut numbers = Vec::new();
    for lease in leases {
        numbers.push(lease.await.expect("no panic").fencing_token);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3, 4], "one after the other");
}

/// A server that is quick to hear that its sessions are wanted.
fn hand_over_at_once(server: std::sync::Arc<Opened>) -> DropGuard {
    let until = CancellationToken::new();
    let guard = until.clone().drop_guard();
    tokio::spawn(until.run_until_cancelled_owned(async move {
        loop {
            let _ = server.store.wanted_sessions().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }));
    guard
}

async fn a_session_that_does_not_exist_is_not_waited_for(here: Opened) {
    assert_eq!(here.store.claim_session(&TOKEN).await.expect("asked"), None);
    // Who waits asks again and again.
    for operation in [Operation::ClaimSession, Operation::AskForSession] {
        assert_eq!(here.queries(operation), 1.0, "{}", operation.as_str());
    }
}
