use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::store::pool::{ConnectionKind, PooledConnection};
use crate::store::sqlite::MAX_CONNECTIONS;

fn opened_at(folder: &TempDir, relative: &str) -> Opened {
    let path = folder.path().join(relative);
    Opened::with(StoreConfig { path, ..StoreConfig::default() })
}

/// A connection over which these were asked.
async fn after(opened: &Opened, statements: &[&'static str]) -> PooledConnection {
    let pool = opened.store.lazy_pool.pool().await.expect("open");
    let Ok(mut connection) = pool.acquire().await else { panic!("no connection") };
    let ConnectionKind::Sqlite(db) = &mut connection.kind else { panic!("not SQLite") };
    for sql in statements {
        sqlx::query(*sql).execute(&mut **db).await.expect("done");
    }
    connection
}

#[tokio::test]
async fn the_file_is_private() {
    let folder = tempfile::tempdir().expect("folder");
    let opened = opened_at(&folder, "a.sqlite");
    opened.store.ping().await.expect("opened");
    let file = folder.path().join("a.sqlite").metadata().expect("file");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_cant_be_opened_is_counted_said_and_tried_again() {
    let folder = tempfile::tempdir().expect("folder");
    let opened = opened_at(&folder, "missing/a.sqlite");
    let error = opened.store.create_session(&new_session(1)).await.expect_err("no folder");
    assert!(error.to_string().contains("missing/a.sqlite"), "{error}");
    assert!(error.to_string().contains("store.path"), "{error}");
    assert_eq!(opened.database_errors(), 1.0);
    assert_eq!(opened.failures(Operation::CreateSession), 1.0);
    opened.store.ping().await.expect_err("still none");
    opened.store.wanted_sessions().await.expect_err("still none");
    opened.store.delete_unused().await.expect_err("still none");
    assert_eq!(opened.database_errors(), 1.0, "no player has lost anything by these");
    for operation in [Operation::Ping, Operation::FindWanted, Operation::DeleteUnused] {
        assert_eq!(opened.failures(operation), 1.0, "{}", operation.as_str());
    }
    std::fs::create_dir(folder.path().join("missing")).expect("made");
    opened.store.ping().await.expect("opened now");
}

#[tokio::test]
async fn a_full_disk_fails_writes_once_each_and_leaves_reading() {
    let opened = Opened::in_sqlite();
    let lease = opened.store.create_session(&new_session(1)).await.expect("created");
    let mut connections = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        // SQLite's own way to run out of space: it answers SQLITE_FULL, as for a full disk.
        connections.push(after(&opened, &["PRAGMA max_page_count = 1"]).await);
    }
    connections.into_iter().for_each(PooledConnection::release);
    let long = Turn { answer: "x".repeat(100_000), ..turn("one") };
    let error = opened.store.add_turn(lease, &long, "{}").await.expect_err("full");
    assert!(error.to_string().contains("full"), "{error}");
    assert_eq!(opened.database_errors(), 1.0);
    assert!(opened.store.history(lease, 9).await.expect("reads").is_empty());
}

#[tokio::test]
async fn a_write_that_cant_be_committed_has_failed_although_it_returned_its_row() {
    let opened = Opened::in_sqlite();
    opened.store.create_session(&new_session(1)).await.expect("created");
    // What every write now refers to is not there, which is looked for only when it is committed.
    let made = [
        "CREATE TABLE nobody (id INTEGER PRIMARY KEY)",
        "CREATE TABLE friends (id REFERENCES nobody (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE TRIGGER begun AFTER INSERT ON sessions BEGIN INSERT INTO friends VALUES (1); END",
        "CREATE TRIGGER taken AFTER UPDATE ON sessions BEGIN INSERT INTO friends VALUES (1); END",
    ];
    after(&opened, &made).await.release();
    opened.store.create_session(&new_session(2)).await.expect_err("not begun");
    opened.store.claim_session(&new_session(1).token_hash).await.expect_err("not taken over");
    assert_eq!(opened.database_errors(), 2.0);
}

#[tokio::test]
async fn a_file_of_an_older_version_keeps_its_conversations() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("a.sqlite");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.expect("opened");
    let older = sqlx::migrate!("./migrations/sqlite");
    let first: Vec<_> = older.iter().take(1).cloned().collect();
    sqlx::migrate::Migrator::with_migrations(first).run(&pool).await.expect("migrated");
    let sql = "INSERT INTO sessions (token_hash, scene, difficulty, world, used_at_ms) \
               VALUES ($1, 'submarine', 'hard', '[7]', 1)";
    sqlx::query(sql).bind(&[5_u8; 32][..]).execute(&pool).await.expect("kept");
    pool.close().await;

    let opened = opened_at(&folder, "a.sqlite");
    let found = opened.store.claim_session(&[5; 32]).await.expect("asked").expect("found");
    assert_eq!(found.world, "[7]");
    opened.store.add_turn(found.lease, &turn("one"), "[8]").await.expect("goes on");
}
