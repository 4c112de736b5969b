//! Databases that are full, locked, gone, garbage, truncated, read-only or replaced: the game goes on, it
//! is seen that something is wrong, and once it is mended turns are kept again, without a restart.

mod full;
mod postgresql;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::case::{Case, play};
use crate::server::{PATIENCE, Server, Settings};

const WELL: &str = "plays, is noticed, keeps again";

/// What SQLite has no reason to read again is not missed.
const UNSEEN: &str = "plays, is noticed, keeps again|plays, is not noticed, keeps again";

/// What is done to a database, and how an operator mends it.
struct Harm {
    before_the_start: bool,
    harm: fn(&Path),
    mend: fn(&Path),
}

fn running(done: &'static str, harm: fn(&Path), mend: fn(&Path), expected: &'static str) {
    store(done, &Harm { before_the_start: false, harm, mend }, Settings::healthy(), expected);
}

fn starting(done: &'static str, harm: fn(&Path), mend: fn(&Path), expected: &'static str) {
    let settings = Settings { before: harm, ..Settings::healthy() };
    store(done, &Harm { before_the_start: true, harm, mend }, settings, expected);
}

fn store(done: &'static str, harm: &Harm, settings: Settings, expected: &'static str) {
    play(&Case { done, expected }, settings, async |server| {
        let database = server.database();
        if !harm.before_the_start {
            assert!(server.keeps().await, "before anything was done");
            (harm.harm)(&database);
        }
        let plays = server.turn("Can you hear me?").await;
        let noticed = is_noticed(server).await;
        (harm.mend)(&database);
        told(&plays, noticed, keeps_again(server).await)
    });
}

/// What came, in the words of [`WELL`].
fn told(plays: &str, noticed: bool, keeps: bool) -> String {
    let plays = if plays == "success" { "plays" } else { plays };
    let noticed = if noticed { "is noticed" } else { "is not noticed" };
    let keeps = if keeps { "keeps again" } else { "keeps nothing" };
    format!("{plays}, {noticed}, {keeps}")
}

/// Whether `/health` or a counter of errors says within a while that something is wrong with the database, or
/// was, while players play.
async fn is_noticed(server: &Server) -> bool {
    until(async || {
        server.turn("And now?").await;
        let (_, health) = server.get("/health").await;
        let health: serde_json::Value = serde_json::from_str(&health).expect("JSON");
        let store = &health["store"];
        store["status"] != "ok"
            || store["files_lost"].as_u64().is_some_and(|files| files > 0)
            || server.scrape().await.errors("database") > 0.0
    })
    .await
}

async fn keeps_again(server: &Server) -> bool {
    until(async || server.keeps().await).await
}

async fn until(holds: impl AsyncFn() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE / 2 {
        if holds().await {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    false
}

/// The file, and those that SQLite keeps beside it.
fn files(database: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| format!("{}{end}", database.display()).into())
}

fn remove(database: &Path) {
    for file in files(database) {
        let _ = fs::remove_file(file);
    }
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("aside")
}

fn nothing(_: &Path) {}

/// Writes over what is there, without making it shorter.
fn overwrite(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::options().write(true).open(path).expect("opened");
    file.write_all_at(bytes, 0).expect("written");
}

fn truncate(path: &Path, bytes: u64) {
    let file = fs::File::options().write(true).open(path).expect("opened");
    file.set_len(bytes).expect("truncated");
}

mod while_it_runs {
    use super::*;

    cases! { running;
        deleted: "the file and its log are deleted", remove, nothing, WELL;
        file_deleted: "the file alone is deleted",
            |at| fs::remove_file(at).expect("removed"), nothing, WELL;
        moved: "the file is moved away and back",
            |at| fs::rename(at, aside(at)).expect("moved"),
            |at| { remove(at); fs::rename(aside(at), at).expect("moved") }, WELL;
        replaced: "an empty file takes its place",
            |at| { remove(at); fs::write(at, "").expect("written") }, nothing, WELL;
        replaced_by_garbage: "garbage takes its place",
            |at| { remove(at); fs::write(at, [b'x'; 9000]).expect("written") }, remove, WELL;
        overwritten: "garbage is written over it",
            |at| overwrite(at, &[b'x'; 9000]), remove, UNSEEN;
        truncated: "it is cut to half a page", |at| truncate(at, 2048), remove, UNSEEN;
        emptied: "it is cut to nothing", |at| truncate(at, 0), remove, UNSEEN;
    }
}

mod at_the_start {
    use super::*;

    cases! { starting;
        garbage: "the file is garbage",
            |at| fs::write(at, [b'x'; 9000]).expect("written"), remove, WELL;
        folder: "there is a folder in its place",
            |at| fs::create_dir(at).expect("made"), |at| fs::remove_dir(at).expect("removed"), WELL;
        dangling: "there is a link to nowhere in its place",
            |at| std::os::unix::fs::symlink("/nonexistent/game", at).expect("linked"), remove, WELL;
        half_a_header: "the file is the first half of SQLite's header",
            |at| fs::write(at, b"SQLite f").expect("written"), remove, WELL;
    }
}

#[test]
fn locked() {
    let case = Case { done: "another process holds its lock for 7 s", expected: WELL };
    play(&case, Settings::healthy(), async |server| {
        use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};
        let options = SqliteConnectOptions::new().filename(server.database());
        let mut lock = options.connect().await.expect("opened");
        lock.execute("BEGIN IMMEDIATE").await.expect("locked");
        let plays = server.turn("Can you hear me?").await;
        let noticed = is_noticed(server).await;
        lock.execute("ROLLBACK").await.expect("unlocked");
        told(&plays, noticed, keeps_again(server).await)
    });
}
