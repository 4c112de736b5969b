//! SQLite: how the file is opened and brought up to date.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteError, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use tokio::sync::Mutex;

use super::file::DatabaseFile;
use super::foreign::refuse_foreign;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");

/// Readers go on beside the one writer; more than this would only wait for each other.
pub(super) const MAX_CONNECTIONS: u32 = 4;

/// How long a query waits for a connection or for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Size to which the write-ahead log is truncated after a checkpoint, bytes.
const MAX_IDLE_LOG_BYTES: &str = "16777216";

/// An open file.
#[derive(Debug, Clone)]
pub(super) struct SqliteFile {
    pub(super) pool: SqlitePool,
    /// A connection that asks nothing. As long as there is one, SQLite does not delete the log by itself:
    /// another log at its path is somebody else's doing. `None` once it is closed.
    standing: Arc<Mutex<Option<SqliteConnection>>>,
}

pub(super) async fn open(path: &Path) -> Result<(SqliteFile, DatabaseFile), sqlx::Error> {
    create_private(path)?;
    let before = DatabaseFile::at(path)?;
    if before.is_read_only() {
        let why = "it is read-only, by its permissions or its file system";
        return Err(io::Error::new(ErrorKind::PermissionDenied, why).into());
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging();
    // With nothing said that would be written into it: it may be another program's.
    let mut looking = options.clone().read_only(true).connect().await?;
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let looked = refuse_foreign(sqlx::query_scalar(tables).fetch_all(&mut looking).await?);
    let _ = looking.close().await;
    looked?;
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        // In WAL mode this loses at most the last turns on power loss, never the file.
        .synchronous(SqliteSynchronous::Normal)
        // Somebody who reads for long makes the log grow; afterwards it gets smaller again.
        .pragma("journal_size_limit", MAX_IDLE_LOG_BYTES);
    let mut standing = options.connect().await?;
    // With what it reads it opens the log, whose name somebody may take away at any time from now on.
    sqlx::query(tables).execute(&mut standing).await?;
    let file = DatabaseFile::at(path)?;
    let pool = SqlitePoolOptions::new()
        .max_connections(MAX_CONNECTIONS)
        .acquire_timeout(BUSY_TIMEOUT)
        .connect_with(options)
        .await?;
    MIGRATIONS.run(&pool).await?;
    let open = SqliteFile { pool, standing: Arc::new(Mutex::new(Some(standing))) };
    // Or SQLite has opened one of several; which is not known.
    if before.lost().is_some() || !file.is_in_place() {
        open.close().await;
        return Err(io::Error::other("it was replaced while it was opened").into());
    }
    Ok((open, file))
}

/// Primary result codes (<https://www.sqlite.org/rescode.html>) after which the file is opened anew:
/// READONLY, IOERR, CORRUPT, CANTOPEN, NOTADB. The file, or its log, is not what the connections take it for. A
/// full disk and another process's lock are not among them.
const NOT_WHAT_WAS_OPENED: [i32; 5] = [8, 10, 11, 14, 26];

/// Whether all connections are to be left for new ones.
pub(super) fn is_not_what_was_opened(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    let error = error.and_then(|error| error.try_downcast_ref::<SqliteError>());
    let code = error.and_then(|error| error.code()?.parse::<i32>().ok());
    code.is_some_and(|code| NOT_WHAT_WAS_OPENED.contains(&(code & 0xff)))
}

impl SqliteFile {
    /// Writes what is only in the log into the file, and leaves the log empty: what takes the file's
    /// place must not find it, and a file that was moved has all of it. Says whether that was done: as
    /// long as somebody reads, SQLite leaves the log as it is, and calls that no error.
    pub(super) async fn checkpoint(&self) -> bool {
        // A new connection would open what is at the path now.
        let mut standing = self.standing.lock().await;
        let Some(connection) = &mut *standing else { return false };
        // Who reads for longer is not waited for: neither are the players who wait for this.
        let soon = sqlx::query("PRAGMA busy_timeout = 1000").execute(&mut *connection).await;
        let fold = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)");
        match soon.and(fold.fetch_one(connection).await) {
            Ok(Folded { busy }) => busy == 0,
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log of a lost database could not be written back into its file");
                false
            }
        }
    }

    /// Leaves the log as it is: the connection stays open for ever, so that no other is the last one, with
    /// whose end SQLite folds the log back. Says whether that was not done before.
    pub(super) async fn abandon_log(&self) -> bool {
        let standing = self.standing.lock().await.take();
        standing.map(std::mem::forget).is_some()
    }

    /// Waits for running queries.
    pub(super) async fn close(&self) {
        self.pool.close().await;
        if let Some(standing) = self.standing.lock().await.take() {
            let _ = standing.close().await;
        }
    }
}

/// What a checkpoint answers (<https://www.sqlite.org/pragma.html#pragma_wal_checkpoint>).
#[derive(sqlx::FromRow)]
struct Folded {
    /// 1 if somebody else's lock kept it from being done.
    busy: i64,
}

/// Conversations are nobody else's business: SQLite would leave a new file to the umask. Its
/// companion files take over the mode of this one.
fn create_private(path: &Path) -> io::Result<()> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
