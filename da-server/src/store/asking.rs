//! How one query is run: with a connection, in time, timed, counted, and its failure reported once.

use std::io::ErrorKind;
use std::time::Duration;

use prometheus::HistogramTimer;
use tokio::time::error::Elapsed;

use super::metrics::Counted;
use super::pool::{Connection, Opening, Pool};
use super::{Operation, Store, StoreError};
use crate::metrics::ErrorType;

/// How long a query may take once it has a connection: longer than SQLite waits for another
/// process's lock, and no longer than a player waits for an answer.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(6);

/// An operation that has a connection to ask over.
pub(super) struct Asking<'a> {
    store: &'a Store,
    operation: Operation,
    pub(super) connection: Connection,
    _in_flight: Counted<'a>,
    _timer: HistogramTimer,
}

/// Runs an operation of a store on whichever database it has, and evaluates to what came of it:
/// `ask!(store, operation, |db| …)`, where `db` is the connection as sqlx has it and the rest a
/// `Result` with sqlx's error. Both databases speak the SQL that is used here.
macro_rules! ask {
    ($store:expr, $operation:expr, |$db:ident| $query:expr) => {
        match $store.begin($operation).await {
            Err(error) => Err(error),
            Ok(mut asking) => {
                use $crate::store::asking::ANSWERS_WITHIN;
                use $crate::store::pool::Connection;
                let answer = match &mut asking.connection {
                    Connection::Sqlite(connection) => {
                        let $db = &mut **connection;
                        tokio::time::timeout(ANSWERS_WITHIN, async { $query }).await
                    }
                    Connection::Postgres(connection) => {
                        let $db = &mut **connection;
                        tokio::time::timeout(ANSWERS_WITHIN, async { $query }).await
                    }
                };
                asking.end(answer)
            }
        }
    };
}
pub(super) use ask;

impl Store {
    /// Waits for a connection to run `operation` over. From here to its end it is timed, given up or
    /// not.
    pub(super) async fn begin(&self, operation: Operation) -> Result<Asking<'_>, StoreError> {
        let pool = self.pool().await?;
        let timer = self.metrics.timer(operation);
        let waiting = self.metrics.wait();
        match pool.acquire().await {
            Ok(connection) => {
                let in_flight = waiting.begin();
                Ok(Asking {
                    store: self,
                    operation,
                    connection,
                    _in_flight: in_flight,
                    _timer: timer,
                })
            }
            Err(source) => {
                drop((timer, waiting));
                Err(self.no_connection(&pool, operation, source).await)
            }
        }
    }

    async fn no_connection(
        &self,
        pool: &Pool,
        operation: Operation,
        source: sqlx::Error,
    ) -> StoreError {
        let is_too_late = matches!(source, sqlx::Error::PoolTimedOut);
        // That none came free while not all were in use means that no connection can be made.
        if is_too_late && self.metrics.in_flight() < pool.max_connections().into() {
            self.opening.lost().await;
            // Opening it again says what is wrong, if it still is.
            if let Err(error) = self.pool().await {
                return error;
            }
        }
        self.failed(StoreError::Query { operation, source })
    }

    async fn pool(&self) -> Result<Pool, StoreError> {
        let Opening { database, .. } = &self.opening;
        self.opening.pool().await.map_err(|source| {
            self.failed(StoreError::Open {
                database: database.to_string(),
                source,
                advice: database.advice(),
            })
        })
    }

    fn failed(&self, error: StoreError) -> StoreError {
        self.errors.count(ErrorType::Database);
        tracing::error!(%error, "database; the game goes on without it");
        error
    }
}

impl Asking<'_> {
    /// Reports what came of it.
    pub(super) fn end<T>(
        self,
        answer: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> Result<T, StoreError> {
        let Self { store, operation, connection, .. } = self;
        let answer = answer.unwrap_or_else(|_| {
            // What it was asked may still be under way.
            connection.abandon();
            Err(std::io::Error::from(ErrorKind::TimedOut).into())
        });
        answer.map_err(|source| store.failed(StoreError::Query { operation, source }))
    }
}
