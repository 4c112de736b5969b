//! A database that holds turns up is seen as that.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Executor};

use crate::server::Server;
use crate::stages::{STAGES, seconds};

/// As many as the server has connections to its database.
const WRITERS: usize = 4;

const LOCKED: Duration = Duration::from_millis(600);

/// Nobody can write until it is dropped or rolled back.
async fn lock(server: &Server) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(server.database());
    let mut connection = options.connect().await.expect("opened");
    connection.execute("BEGIN IMMEDIATE").await.expect("locked");
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
        assert_eq!(writer.hear_turn().await.status, "success");
    }
    // Time for each to have its connection.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = seconds(&server.scrape().await);
    reader.say("What did I say?").await;
    writers[0].say("And then?").await;
    tokio::time::sleep(LOCKED).await;
    lock.execute("ROLLBACK").await.expect("unlocked");
    reader.hear_turn().await;
    writers[0].hear_turn().await;
    let after = seconds(&server.scrape().await);
    for stage in STAGES {
        let spent = after[stage] - before[stage];
        println!("{stage:>16} {:8.1} ms", spent * 1e3);
        // SQLite looks every 0.1 s whether it can write.
        let expected = match stage {
            "history" => 0.55..1.0,
            // A line is over once it is kept, and then comes the pause after it.
            "queue" => 0.85..1.3,
            _ => 0.0..0.3,
        };
        assert!(expected.contains(&spent), "{stage}: {spent} s, not {expected:?}");
    }
}
