//! A database that holds turns up is seen as that.

use std::time::Duration;

use da_standin::now_ns;
use sqlx::Executor;

use crate::locked::lock;
use crate::server::Server;
use crate::stage_causes::{PAUSE, assert_spent};
use crate::stages::seconds;

/// As many as the server has connections to its database.
const WRITERS: usize = 4;

const LOCKED: Duration = Duration::from_millis(600);

/// On one thread: what a player has seen, the server was done with.
#[tokio::test]
async fn a_locked_database_is_in_the_history_of_some_and_in_the_queue_of_others() {
    let server = Server::start().await;
    let mut reader = server.player_in("quiet").await;
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        writers.push(server.player_in("quiet").await);
    }
    let mut lock = lock(&server).await;
    for writer in &mut writers {
        writer.say("Hello").await;
        // It has all been said; only to keep it is what every connection waits for.
        writer.hear_whole_audio().await;
    }
    server.scrape_until(|s| s.get("db_queries_in_flight") == WRITERS as f64).await;
    let before = seconds(&server.scrape().await);
    let asked_ns = now_ns();
    reader.say("What did I say?").await;
    writers[0].say("And then?").await;
    writers[0].mark().await;
    assert_eq!(writers[0].wait_for_error().await, "unknown_control");
    let marked_ns = now_ns();
    let unlocking = async {
        tokio::time::sleep(LOCKED).await;
        let locked_until_ns = now_ns();
        lock.execute("ROLLBACK").await.expect("unlocked");
        locked_until_ns
    };
    let writing = async {
        writers[0].wait_for("turn_end").await;
        (now_ns(), writers[0].hear_turn().await)
    };
    let (read, (kept_ns, written), locked_until_ns) =
        tokio::join!(reader.hear_turn(), writing, unlocking);
    let after = seconds(&server.scrape().await);
    assert!(kept_ns > locked_until_ns, "it was said to be kept before it could be");
    // A line is over once it is kept, and then comes the pause after it. All that is known of the
    // reader's is that it was under way when the player heard that it had begun.
    let pause_ns = PAUSE.as_nanos() as u64;
    let least = [
        ("history", locked_until_ns.saturating_sub(read.began_ns)),
        ("queue", (locked_until_ns + pause_ns).saturating_sub(marked_ns)),
    ];
    let whole_ns = (read.ended_ns - asked_ns) + (written.ended_ns - asked_ns);
    assert_spent(&before, &after, &least.into(), whole_ns);
}

/// What another process does with the file: longer than anybody is let wait for.
#[tokio::test]
async fn a_turn_that_cant_be_kept_in_time_is_said_not_to_be() {
    let server = Server::start().await;
    let mut player = server.player_in("quiet").await;
    player.say("Keep this").await;
    assert!(player.hear_turn().await.kept);
    let mut lock = lock(&server).await;
    player.say("Lose this").await;
    let turn = player.hear_turn().await;
    assert_eq!((turn.status.as_str(), turn.kept), ("success", false), "it was said, all the same");
    let scrape = server.scrape().await;
    let not_kept = ["late", "failed"]
        .map(|reason| scrape.get(&format!("turns_not_kept_total{{reason=\"{reason}\"}}")));
    assert_eq!(not_kept.iter().sum::<f64>(), 1.0);
    // Nobody comes or goes, and yet it is known.
    assert!(scrape.errors("database") > 0.0);
    server.scrape_until(|s| s.get("db_available") == 0.0).await;
    lock.execute("ROLLBACK").await.expect("unlocked");
    player.say("Keep this, too").await;
    assert!(player.hear_turn().await.kept);
    let stored: Vec<_> =
        server.stored(&player.token).await.into_iter().map(|(asked, _)| asked).collect();
    assert_eq!(stored, ["Keep this", "Keep this, too"]);
}

/// The session is left before the database could take its last turn.
#[tokio::test]
async fn a_turn_of_a_player_who_leaves_meanwhile_is_counted_as_not_kept() {
    let server = Server::start().await;
    let mut player = server.player_in("quiet").await;
    let mut lock = lock(&server).await;
    player.say("Lose this").await;
    player.hear_whole_audio().await;
    let token = player.token.clone();
    player.leave().await;
    server.scrape_until(|s| s.get("turns_not_kept_total{reason=\"late\"}") == 1.0).await;
    lock.execute("ROLLBACK").await.expect("unlocked");
    assert!(server.stored(&token).await.is_empty());
}

/// What a turn that is given up has locked by then is let go of at once.
#[tokio::test]
async fn a_player_who_leaves_in_a_bad_moment_keeps_no_other_waiting() {
    let server = Server::start().await;
    let mut leaves = server.player_in("quiet").await;
    let mut stays = server.player_in("quiet").await;
    let mut lock = lock(&server).await;
    leaves.say("Lose this").await;
    leaves.hear_whole_audio().await;
    leaves.leave().await;
    // Longer than the server waits for what they said.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    lock.execute("ROLLBACK").await.expect("unlocked");
    stays.say("Keep this").await;
    assert!(stays.hear_turn().await.kept);
}
