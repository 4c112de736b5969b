//! What a player was told is kept is there, although the server is killed at that very moment.
//!
//! A few times here; `DA_KILLS=200 cargo test -p da-server --test game acknowledged` does it as often as
//! that.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;

use da_standin::{Options, Standin};
use da_testkit::player::{Player, Received};
use da_testkit::postgres::Postgres;
use da_testkit::scenes::test_scenes;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;

use crate::binary::{address_of, start};

/// Players who speak at once.
const PLAYERS: usize = 4;

fn kills() -> usize {
    std::env::var("DA_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(4)
}

struct Killing {
    standin: Standin,
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Killing {
    async fn with(database: Option<String>) -> Self {
        let standin = Standin::start(Options::default()).await.expect("stand-in");
        let folder = tempfile::tempdir().expect("folder");
        let scenes = test_scenes(&folder).display().to_string();
        let mut variables = vec![("DA_GAME__SCENES_DIR", scenes), ("LOG_LEVEL", "info".to_owned())];
        variables.extend(database.map(|url| ("DATABASE_URL", url)));
        Self { standin, folder, variables }
    }

    /// Starts a server, kills it when the first player hears that a line is kept, and hands back the
    /// lines of all who have heard that.
    async fn once(&self, round: usize) -> BTreeSet<String> {
        let mut server = start(&self.standin, &self.folder, &self.variables);
        let log = server.stderr.take().expect("log");
        let reading = tokio::task::spawn_blocking(move || address_of(log));
        let (address, log) = reading.await.expect("read");
        let mut players = Vec::new();
        for number in 0..PLAYERS {
            let mut player = Player::connect(address).await;
            player.start("quiet").await;
            players.push((format!("line {number} of round {round}"), player));
        }
        for (line, player) in &mut players {
            player.say(line).await;
        }
        let pid = server.id().cast_signed();
        let hearing = players.into_iter().map(async |(line, mut player)| {
            loop {
                match player.receive().await {
                    Received::Message(message) if message["type"] == "turn_end" => {
                        let Value::String(status) = &message["status"] else { panic!("{message}") };
                        assert_eq!(
                            (status.as_str(), &message["kept"]),
                            ("success", &Value::Bool(true))
                        );
                        // SAFETY: sends a signal to the child that this test started and has not
                        // waited for.
                        unsafe { libc::kill(pid, libc::SIGKILL) };
                        return Some(line);
                    }
                    Received::Closed(_) => return None,
                    Received::Message(_) | Received::Audio(_) => {}
                }
            }
        });
        let acknowledged = futures_util::future::join_all(hearing).await;
        let ended = tokio::task::spawn_blocking(move || server.wait()).await.expect("joined");
        assert_eq!(ended.expect("ended").signal(), Some(libc::SIGKILL));
        drop(log.join());
        acknowledged.into_iter().flatten().collect()
    }

    /// Does it again and again, and compares with what the database has after each time.
    async fn again_and_again(&self, stored: impl AsyncFn() -> Vec<String>) {
        let mut acknowledged = BTreeSet::new();
        for round in 0..kills() {
            acknowledged.extend(self.once(round).await);
            let stored: BTreeSet<_> = stored().await.into_iter().collect();
            let lost: Vec<_> = acknowledged.difference(&stored).collect();
            assert!(lost.is_empty(), "acknowledged and lost in round {round}: {lost:?}");
        }
        println!("{} lines were acknowledged before {} kills", acknowledged.len(), kills());
        assert!(acknowledged.len() >= kills());
    }
}

const LINES: &str = "SELECT asked FROM turns WHERE asked_by = 'player'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_in_sqlite() {
    let killing = Killing::with(None).await;
    let path = killing.folder.path().join("digital-actors.sqlite");
    killing
        .again_and_again(async || {
            let options = SqliteConnectOptions::new().filename(&path).read_only(true);
            let mut database = options.connect().await.expect("opened");
            sqlx::query_scalar(LINES).fetch_all(&mut database).await.expect("read")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_in_postgresql() {
    if !Postgres::is_there() {
        return;
    }
    let database = tokio::task::spawn_blocking(|| Postgres::shared().database());
    let url = database.await.expect("database");
    let killing = Killing::with(Some(url.clone())).await;
    killing
        .again_and_again(async || {
            let mut database = PgConnection::connect(&url).await.expect("connected");
            sqlx::query_scalar(LINES).fetch_all(&mut database).await.expect("read")
        })
        .await;
}
