use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::store::queries::now_ms;
use crate::store::retention::Jump;

on_both! {
    a_session_is_found_by_its_token_alone,
    history_is_the_last_turns_oldest_first,
    what_was_kept_is_there_after_a_restart,
    a_turn_is_kept_with_its_world_or_not_at_all,
    unused_conversations_are_deleted_with_their_turns,
    unused_conversations_are_deleted_some_at_a_time,
    a_clock_that_has_just_been_read_deletes_nothing,
    what_was_used_by_a_wrong_clock_is_set_right,
    a_session_that_the_database_has_lost_is_told_from_one_taken_over,
    a_fencing_token_that_the_database_has_lost_is_raised_again,
    a_fencing_token_that_was_given_twice_is_the_newer_servers,
    every_operation_is_timed,
    a_query_that_waits_or_is_given_up_is_seen,
    any_text_is_kept,
}

async fn a_session_is_found_by_its_token_alone(opened: Opened) {
    let store = &opened.store;
    let lease = store.create_session(&new_session(1)).await.expect("created");
    store.leave_session(lease, r#"{"x":1}"#).await.expect("left");
    let found = store.claim_session(&new_session(1).token_hash).await.expect("asked");
    let found = found.expect("found");
    assert_eq!(found.lease.session, lease.session);
    let SavedSession { scene, difficulty, world, .. } = &found;
    assert_eq!(
        [scene.as_str(), difficulty.as_str(), world.as_str()],
        ["submarine", "hard", r#"{"x":1}"#]
    );
    assert_eq!(store.claim_session(&new_session(2).token_hash).await.expect("asked"), None);
    assert!(store.create_session(&new_session(1)).await.is_err(), "tokens are unique");
}

async fn history_is_the_last_turns_oldest_first(opened: Opened) {
    let lease = opened.store.create_session(&new_session(1)).await.expect("created");
    let other = opened.store.create_session(&new_session(2)).await.expect("created");
    for asked in ["one", "two", "three {}"] {
        opened.store.add_turn(lease, &turn(asked), "{}").await.expect("added");
        opened.store.add_turn(other, &turn("elsewhere"), "{}").await.expect("added");
    }
    let history = opened.store.history(lease, 2).await.expect("read");
    assert!(history == [turn("two"), turn("three {}")]);
}

async fn what_was_kept_is_there_after_a_restart(opened: Opened) {
    let lease = opened.store.create_session(&new_session(1)).await.expect("created");
    opened.store.add_turn(lease, &turn("one"), "{}").await.expect("added");
    opened.store.close().await;
    let again = opened.other_server();
    assert!(again.store.history(lease, 9).await.expect("read") == [turn("one")]);
}

async fn a_turn_is_kept_with_its_world_or_not_at_all(opened: Opened) {
    let store = &opened.store;
    let older = store.create_session(&new_session(1)).await.expect("created");
    store.add_turn(older, &turn("one"), "[1]").await.expect("added");
    let found = store.claim_session(&new_session(1).token_hash).await.expect("asked");
    let newer = found.expect("found");
    assert_eq!(newer.world, "[1]");
    for refused in
        [store.add_turn(older, &turn("two"), "[2]").await, store.leave_session(older, "[3]").await]
    {
        assert!(matches!(refused, Err(StoreError::Replaced)), "{refused:?}");
    }
    assert!(store.history(newer.lease, 9).await.expect("read") == [turn("one")]);
    store.add_turn(newer.lease, &turn("three"), "[4]").await.expect("added");
    let last = store.claim_session(&new_session(1).token_hash).await.expect("asked");
    assert_eq!(last.expect("found").world, "[4]");
    assert_eq!(opened.database_errors(), 0.0, "to be replaced is nobody's failure");
}

async fn unused_conversations_are_deleted_with_their_turns(mut opened: Opened) {
    let lease = opened.store.create_session(&new_session(1)).await.expect("created");
    opened.store.add_turn(lease, &turn("one"), "{}").await.expect("added");
    opened.store.delete_unused().await.expect("deleted");
    assert_eq!(opened.store.history(lease, 9).await.expect("read").len(), 1, "used just now");
    opened.store.config.retention_days = 0;
    tokio::time::sleep(Duration::from_millis(2)).await;
    opened.store.delete_unused().await.expect("deleted");
    assert!(opened.store.history(lease, 9).await.expect("read").is_empty());
}

async fn unused_conversations_are_deleted_some_at_a_time(mut opened: Opened) {
    for number in 0..=250_u8 {
        opened.store.create_session(&new_session(number)).await.expect("created");
    }
    opened.store.config.retention_days = 0;
    tokio::time::sleep(Duration::from_millis(2)).await;
    opened.store.delete_unused().await.expect("deleted");
    assert_eq!(opened.queries(Operation::DeleteUnused), 3.0, "100, 100 and 51");
    assert_eq!(opened.store.claim_session(&new_session(7).token_hash).await.expect("asked"), None);
}

/// As for a server whose host has come up with a wrong date: by that, all of them are old.
async fn what_was_used_by_a_wrong_clock_is_set_right(opened: Opened) {
    const FORTY_DAYS_MS: i64 = 40 * 24 * 3_600_000;
    let store = &opened.store;
    let is_there = async |number: u8| {
        store.claim_session(&new_session(number).token_hash).await.expect("asked").is_some()
    };
    let before_ms = now_ms();
    for number in [1, 2] {
        store.create_session(&new_session(number)).await.expect("created");
    }
    let jump = |from_ms, by_ms| Jump { from_ms, to_ms: from_ms + 60_000, by_ms };
    // As if both were used forty days ago; then the clock is found to have been wrong.
    store.correct_times(jump(before_ms, -FORTY_DAYS_MS)).await.expect("set");
    store.correct_times(jump(before_ms - FORTY_DAYS_MS, FORTY_DAYS_MS)).await.expect("set");
    store.delete_unused().await.expect("asked");
    assert!(is_there(1).await && is_there(2).await);
    store.correct_times(jump(before_ms, -FORTY_DAYS_MS)).await.expect("set");
    store.delete_unused().await.expect("asked");
    assert!(!is_there(1).await && !is_there(2).await, "it was right");
}

async fn a_clock_that_has_just_been_read_deletes_nothing(mut opened: Opened) {
    let lease = opened.store.create_session(&new_session(1)).await.expect("created");
    opened.store.add_turn(lease, &turn("one"), "{}").await.expect("added");
    opened.store.config.retention_days = 0;
    let until = CancellationToken::new();
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        until.cancel();
    };
    tokio::join!(opened.store.run_retention(until.clone()), stopping);
    assert_eq!(opened.store.history(lease, 9).await.expect("read").len(), 1);
}

async fn a_session_that_the_database_has_lost_is_told_from_one_taken_over(opened: Opened) {
    let store = &opened.store;
    let lost = Lease { session: [9; 32], fencing_token: 4 };
    let refused = store.add_turn(lost, &turn("one"), "{}").await;
    assert!(matches!(refused, Err(StoreError::Unknown)), "{refused:?}");
    let refused = store.leave_session(lost, "{}").await;
    assert!(matches!(refused, Err(StoreError::Unknown)), "{refused:?}");
    store.restore_session(lost, "submarine", "hard", "{}").await.expect("begun anew");
    store.add_turn(lost, &turn("one"), "[1]").await.expect("under the same lease");
    assert!(store.history(lost, 9).await.expect("read") == [turn("one")]);
    let older = Lease { fencing_token: 3, ..lost };
    let refused = store.add_turn(older, &turn("two"), "{}").await;
    assert!(matches!(refused, Err(StoreError::Replaced)), "{refused:?}");
    assert_eq!(opened.database_errors(), 0.0);
}

/// As by a backup that is restored, or a standby that has not heard of the last lease.
async fn a_fencing_token_that_the_database_has_lost_is_raised_again(opened: Opened) {
    let store = &opened.store;
    store.create_session(&new_session(1)).await.expect("created");
    let ours = Lease { session: new_session(1).token_hash, fencing_token: 5 };
    store.add_turn(ours, &turn("one"), "[1]").await.expect("nobody has taken it over");
    assert!(store.history(ours, 9).await.expect("read") == [turn("one")]);
    let older = store.add_turn(Lease { fencing_token: 4, ..ours }, &turn("two"), "[2]").await;
    assert!(matches!(older, Err(StoreError::Replaced)), "{older:?}");
    let next = Lease { fencing_token: 7, ..ours };
    store.leave_session(next, "[3]").await.expect("left");
    let found = store.claim_session(&ours.session).await.expect("asked").expect("found");
    assert_eq!((found.lease.fencing_token, found.world.as_str()), (8, "[3]"));
    assert_eq!(opened.database_errors(), 0.0);
}

/// The last lease was lost in a failover, and its number given to who came back to another server.
async fn a_fencing_token_that_was_given_twice_is_the_newer_servers(here: Opened) {
    let first = here.store.create_session(&new_session(1)).await.expect("created");
    here.store.leave_session(first, "{}").await.expect("left");
    let there = here.other_server();
    let found = there.store.claim_session(&first.session).await.expect("asked").expect("found");
    let refused = here.store.add_turn(found.lease, &turn("one"), "{}").await;
    assert!(matches!(refused, Err(StoreError::Replaced)), "{refused:?}");
    there.store.add_turn(found.lease, &turn("two"), "{}").await.expect("its own");
}

async fn every_operation_is_timed(opened: Opened) {
    let store = &opened.store;
    let lease = store.create_session(&new_session(1)).await.expect("created");
    assert_eq!(store.claim_session(&[0; 32]).await.expect("asked"), None, "asks for it as well");
    store.history(lease, 1).await.expect("read");
    store.add_turn(lease, &turn("one"), "{}").await.expect("added");
    store.wanted_sessions().await.expect("looked");
    store.leave_session(lease, "{}").await.expect("left");
    store.delete_unused().await.expect("deleted");
    store.ping().await.expect("answers");
    let lost = Lease { session: [9; 32], fencing_token: 1 };
    store.restore_session(lost, "submarine", "hard", "{}").await.expect("begun anew");
    for operation in Operation::ALL {
        assert_eq!(opened.queries(operation), 1.0, "{}", operation.as_str());
    }
    assert_eq!(opened.database_errors(), 0.0);
}

async fn a_query_that_waits_or_is_given_up_is_seen(opened: Opened) {
    opened.store.ping().await.expect("answered");
    let pool = opened.store.lazy_pool.pool().await.expect("open");
    assert_eq!(opened.counted("digital_actors_db_connections_limit"), 4.0);
    let mut held = Vec::new();
    for _ in 0..4 {
        let Ok(connection) = pool.acquire().await else { panic!("no connection") };
        held.push((connection, opened.store.metrics.in_flight()));
    }
    assert_eq!(opened.counted("digital_actors_db_queries_in_flight"), 4.0);
    let mut given_up = Box::pin(opened.store.ping());
    assert!(futures_util::poll!(given_up.as_mut()).is_pending(), "there is no connection left");
    assert_eq!(opened.counted("digital_actors_db_queries_waiting"), 1.0);
    drop(given_up);
    assert_eq!(opened.counted("digital_actors_db_queries_waiting"), 0.0);
    assert_eq!(opened.queries(Operation::Ping), 2.0);
    drop(held);
    assert_eq!(opened.counted("digital_actors_db_queries_in_flight"), 0.0);
}

async fn any_text_is_kept(opened: Opened) {
    let lease = opened.store.create_session(&new_session(1)).await.expect("created");
    let text = "'; DROP TABLE turns; -- $1 ? \\ \u{1F3AD} \u{202E} \r\n\t".repeat(1000);
    let odd = Turn { answer: format!("\0{text}\0"), ..turn("one") };
    opened.store.add_turn(lease, &odd, "{}").await.expect("added");
    let history = opened.store.history(lease, 9).await.expect("read");
    assert!(history == [Turn { answer: text, ..turn("one") }], "all but NUL, which is no text");
}
