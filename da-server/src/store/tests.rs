use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;
use crate::metrics::Metrics;

struct Opened {
    store: Store,
    metrics: Metrics,
    folder: TempDir,
}

fn opened_at(relative: &str) -> Opened {
    let folder = tempfile::tempdir().expect("folder");
    let metrics = Metrics::new().expect("metrics");
    let times = StoreMetrics::register(metrics.registry()).expect("registers");
    let errors = ErrorMetrics::register(metrics.registry()).expect("registers");
    let config = StoreConfig { path: folder.path().join(relative), ..StoreConfig::default() };
    Opened { store: Store::new(config, times, errors), metrics, folder }
}

fn new_session(first_byte: u8) -> NewSession {
    let mut token_hash = [0; 32];
    token_hash[0] = first_byte;
    NewSession {
        token_hash,
        scene: "submarine".to_owned(),
        difficulty: "hard".to_owned(),
        world: "{}".to_owned(),
    }
}

fn turn(asked: &str) -> Turn {
    Turn {
        asked_by: AskedBy::Player,
        asked: asked.to_owned(),
        answer: format!("to {asked}"),
        status: TurnStatus::Cancelled,
    }
}

impl Opened {
    fn counted(&self, series: &str) -> f64 {
        let text = self.metrics.expose().expect("exposition");
        let line = text.lines().find(|line| line.starts_with(&format!("{series} ")));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect(series)
    }

    fn database_errors(&self) -> f64 {
        self.counted("digital_actors_errors_total{error_type=\"database\"}")
    }
}

#[tokio::test]
async fn a_session_is_found_by_its_token_alone() {
    let opened = opened_at("a.sqlite");
    let id = opened.store.create_session(&new_session(1)).await.expect("created");
    opened.store.save_world(id, r#"{"x":1}"#).await.expect("saved");
    let found = opened.store.find_session(&new_session(1).token_hash).await.expect("asked");
    let found = found.expect("found");
    assert_eq!(
        (found.id, found.scene.as_str(), found.difficulty.as_str()),
        (id, "submarine", "hard")
    );
    assert_eq!(found.world, r#"{"x":1}"#);
    assert_eq!(opened.store.find_session(&new_session(2).token_hash).await.expect("asked"), None);
    assert!(opened.store.create_session(&new_session(1)).await.is_err(), "tokens are unique");
}

#[tokio::test]
async fn history_is_the_last_turns_oldest_first() {
    let opened = opened_at("a.sqlite");
    let id = opened.store.create_session(&new_session(1)).await.expect("created");
    let other = opened.store.create_session(&new_session(2)).await.expect("created");
    for asked in ["one", "two", "three {}"] {
        opened.store.add_turn(id, &turn(asked)).await.expect("added");
        opened.store.add_turn(other, &turn("elsewhere")).await.expect("added");
    }
    let history = opened.store.history(id, 2).await.expect("read");
    assert!(history == [turn("two"), turn("three {}")]);
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart_and_is_private() {
    let first = opened_at("a.sqlite");
    let id = first.store.create_session(&new_session(1)).await.expect("created");
    first.store.add_turn(id, &turn("one")).await.expect("added");
    first.store.close().await;
    let path = first.folder.path().join("a.sqlite");
    assert_eq!(path.metadata().expect("file").permissions().mode() & 0o777, 0o600);

    let second = opened_at("unused.sqlite");
    let config = StoreConfig { path, ..StoreConfig::default() };
    let store = Store::new(config, second.store.metrics.clone(), second.store.errors.clone());
    assert!(store.history(id, 9).await.expect("read") == [turn("one")]);
}

#[tokio::test]
async fn unused_conversations_are_deleted_with_their_turns() {
    let mut opened = opened_at("a.sqlite");
    let id = opened.store.create_session(&new_session(1)).await.expect("created");
    opened.store.add_turn(id, &turn("one")).await.expect("added");
    opened.store.delete_unused().await.expect("deleted");
    assert_eq!(opened.store.history(id, 9).await.expect("read").len(), 1, "used just now");
    opened.store.config.retention_days = 0;
    tokio::time::sleep(Duration::from_millis(2)).await;
    opened.store.delete_unused().await.expect("deleted");
    assert!(opened.store.history(id, 9).await.expect("read").is_empty());
}

#[tokio::test]
async fn every_operation_is_timed() {
    let opened = opened_at("a.sqlite");
    let store = &opened.store;
    let id = store.create_session(&new_session(1)).await.expect("created");
    store.find_session(&[0; 32]).await.expect("found");
    store.save_world(id, "{}").await.expect("saved");
    store.history(id, 1).await.expect("read");
    store.add_turn(id, &turn("one")).await.expect("added");
    store.delete_unused().await.expect("deleted");
    store.ping().await.expect("answers");
    for operation in Operation::ALL {
        let name = operation.as_str();
        let series = format!("digital_actors_db_query_time_seconds_count{{operation=\"{name}\"}}");
        assert_eq!(opened.counted(&series), 1.0, "{name}");
    }
    assert_eq!(opened.database_errors(), 0.0);
}

#[tokio::test]
async fn a_query_that_nobody_waits_for_any_more_is_timed_too() {
    let opened = opened_at("a.sqlite");
    opened.store.ping().await.expect("answered");
    let pool = opened.store.pool.get().expect("open");
    let mut held = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        held.push(pool.acquire().await.expect("connection"));
    }
    let mut given_up = Box::pin(opened.store.ping());
    assert!(futures_util::poll!(given_up.as_mut()).is_pending(), "there is no connection left");
    drop(given_up);
    let series = "digital_actors_db_query_time_seconds_count{operation=\"ping\"}";
    assert_eq!(opened.counted(series), 2.0);
}

#[tokio::test]
async fn a_file_that_cant_be_opened_is_counted_said_and_tried_again() {
    let opened = opened_at("missing/a.sqlite");
    let error = opened.store.ping().await.expect_err("no folder");
    assert!(error.to_string().contains("missing/a.sqlite"), "{error}");
    assert!(error.to_string().contains("store.path"), "{error}");
    assert_eq!(opened.database_errors(), 1.0);
    std::fs::create_dir(opened.folder.path().join("missing")).expect("made");
    opened.store.ping().await.expect("opened now");
}

#[tokio::test]
async fn a_full_disk_fails_writes_once_each_and_leaves_reading() {
    let opened = opened_at("a.sqlite");
    let id = opened.store.create_session(&new_session(1)).await.expect("created");
    let pool = opened.store.pool().await.expect("open");
    let mut connections = Vec::new();
    for _ in 0..open::MAX_CONNECTIONS {
        let mut connection = pool.acquire().await.expect("connection");
        // SQLite's own way to run out of space: it answers SQLITE_FULL, as for a full disk.
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut *connection).await.expect("set");
        connections.push(connection);
    }
    drop(connections);
    let long = Turn { answer: "x".repeat(100_000), ..turn("one") };
    let error = opened.store.add_turn(id, &long).await.expect_err("full");
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(opened.database_errors(), 1.0);
    assert!(opened.store.history(id, 9).await.expect("reads").is_empty());
}
