//! Connections to whichever database it is, opened with the first query.

use std::sync::Arc;
use std::time::Instant;

use sqlx::pool::PoolConnection;
use sqlx::{PgPool, Postgres, Sqlite, SqlitePool};
use tokio::sync::Mutex;

use super::config::Database;
use super::{Operation, StoreMetrics, postgres, sqlite};

/// The connections to an open database.
#[derive(Debug, Clone)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// One of them, until it is dropped.
pub(super) enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Database {
    async fn open(&self) -> Result<Pool, sqlx::Error> {
        match self {
            Self::Sqlite(path) => sqlite::open(path).await.map(Pool::Sqlite),
            Self::Postgres { url, max_connections } => {
                postgres::open(url, *max_connections).await.map(Pool::Postgres)
            }
        }
    }
}

impl Pool {
    /// Waits for a connection.
    pub(super) async fn acquire(&self) -> Result<Connection, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => pool.acquire().await.map(Connection::Sqlite),
            Self::Postgres(pool) => pool.acquire().await.map(Connection::Postgres),
        }
    }

    /// How many there may be.
    pub(super) fn max_connections(&self) -> u32 {
        match self {
            Self::Sqlite(pool) => pool.options().get_max_connections(),
            Self::Postgres(pool) => pool.options().get_max_connections(),
        }
    }

    async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Connection {
    /// Has it closed instead of given back: what it was asked may still be under way.
    pub(super) fn abandon(mut self) {
        match &mut self {
            Self::Sqlite(connection) => connection.close_on_drop(),
            Self::Postgres(connection) => connection.close_on_drop(),
        }
    }
}

/// A database that is opened when it is first needed, and again when it was lost.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) database: Database,
    metrics: StoreMetrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pool: Option<Pool>,
    failed: Option<(Instant, Arc<sqlx::Error>)>,
}

impl Opening {
    pub(super) fn new(database: Database, metrics: StoreMetrics) -> Self {
        Self { database, metrics, state: Mutex::default() }
    }

    /// Its connections. Who waited while another one tried in vain shares that one's error, so that
    /// a server that does not answer is not waited for by one after the other.
    pub(super) async fn pool(&self) -> Result<Pool, Arc<sqlx::Error>> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        match &*state {
            State { pool: Some(pool), .. } => return Ok(pool.clone()),
            State { failed: Some((at, error)), .. } if *at > asked => return Err(error.clone()),
            State { .. } => {}
        }
        let timer = self.metrics.timer(Operation::Open);
        let opened = self.database.open().await.map_err(Arc::new);
        drop(timer);
        *state = match &opened {
            Ok(pool) => {
                self.metrics.may_have(pool.max_connections());
                State { pool: Some(pool.clone()), failed: None }
            }
            Err(error) => State { pool: None, failed: Some((Instant::now(), error.clone())) },
        };
        opened
    }

    /// Forgets the connections: the next query opens it anew.
    pub(super) async fn lost(&self) {
        self.state.lock().await.pool = None;
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
