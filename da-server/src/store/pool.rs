//! Connections to whichever database it is, opened with the first query.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, Sqlite};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::config::Database;
use super::file::{DatabaseFile, Lost};
use super::sqlite::{self, SqliteFile};
use super::{Operation, StoreMetrics, postgres};

/// How long the write-ahead log of a lost file may take to be written back into it.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long discarded connections may take to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The connections to an open database.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pub(super) kind: PoolKind,
    opened: Arc<PoolGeneration>,
}

#[derive(Debug, Clone)]
pub(super) enum PoolKind {
    Sqlite(SqliteFile),
    Postgres(PgPool),
}

/// What a pool and its connections have in common.
#[derive(Debug)]
struct PoolGeneration {
    /// Counts the openings, so that a late failure of an older one is not taken for the newer's.
    number: u64,
    /// None of a server.
    file: Option<DatabaseFile>,
    /// What sqlx does not tell: its `size` also counts connections that are only being made.
    handed_out: AtomicU32,
    ever_handed_out: AtomicU64,
}

/// One connection, until it is dropped. It is closed then, and goes back to its pool only if it was
/// [released](Self::release): after a failure, or when nobody waited for its answer any more, it may
/// still be in a transaction. SQLite ends one by itself when the disk is full, sqlx does not hear of
/// that, and the next transactions on that connection would never let go of the file.
pub(super) struct PooledConnection {
    pub(super) kind: ConnectionKind,
    opened: Arc<PoolGeneration>,
    released: bool,
}

pub(super) enum ConnectionKind {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Database {
    async fn open(&self, number: u64) -> Result<Pool, sqlx::Error> {
        let (kind, file) = match self {
            Self::Sqlite(path) => {
                let (open, file) = sqlite::open(path).await?;
                (PoolKind::Sqlite(open), Some(file))
            }
            Self::Postgres { url, max_connections } => {
                (PoolKind::Postgres(postgres::open(url, *max_connections).await?), None)
            }
        };
        let (handed_out, ever_handed_out) = (AtomicU32::new(0), AtomicU64::new(0));
        let opened = Arc::new(PoolGeneration { number, file, handed_out, ever_handed_out });
        Ok(Pool { kind, opened })
    }
}

impl Pool {
    /// Waits for a connection.
    ///
    /// # Errors
    /// [`NoConnection`]
    pub(super) async fn acquire(&self) -> Result<PooledConnection, NoConnection> {
        let PoolGeneration { handed_out, ever_handed_out, .. } = &*self.opened;
        let before = ever_handed_out.load(Ordering::Relaxed);
        let acquired = match &self.kind {
            PoolKind::Sqlite(file) => file.pool.acquire().await.map(ConnectionKind::Sqlite),
            PoolKind::Postgres(pool) => pool.acquire().await.map(ConnectionKind::Postgres),
        };
        match acquired {
            Ok(kind) => {
                handed_out.fetch_add(1, Ordering::Relaxed);
                ever_handed_out.fetch_add(1, Ordering::Relaxed);
                let connection =
                    PooledConnection { kind, opened: self.opened.clone(), released: false };
                // A new one may have opened another log than the others. All of them share one index of
                // it, and must not be used together.
                if connection.is_in_place() {
                    return Ok(connection);
                }
                let source = io::Error::other(
                    "the file, or its write-ahead log, is not the one that was opened",
                );
                Err(NoConnection { source: source.into(), none_can_be_made: true })
            }
            Err(source) => {
                // One that is only busy has handed out all, or hands out some meanwhile.
                let has_room = handed_out.load(Ordering::Relaxed) < self.max_connections();
                let has_served = ever_handed_out.load(Ordering::Relaxed) != before;
                let none_can_be_made = match source {
                    sqlx::Error::PoolClosed => true,
                    sqlx::Error::PoolTimedOut => has_room && !has_served,
                    _ => {
                        sqlite::is_not_what_was_opened(&source)
                            && self.file().is_some_and(|file| !file.is_in_place())
                    }
                };
                Err(NoConnection { source, none_can_be_made })
            }
        }
    }

    /// How many there may be.
    pub(super) fn max_connections(&self) -> u32 {
        match &self.kind {
            PoolKind::Sqlite(file) => file.pool.options().get_max_connections(),
            PoolKind::Postgres(pool) => pool.options().get_max_connections(),
        }
    }

    /// Which opening it is.
    pub(super) fn number(&self) -> u64 {
        self.opened.number
    }

    /// The file behind it, if it is one.
    pub(super) fn file(&self) -> Option<&DatabaseFile> {
        self.opened.file.as_ref()
    }

    fn file_lost(&self) -> Option<Lost> {
        self.file().and_then(DatabaseFile::lost)
    }

    async fn close(&self) {
        match &self.kind {
            PoolKind::Sqlite(file) => file.close().await,
            PoolKind::Postgres(pool) => pool.close().await,
        }
    }

    /// Closes it in order, as far as that can be had in time, and leaves nothing beside a file that is
    /// another one now.
    ///
    /// # Errors
    /// The lost file's log is still there, where nothing else may be opened beside it, or a log that was
    /// deleted has what is nowhere else: somebody reads, or is at work.
    async fn give_up(&self, metrics: &StoreMetrics) -> io::Result<()> {
        let has_lost_its_log = self.file().is_some_and(DatabaseFile::has_lost_its_log);
        let is_folded = match &self.kind {
            PoolKind::Sqlite(file)
                if self.file().is_some_and(DatabaseFile::another_log_is_in_use) =>
            {
                if file.abandon_log().await {
                    metrics.file_lost();
                    tracing::error!(
                        "the write-ahead log (-wal) of the database was deleted while it was open, and \
                         another process writes to a new one: the last conversations are lost"
                    );
                }
                Ok(true)
            }
            PoolKind::Sqlite(file) => timeout(CHECKPOINT_TIMEOUT, file.checkpoint()).await,
            PoolKind::Postgres(_) => Ok(true),
        };
        let is_folded = is_folded.unwrap_or(false);
        if has_lost_its_log && !is_folded {
            return Err(io::Error::other(
                "its write-ahead log was deleted, and can't be written back into the file yet",
            ));
        }
        // Whoever holds a connection still closes it when done.
        let is_closed = timeout(CLOSE_TIMEOUT, self.close()).await.is_ok();
        if has_lost_its_log && !is_closed {
            return Err(io::Error::other(
                "its write-ahead log was deleted, and a query still uses it",
            ));
        }
        let is_in_order = is_closed && is_folded;
        let Some(file) = self.file().filter(|file| file.lost().is_some() && !is_in_order) else {
            return Ok(());
        };
        if let Some(aside) = file.set_log_aside()? {
            tracing::error!(
                log = %aside.display(),
                "the write-ahead log of the lost database file could not be written back into it, and was \
                 renamed: the last conversations may be in it alone. To have them, stop the server and put \
                 it beside the old file, under that file's name with -wal"
            );
        }
        Ok(())
    }
}

/// Why there is no connection.
pub(super) struct NoConnection {
    pub(super) source: sqlx::Error,
    /// The pool is not exhausted, so it is the database that can't be reached.
    pub(super) none_can_be_made: bool,
}

impl PooledConnection {
    /// Which opening it belongs to.
    pub(super) fn number(&self) -> u64 {
        self.opened.number
    }

    /// Whether what is committed over it will be found again by whoever opens the database next.
    pub(super) fn is_in_place(&self) -> bool {
        self.opened.file.as_ref().is_none_or(DatabaseFile::is_in_place)
    }

    /// It has answered, and whoever comes next may have it.
    pub(super) fn release(mut self) {
        self.released = true;
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        self.opened.handed_out.fetch_sub(1, Ordering::Relaxed);
        if self.released {
            return;
        }
        match &mut self.kind {
            ConnectionKind::Sqlite(connection) => connection.close_on_drop(),
            ConnectionKind::Postgres(connection) => connection.close_on_drop(),
        }
    }
}

/// A pool that is opened with the first query, and again when the database was lost.
#[derive(Debug)]
pub(super) struct LazyPool {
    pub(super) database: Database,
    metrics: StoreMetrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pool: Option<Pool>,
    failed: Option<(Instant, Arc<sqlx::Error>)>,
    openings: u64,
}

impl LazyPool {
    pub(super) fn new(database: Database, metrics: StoreMetrics) -> Self {
        Self { database, metrics, state: Mutex::default() }
    }

    /// Its connections. Who waited while another one tried in vain shares that one's error, so that
    /// a server that does not answer is not waited for by one after the other.
    ///
    /// Of a file that was deleted, moved or replaced the connections are given up, and what is at its
    /// path now is opened, or made.
    pub(super) async fn pool(&self) -> Result<Pool, Arc<sqlx::Error>> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        if let Some(pool) = state.pool.clone().filter(|pool| pool.file_lost().is_some()) {
            self.close_lost(&mut state, &pool).await.map_err(sqlx::Error::from)?;
        }
        match &*state {
            State { pool: Some(pool), .. } => return Ok(pool.clone()),
            State { failed: Some((at, error)), .. } if *at > asked => return Err(error.clone()),
            State { .. } => {}
        }
        let timer = self.metrics.timer(Operation::Open);
        state.openings += 1;
        let opened = self.database.open(state.openings).await.map_err(Arc::new);
        drop(timer);
        match &opened {
            Ok(pool) => {
                self.metrics.may_have(pool.max_connections());
                (state.pool, state.failed) = (Some(pool.clone()), None);
            }
            Err(error) => {
                (state.pool, state.failed) = (None, Some((Instant::now(), error.clone())));
            }
        }
        opened
    }

    fn log_lost(&self, pool: &Pool) {
        let Some(why) = pool.file_lost() else { return };
        self.metrics.file_lost();
        tracing::error!(
            database = %self.database,
            "{why} while it was open: what is at its path now is opened, or made. To have the old \
             conversations back, stop the server, put the file and its -wal back, and start it"
        );
    }

    /// Discards the connections of this opening: the next query opens the database anew.
    pub(super) async fn discard(&self, number: u64) {
        let mut state = self.state.lock().await;
        let Some(pool) = state.pool.clone().filter(|pool| pool.number() == number) else { return };
        match pool.kind {
            // Whoever opens the file next must not find another one's log beside it. If it is there
            // still, the next query tries again, and says so.
            PoolKind::Sqlite(_) => drop(self.close_lost(&mut state, &pool).await),
            PoolKind::Postgres(_) => {
                state.pool = None;
                drop(tokio::spawn(async move { timeout(CLOSE_TIMEOUT, pool.close()).await }));
            }
        }
    }

    /// Gives up these connections, and then forgets them.
    async fn close_lost(&self, state: &mut State, pool: &Pool) -> io::Result<()> {
        pool.give_up(&self.metrics).await?;
        self.log_lost(pool);
        state.pool = None;
        Ok(())
    }

    /// Waits for running queries and closes the connections.
    pub(super) async fn close(&self) {
        // Out of the lock first: what still comes meanwhile need not wait for that.
        let pool = self.state.lock().await.pool.clone();
        if let Some(pool) = pool {
            pool.close().await;
        }
    }
}
