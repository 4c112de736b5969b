//! Several servers, real processes, on one PostgreSQL: players come back to any of them.

mod nginx;

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use da_standin::{Delay, Options, Plan, Standin};
use da_testkit::player::Player;
use da_testkit::postgres::{PASSWORD, Postgres};
use da_testkit::programs::are_there;
use da_testkit::scenes::test_scenes;
use da_testkit::scrape::Scrape;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{address_of, start};
use crate::server::{LLM, PATIENCE};
use nginx::Nginx;

/// A server of several.
struct Replica {
    process: Child,
    address: SocketAddr,
    log: Option<JoinHandle<String>>,
}

/// What they share.
struct World {
    standin: Standin,
    folder: TempDir,
    /// The file that says where the database is.
    url_file: String,
}

impl World {
    async fn new() -> Self {
        let standin = Standin::start(Options::default()).await.expect("stand-in");
        let folder = tempfile::tempdir().expect("folder");
        test_scenes(&folder);
        let database = tokio::task::spawn_blocking(|| Postgres::shared().database());
        let url_file = folder.path().join("url");
        std::fs::write(&url_file, database.await.expect("database")).expect("written");
        Self { standin, folder, url_file: url_file.display().to_string() }
    }

    async fn replica(&self) -> Replica {
        let scenes = self.folder.path().join("scenes").display().to_string();
        let url_file = self.url_file.clone();
        self.replica_with(&[("DA_STORE__URL_FILE", url_file), ("DA_GAME__SCENES_DIR", scenes)])
            .await
    }

    async fn replica_with(&self, variables: &[(&str, String)]) -> Replica {
        let mut process = start(&self.standin, &self.folder, variables);
        let log = process.stderr.take().expect("log");
        let reading = tokio::task::spawn_blocking(move || address_of(log));
        let (address, log) = reading.await.expect("read");
        Replica { process, address, log: Some(log) }
    }
}

impl Replica {
    fn signal(&self, signal: i32) {
        let process = self.process.id().cast_signed();
        // SAFETY: sends a signal to the child that this test started and has not waited for.
        assert_eq!(unsafe { libc::kill(process, signal) }, 0);
    }

    async fn scrape(&self) -> Scrape {
        let url = format!("http://{}/metrics", self.address);
        let http = da_server::provider::http_client(&Default::default()).expect("client");
        let answer = http.get(url).send().await.expect("answer");
        Scrape::parse(&answer.text().await.expect("text"))
    }

    /// Waits until a turn is in the database.
    async fn has_kept_a_turn(&self) {
        let waited_since = Instant::now();
        while self.scrape().await.queries("add_turn") < 1.0 {
            assert!(waited_since.elapsed() < PATIENCE, "it keeps nothing");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn handovers(&self) -> [f64; 3] {
        let scrape = self.scrape().await;
        ["left", "silent", "late"]
            .map(|result| scrape.get(&format!("session_handovers_total{{result=\"{result}\"}}")))
    }

    /// How it ended, and what it said.
    async fn ended(&mut self) -> (ExitStatus, String) {
        let waited_since = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("asked") {
                let log = self.log.take().expect("once").join().expect("log");
                return (status, log);
            }
            assert!(waited_since.elapsed() < PATIENCE, "it did not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Replica {
    /// In a test that failed, what it said is told.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(log) = self.log.take().filter(|_| std::thread::panicking()) {
            eprintln!("{}\n{}", self.address, log.join().unwrap_or_default());
        }
    }
}

/// Goes on with the session of `token`.
async fn come_back(address: SocketAddr, token: &str) -> (Player, Value) {
    let mut player = Player::connect(address).await;
    let start = json!({"type": "start", "scene": "clock", "token": token});
    let session = player.start_as(start).await;
    assert_eq!(session["resumed"], true, "{session}");
    (player, session)
}

/// The player's own lines in a session's history.
fn own_lines(session: &Value) -> Vec<&str> {
    let lines = session["history"].as_array().expect("lines").iter();
    lines
        .filter(|line| line["speaker"] == "player")
        .map(|line| line["text"].as_str().expect("text"))
        .collect()
}

#[tokio::test]
async fn players_outlive_a_server_behind_a_load_balancer() {
    if !Postgres::is_there() || !are_there(&["nginx"]) {
        return;
    }
    const PLAYERS: usize = 6;
    let world = World::new().await;
    let (mut first, second) = tokio::join!(world.replica(), world.replica());
    let nginx = Nginx::start(world.folder.path(), &[first.address, second.address]);
    let mut players = Vec::new();
    for number in 0..PLAYERS {
        let mut player = Player::connect(nginx.address).await;
        player.start("clock").await;
        player.press("lamp").await;
        player.say(&format!("I am number {number}")).await;
        players.push(player);
    }
    for player in &mut players {
        assert_eq!(player.hear_turn().await.status, "success");
    }
    for replica in [&first, &second] {
        let playing = replica.scrape().await.get("active_sessions");
        assert_eq!(playing, PLAYERS as f64 / 2.0, "each has its share");
    }

    first.signal(libc::SIGTERM);
    let (status, log) = first.ended().await;
    assert_eq!(status.code(), Some(0));
    let mut moved = 0;
    for (number, mut player) in players.into_iter().enumerate() {
        player.say("Are you still there?").await;
        // Either its server answers, or it has said goodbye.
        if let Some(farewell) = player.hear_turn_or_close().await {
            assert_eq!(farewell, (1001, "server_shutdown".to_owned()));
            let (mut again, session) = come_back(nginx.address, &player.token).await;
            assert_eq!(own_lines(&session), [format!("I am number {number}")]);
            let state = again.wait_for("state").await;
            assert_eq!(state["variables"]["light"], 1.0, "the scene stands where it stood");
            again.say("So you are").await;
            assert_eq!(again.hear_turn().await.status, "success");
            moved += 1;
        }
    }
    assert_eq!(moved, PLAYERS / 2);
    assert_eq!(second.handovers().await, [0.0; 3], "nobody had to be asked");
    assert_eq!(second.scrape().await.errors("database"), 0.0);
    for word in [PASSWORD, "number"] {
        let line = log.lines().find(|line| line.contains(word));
        assert_eq!(line, None, "{word} is in the log");
    }
}

#[tokio::test]
async fn a_session_that_is_open_at_two_servers_is_the_newer_ones() {
    if !Postgres::is_there() {
        return;
    }
    let world = World::new().await;
    let (here, there) = tokio::join!(world.replica(), world.replica());
    let mut older = Player::connect(here.address).await;
    older.start("clock").await;
    older.say("One").await;
    older.hear_turn().await;
    // Nothing but its own server's memory has this.
    older.press("lamp").await;
    older.wait_for_state(|state| state["variables"]["light"] == 1.0).await;
    let slow = Plan { between_chunks_ms: Delay::Fixed(500.0), ..Plan::default() };
    world.standin.set_plan_for(LLM, slow);
    older.say("Two").await;
    older.hear_first_piece().await;

    let (mut newer, session) = come_back(there.address, &older.token).await;
    assert_eq!(older.wait_for_close().await, (1008, "replaced".to_owned()));
    assert_eq!(own_lines(&session), ["One", "Two"], "what was interrupted came along");
    let state = newer.wait_for("state").await;
    assert_eq!(state["variables"]["light"], 1.0);
    assert_eq!(there.handovers().await, [1.0, 0.0, 0.0]);
    assert_eq!(here.scrape().await.closes("replaced"), 1.0);

    // And back again.
    let (_, session) = come_back(here.address, &older.token).await;
    assert_eq!(newer.wait_for_close().await, (1008, "replaced".to_owned()));
    assert_eq!(own_lines(&session), ["One", "Two"]);
}

#[tokio::test]
async fn a_server_that_hangs_loses_its_sessions_and_can_write_to_them_no_more() {
    if !Postgres::is_there() {
        return;
    }
    let world = World::new().await;
    let (mut here, there) = tokio::join!(world.replica(), world.replica());
    let mut older = Player::connect(here.address).await;
    older.start("clock").await;
    older.say("One").await;
    older.hear_turn().await;
    // Stopped while it keeps that, it would hold the session's row, and nobody could take it over.
    here.has_kept_a_turn().await;

    here.signal(libc::SIGSTOP);
    let (mut newer, session) = come_back(there.address, &older.token).await;
    assert_eq!(own_lines(&session), ["One"]);
    assert_eq!(there.handovers().await, [0.0, 1.0, 0.0]);

    here.signal(libc::SIGCONT);
    older.say("Nobody may remember this").await;
    older.hear_turn().await;
    assert_eq!(older.wait_for_close().await, (1008, "replaced".to_owned()));
    assert_eq!(here.scrape().await.errors("database"), 0.0, "which is no failure");
    newer.say("Two").await;
    newer.hear_turn().await;
    newer.leave().await;
    let (last, session) = come_back(there.address, &older.token).await;
    assert_eq!(own_lines(&session), ["One", "Two"]);

    // One that died is waited for no longer than one that hangs.
    drop(last);
    let (_playing, _) = come_back(here.address, &older.token).await;
    here.signal(libc::SIGKILL);
    assert_eq!(here.ended().await.0.signal(), Some(libc::SIGKILL));
    let (_, session) = come_back(there.address, &older.token).await;
    assert_eq!(own_lines(&session), ["One", "Two"]);
    assert_eq!(there.handovers().await, [0.0, 2.0, 0.0]);
}

#[tokio::test]
async fn a_refused_password_is_said_and_not_shown() {
    if !Postgres::is_there() {
        return;
    }
    let world = World::new().await;
    let wrong = Postgres::shared().url_over_tcp().replace(PASSWORD, "the-wrong-secret");
    // The variable wins over the file.
    let variables = [("DATABASE_URL", wrong), ("DA_STORE__URL_FILE", world.url_file.clone())];
    let mut replica = world.replica_with(&variables).await;
    let mut player = Player::connect(replica.address).await;
    player.start("submarine").await;
    player.leave().await;
    assert!(replica.scrape().await.errors("database") >= 1.0);
    replica.signal(libc::SIGTERM);
    let (_, log) = replica.ended().await;
    assert!(log.contains("password authentication failed for user"), "{log}");
    for secret in ["the-wrong-secret", PASSWORD] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in the log");
    }
}
