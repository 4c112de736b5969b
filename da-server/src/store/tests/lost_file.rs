//! A database file that is deleted, moved or replaced while it is open.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use da_testkit::programs::are_there;
use sqlx::{ConnectOptions, Connection};

use super::*;

struct OnDisk {
    opened: Opened,
    folder: TempDir,
    path: PathBuf,
    lease: Lease,
}

impl OnDisk {
    async fn with_a_turn() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.sqlite");
        let opened = at(path.clone());
        let lease = opened.store.create_session(&new_session(1)).await.expect("created");
        opened.store.add_turn(lease, &turn("one"), "{}").await.expect("added");
        Self { opened, folder, path, lease }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("a.sqlite-wal")
    }

    /// The first turn is refused if it went into a log that was deleted, and not if that was found out
    /// before. Says which.
    async fn keeps_what_it_says_it_keeps(&self) -> bool {
        let store = &self.opened.store;
        let second = store.add_turn(self.lease, &turn("two"), "{}").await;
        assert_eq!(self.opened.database_errors(), f64::from(second.is_err()), "{second:?}");
        store.add_turn(self.lease, &turn("three"), "{}").await.expect("kept");
        let history = at(self.path.clone()).store.history(self.lease, 9).await.expect("read");
        let kept = [second.is_ok().then(|| turn("two")), Some(turn("three"))];
        let kept: Vec<_> = kept.into_iter().flatten().collect();
        assert!(kept.iter().all(|turn| history.contains(turn)), "what it said is kept");
        second.is_ok()
    }

    /// More than the log has before SQLite folds some of it back by itself.
    async fn has_many_turns(&self, named: &str) -> Vec<Turn> {
        let turns: Vec<_> = (0..15).map(|number| turn(&format!("{named} {number}"))).collect();
        for turn in &turns {
            self.opened.store.add_turn(self.lease, turn, "{}").await.expect("added");
        }
        turns
    }

    /// The next ones are new. They are closed as after a failure.
    async fn loses_its_connections(&self) {
        let pool = self.opened.store.lazy_pool.pool().await.expect("open");
        let mut connections = Vec::new();
        for _ in 0..pool.max_connections() {
            let Ok(connection) = pool.acquire().await else { panic!("no connection") };
            connections.push(connection);
        }
    }

    async fn has_all_of(&self, turns: &[Turn]) {
        let history = at(self.path.clone()).store.history(self.lease, 99).await.expect("read");
        assert!(turns.iter().all(|turn| history.contains(turn)), "something is lost");
        let mut file = reading_of(&self.path).await;
        let check = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut file);
        assert_eq!(check.await.ok(), Some("ok".to_owned()));
    }

    fn files_lost(&self) -> f64 {
        self.opened.counted("digital_actors_db_files_lost_total")
    }

    async fn is_kept_from_now_on(&self) {
        let store = &self.opened.store;
        let refused = store.add_turn(self.lease, &turn("two"), "{}").await;
        assert!(matches!(refused, Err(StoreError::Unknown)), "{refused:?}");
        store.restore_session(self.lease, "submarine", "hard", "{}").await.expect("begun anew");
        store.add_turn(self.lease, &turn("two"), "{}").await.expect("kept");
        let again = at(self.path.clone());
        assert!(again.store.history(self.lease, 9).await.expect("read") == [turn("two")]);
    }
}

fn at(path: PathBuf) -> Opened {
    Opened::with(StoreConfig { path, ..StoreConfig::default() })
}

#[tokio::test]
async fn a_deleted_file_is_noticed_with_the_next_query_and_made_anew() {
    let disk = OnDisk::with_a_turn().await;
    for file in fs::read_dir(disk.folder.path()).expect("listed") {
        fs::remove_file(file.expect("file").path()).expect("deleted");
    }
    disk.is_kept_from_now_on().await;
    assert_eq!(disk.files_lost(), 1.0);
}

#[tokio::test]
async fn a_moved_file_has_all_that_was_kept_in_it() {
    let disk = OnDisk::with_a_turn().await;
    let moved = disk.folder.path().join("moved.sqlite");
    fs::rename(&disk.path, &moved).expect("moved");
    disk.is_kept_from_now_on().await;
    assert_eq!(disk.files_lost(), 1.0);
    let before = at(moved).store.history(disk.lease, 9).await.expect("read");
    assert!(before == [turn("one")], "not only its log, which stayed behind");
}

/// A session of the new file has the number that one of the old file had.
#[tokio::test]
async fn a_replaced_file_is_used_and_nobody_writes_into_sessions_of_others() {
    let disk = OnDisk::with_a_turn().await;
    let backup = disk.folder.path().join("backup.sqlite");
    let other = at(backup.clone());
    let others = other.store.create_session(&new_session(2)).await.expect("created");
    other.store.add_turn(others, &turn("of another"), "{}").await.expect("added");
    other.store.close().await;
    fs::rename(&backup, &disk.path).expect("moved");
    disk.is_kept_from_now_on().await;
    assert_eq!(disk.files_lost(), 1.0);
    let history = disk.opened.store.history(others, 9).await.expect("read");
    assert!(history == [turn("of another")]);
}

/// As by a backup that runs: the log can't be folded back into the file before, and what is in it is not
/// the new file's.
#[tokio::test]
async fn a_file_that_is_replaced_while_somebody_reads_is_opened_without_the_log_of_the_one_before()
{
    let disk = OnDisk::with_a_turn().await;
    let backup = disk.folder.path().join("backup.sqlite");
    let other = at(backup.clone());
    let others = other.store.create_session(&new_session(2)).await.expect("created");
    let turns: Vec<_> = (0..40).map(|number| turn(&number.to_string())).collect();
    for turn in &turns {
        other.store.add_turn(others, turn, "{}").await.expect("added");
    }
    other.store.close().await;
    let mut reader = reading_of(&disk.path).await;
    for sql in ["BEGIN", "SELECT COUNT(*) FROM turns"] {
        ask(&mut reader, sql).await;
    }
    // What the reader has not seen, so that not even this much may be folded back.
    disk.opened.store.add_turn(disk.lease, &turn("only in the log"), "{}").await.expect("added");
    let old = disk.folder.path().join("old.sqlite");
    fs::hard_link(&disk.path, &old).expect("linked");
    fs::rename(&backup, &disk.path).expect("moved");

    disk.is_kept_from_now_on().await;
    assert_eq!(disk.files_lost(), 1.0);
    let history = disk.opened.store.history(others, 99).await.expect("read");
    assert!(history == turns, "the new file is as it was");
    disk.has_all_of(&[]).await;

    // As the log of this server says it: with the log under its name the old file has all.
    reader.close().await.expect("closed");
    let names = fs::read_dir(disk.folder.path()).expect("listed");
    let names: Vec<_> = names.map(|file| file.expect("file").path()).collect();
    let aside = names.iter().find(|name| name.display().to_string().contains("-wal.lost-"));
    fs::rename(aside.expect("set aside"), disk.folder.path().join("old.sqlite-wal"))
        .expect("moved");
    let before = at(old).store.history(disk.lease, 9).await.expect("read");
    assert!(before == [turn("one"), turn("only in the log")]);
}

async fn ask(connection: &mut sqlx::SqliteConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.expect("done");
}

async fn reading_of(path: &Path) -> sqlx::SqliteConnection {
    sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.expect("opened")
}

/// A connection that is open still has it; a new one makes another, and finds nothing of what it should.
#[tokio::test]
async fn what_went_into_a_deleted_log_is_not_said_to_be_kept() {
    let disk = OnDisk::with_a_turn().await;
    fs::remove_file(disk.log()).expect("deleted");
    disk.keeps_what_it_says_it_keeps().await;
}

/// As by a connection that is new, of this program or of another.
#[tokio::test]
async fn what_went_into_a_deleted_log_is_not_said_to_be_kept_although_another_is_there() {
    let disk = OnDisk::with_a_turn().await;
    fs::remove_file(disk.log()).expect("deleted");
    fs::write(disk.log(), "").expect("made anew");
    disk.keeps_what_it_says_it_keeps().await;
}

/// SQLite deletes the log with its last connection, and makes one with the next.
#[tokio::test]
async fn a_log_that_outlives_all_busy_connections_is_not_taken_for_lost() {
    let disk = OnDisk::with_a_turn().await;
    disk.loses_its_connections().await;
    disk.opened.store.add_turn(disk.lease, &turn("two"), "{}").await.expect("kept");
}

/// All connections share one index of the log, whichever log each of them has open: what a new one writes
/// into a new log would be looked for in the old one.
#[tokio::test]
async fn a_new_connection_beside_a_deleted_log_spoils_nothing() {
    let disk = OnDisk::with_a_turn().await;
    let mut turns = disk.has_many_turns("early").await;
    // So that the log begins anew, and a new connection misses nothing in it.
    let mut other = reading_of(&disk.path).await;
    ask(&mut other, "PRAGMA wal_checkpoint(RESTART)").await;
    turns.extend(disk.has_many_turns("late").await);
    ask(&mut other, "PRAGMA wal_checkpoint(PASSIVE)").await;
    other.close().await.expect("closed");
    disk.loses_its_connections().await;
    fs::remove_file(disk.log()).expect("deleted");
    assert!(disk.keeps_what_it_says_it_keeps().await, "before it wrote");
    disk.has_all_of(&turns).await;
}

/// As a backup does. Until then what is in the deleted log is nowhere else.
#[tokio::test]
async fn a_log_that_is_deleted_while_somebody_reads_is_folded_back_when_they_have_gone() {
    if !are_there(&["python3"]) {
        return;
    }
    let disk = OnDisk::with_a_turn().await;
    let mut reader = Reader::of(&disk.path);
    let turns = disk.has_many_turns("turn").await;
    fs::remove_file(disk.log()).expect("deleted");
    let store = &disk.opened.store;
    store.add_turn(disk.lease, &turn("not now"), "{}").await.expect_err("its log is gone");
    reader.process.kill().expect("killed");
    reader.process.wait().expect("ended");
    store.add_turn(disk.lease, &turn("kept"), "{}").await.expect("kept");
    disk.has_all_of(&turns).await;
}

/// A process that reads a database, and that folds nothing back when it ends.
struct Reader {
    process: Child,
}

impl Reader {
    fn of(path: &Path) -> Self {
        const READ: &str = "import sqlite3, sys, time\n\
                            db = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                            db.execute('BEGIN')\n\
                            db.execute('SELECT COUNT(*) FROM turns').fetchall()\n\
                            print('reads', flush=True)\n\
                            time.sleep(600)";
        let mut python = Command::new("python3");
        python.args(["-c", READ]).arg(path).stdout(Stdio::piped());
        let mut process = python.spawn().expect("python3, which the tests install");
        let mut line = String::new();
        let output = process.stdout.as_mut().expect("piped");
        BufReader::new(output).read_line(&mut line).expect("a line");
        assert_eq!(line, "reads\n");
        Self { process }
    }
}

#[tokio::test]
async fn a_log_beside_the_file_that_a_link_leads_to_is_watched() {
    let folder = tempfile::tempdir().expect("folder");
    let [path, link] = ["a.sqlite", "link"].map(|name| folder.path().join(name));
    fs::write(&path, "").expect("made");
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    let opened = at(link);
    let lease = opened.store.create_session(&new_session(1)).await.expect("created");
    opened.store.add_turn(lease, &turn("one"), "{}").await.expect("added");
    let disk = OnDisk { opened, folder, path, lease };
    fs::remove_file(disk.log()).expect("deleted");
    disk.keeps_what_it_says_it_keeps().await;
}

#[tokio::test]
async fn another_programs_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("theirs.sqlite");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let theirs = sqlx::SqlitePool::connect_with(options).await.expect("opened");
    sqlx::query("CREATE TABLE sessions (id INTEGER)").execute(&theirs).await.expect("made");
    theirs.close().await;
    let before = fs::read(&path).expect("read");
    let refused =
        at(path.clone()).store.create_session(&new_session(1)).await.expect_err("refused");
    assert!(refused.to_string().contains("another application, such as sessions"), "{refused}");
    assert!(fs::read(&path).expect("read") == before, "to the byte");
}

/// What is found out once a second, by itself.
#[tokio::test]
async fn a_deleted_file_is_noticed_although_nobody_plays() {
    let disk = OnDisk::with_a_turn().await;
    let store = &disk.opened.store;
    // And made anew.
    let noticing = async {
        while disk.files_lost() < 1.0 || !disk.path.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let looking = async {
        assert_eq!(store.health().await, DatabaseHealth::Available);
        fs::remove_file(&disk.path).expect("deleted");
        noticing.await;
    };
    let soon = std::time::Duration::from_secs(20);
    tokio::select! {
        () = store.monitor() => {}
        noticed = tokio::time::timeout(soon, looking) => noticed.expect("noticed"),
    }
}

/// Root may write to whatever its mode forbids, but not to what is immutable.
#[tokio::test]
async fn a_file_that_becomes_read_only_is_noticed() {
    let disk = OnDisk::with_a_turn().await;
    let attribute = |change: &str| {
        let mut chattr = std::process::Command::new("chattr");
        chattr.arg(change).arg(&disk.path).output().is_ok_and(|done| done.status.success())
    };
    if !attribute("+i") {
        return da_testkit::programs::skip("no file can be made immutable here");
    }
    let store = &disk.opened.store;
    let until = async |expected: fn(DatabaseHealth) -> bool| {
        while !expected(store.health().await) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let noticing = async {
        until(
            |condition| matches!(condition, DatabaseHealth::Missing(why) if why.contains("read-only")),
        )
        .await;
        assert_eq!(disk.opened.counted("digital_actors_db_available"), 0.0);
        assert!(attribute("-i"));
        until(|condition| condition == DatabaseHealth::Available).await;
        assert_eq!(disk.opened.counted("digital_actors_db_available"), 1.0);
    };
    let soon = std::time::Duration::from_secs(20);
    let noticed = tokio::select! {
        () = store.monitor() => None,
        noticed = tokio::time::timeout(soon, noticing) => Some(noticed),
    };
    attribute("-i");
    noticed.expect("it looks on").expect("noticed");
}
