//! Runs one query: with a connection and a timeout, timed, counted, and with its failure reported once.

use std::io::ErrorKind;
use std::time::Duration;

use prometheus::HistogramTimer;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::pool::{NoConnection, Pool, PooledConnection};
use super::{Operation, Store, StoreError, postgres, sqlite};
use crate::metrics::{ErrorType, GaugeGuard};

/// How long a query may take once it has a connection: longer than SQLite waits for another
/// process's lock, and no longer than a player waits for an answer.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(6);

/// How long a player waits for a query in all: for the database to be opened or migrated, a connection, and
/// the answer.
pub(super) const PLAYER_TIMEOUT: Duration = Duration::from_secs(8);

/// A query that has a connection. It is timed and counted until this is dropped.
pub(super) struct QueryGuard<'a> {
    store: &'a Store,
    operation: Operation,
    pub(super) connection: PooledConnection,
    /// Another server has refused it before.
    moved: bool,
    _in_flight: GaugeGuard,
    _timer: HistogramTimer,
}

/// How a query ended.
pub(super) enum QueryEnd<'a, T> {
    Answered(Result<T, StoreError>),
    /// A server that takes no writes any more refused it; this is a connection to the server that has its
    /// address now.
    Moved(QueryGuard<'a>),
}

/// Runs a query on whichever database the store has, and evaluates to its result:
/// `with_connection!(store, operation, |db| …)`, where `db` is the connection as sqlx has it and the rest a
/// `Result` with sqlx's error. Both databases speak the SQL that is used here.
macro_rules! with_connection {
    ($store:expr, $operation:expr, |$db:ident| $query:expr) => {{
        let query = async {
            match $store.begin($operation).await {
                Err(error) => Err(error),
                Ok(mut guard) => loop {
                    use $crate::store::pool::ConnectionKind;
                    use $crate::store::query_guard::{QUERY_TIMEOUT, QueryEnd};
                    let answer = match &mut guard.connection.kind {
                        ConnectionKind::Sqlite(connection) => {
                            let $db = &mut **connection;
                            tokio::time::timeout(QUERY_TIMEOUT, async { $query }).await
                        }
                        ConnectionKind::Postgres(connection) => {
                            let $db = &mut **connection;
                            tokio::time::timeout(QUERY_TIMEOUT, async { $query }).await
                        }
                    };
                    match guard.end(answer).await {
                        QueryEnd::Answered(answer) => break answer,
                        QueryEnd::Moved(elsewhere) => guard = elsewhere,
                    }
                },
            }
        };
        $store.in_time($operation, query).await
    }};
}
pub(super) use with_connection;

impl Store {
    /// Waits for a connection for `operation`, which is timed from here to its end, also if it is cancelled.
    pub(super) async fn begin(&self, operation: Operation) -> Result<QueryGuard<'_>, StoreError> {
        let pool = self.pool(operation).await?;
        let timer = self.metrics.timer(operation);
        let waiting = self.metrics.waiting();
        let acquired = match pool.acquire().await {
            Err(refused) if refused.none_can_be_made => {
                self.lazy_pool.discard(pool.number()).await;
                // Opening it again tells what is wrong, if it still is.
                self.pool(operation).await?.acquire().await
            }
            acquired => acquired,
        };
        let connection = acquired.map_err(|NoConnection { source, .. }| {
            self.failed(StoreError::Query { operation, source })
        })?;
        drop(waiting);
        let _in_flight = self.metrics.in_flight();
        Ok(QueryGuard {
            store: self,
            operation,
            connection,
            moved: false,
            _in_flight,
            _timer: timer,
        })
    }

    /// Cancels an operation for which a player would wait too long. Others go on: the health check opens the
    /// database, however long that takes.
    pub(super) async fn in_time<T>(
        &self,
        operation: Operation,
        query: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if !operation.is_for_players() {
            return query.await;
        }
        match timeout(PLAYER_TIMEOUT, query).await {
            Ok(answer) => answer,
            Err(_) => Err(self.gave_up(operation)),
        }
    }

    /// Reports that a turn was not stored in time, and its query dropped.
    pub fn turn_timed_out(&self) {
        self.gave_up(Operation::AddTurn);
    }

    fn gave_up(&self, operation: Operation) -> StoreError {
        let why = std::io::Error::new(ErrorKind::TimedOut, "the query did not finish in time");
        self.failed(StoreError::Query { operation, source: why.into() })
    }

    pub(super) async fn pool(&self, operation: Operation) -> Result<Pool, StoreError> {
        self.lazy_pool.pool().await.map_err(|source| {
            let database = &self.lazy_pool.database;
            let (database, advice) = (database.to_string(), database.advice());
            self.failed(StoreError::Open { operation, database, source, advice })
        })
    }

    /// Counts and logs a failure: an operation that players lose something by is an error, a health check or
    /// retention is not.
    pub(super) fn failed(&self, error: StoreError) -> StoreError {
        let Some(operation) = error.operation() else { return error };
        self.metrics.failed(operation);
        if operation != Operation::Ping {
            self.write_health.failed();
        }
        if operation.is_for_players() {
            self.errors.count(ErrorType::Database);
            tracing::error!(%error, "a database query failed, and the game goes on without it");
        } else {
            tracing::debug!(%error, "a database query failed");
        }
        error
    }
}

impl<'a> QueryGuard<'a> {
    /// Ends the query. A connection over which one failed is closed.
    pub(super) async fn end<T>(
        self,
        answer: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> QueryEnd<'a, T> {
        let Self { store, operation, connection, moved, .. } = self;
        let number = connection.number();
        let timed_out = |_| Err(std::io::Error::from(ErrorKind::TimedOut).into());
        let source = match answer.unwrap_or_else(timed_out) {
            Ok(answer) if !operation.writes() => {
                connection.release();
                return QueryEnd::Answered(Ok(answer));
            }
            Ok(answer) if connection.is_in_place() => {
                connection.release();
                return QueryEnd::Answered(Ok(answer));
            }
            Ok(_) => {
                drop(connection);
                store.lazy_pool.discard(number).await;
                return QueryEnd::Answered(Err(store.failed(StoreError::FileLost { operation })));
            }
            Err(source) => source,
        };
        drop(connection);
        if postgres::is_not_the_one(&source) || sqlite::is_not_what_was_opened(&source) {
            store.lazy_pool.discard(number).await;
        }
        if postgres::is_read_only(&source) && !moved {
            return match store.begin(operation).await {
                Ok(elsewhere) => QueryEnd::Moved(QueryGuard { moved: true, ..elsewhere }),
                Err(error) => QueryEnd::Answered(Err(error)),
            };
        }
        QueryEnd::Answered(Err(store.failed(StoreError::Query { operation, source })))
    }
}
