//! How one query is run: with a connection, in time, timed, counted, and its failure reported once.

use std::io::ErrorKind;
use std::time::Duration;

use prometheus::HistogramTimer;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::pool::{Connection, NoConnection, Pool};
use super::{Operation, Store, StoreError, postgres, sqlite};
use crate::metrics::{ErrorType, GaugeGuard};

/// How long a query may take once it has a connection: longer than SQLite waits for another
/// process's lock, and no longer than a player waits for an answer.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(6);

/// How long a player waits for all of it: a database that is opened, or whose tables are brought up to
/// date, a connection, and the answer.
pub(super) const PLAYERS_WAIT: Duration = Duration::from_secs(8);

/// An operation that has a connection to ask over.
pub(super) struct Asking<'a> {
    store: &'a Store,
    operation: Operation,
    pub(super) connection: Connection,
    /// It was refused elsewhere before.
    moved: bool,
    _in_flight: GaugeGuard,
    _timer: HistogramTimer,
}

/// What came of an operation, when not its answer.
pub(super) enum Ended<'a, T> {
    Answered(Result<T, StoreError>),
    /// It was refused by a server that takes no writes any more; here is a connection to the one that
    /// has its address now.
    Moved(Asking<'a>),
}

/// Runs an operation of a store on whichever database it has, and evaluates to what came of it:
/// `ask!(store, operation, |db| …)`, where `db` is the connection as sqlx has it and the rest a
/// `Result` with sqlx's error. Both databases speak the SQL that is used here.
macro_rules! ask {
    ($store:expr, $operation:expr, |$db:ident| $query:expr) => {{
        let asking = async {
            match $store.begin($operation).await {
                Err(error) => Err(error),
                Ok(mut asking) => loop {
                    use $crate::store::asking::{ANSWERS_WITHIN, Ended};
                    use $crate::store::pool::ConnectionKind;
                    let answer = match &mut asking.connection.kind {
                        ConnectionKind::Sqlite(connection) => {
                            let $db = &mut **connection;
                            tokio::time::timeout(ANSWERS_WITHIN, async { $query }).await
                        }
                        ConnectionKind::Postgres(connection) => {
                            let $db = &mut **connection;
                            tokio::time::timeout(ANSWERS_WITHIN, async { $query }).await
                        }
                    };
                    match asking.end(answer).await {
                        Ended::Answered(answer) => break answer,
                        Ended::Moved(elsewhere) => asking = elsewhere,
                    }
                },
            }
        };
        $store.in_time($operation, asking).await
    }};
}
pub(super) use ask;

impl Store {
    /// Waits for a connection to run `operation` over. From here to its end it is timed, given up or
    /// not.
    pub(super) async fn begin(&self, operation: Operation) -> Result<Asking<'_>, StoreError> {
        let pool = self.pool(operation).await?;
        let timer = self.metrics.timer(operation);
        let waiting = self.metrics.waiting();
        let acquired = match pool.acquire().await {
            Err(refused) if refused.none_can_be_made => {
                self.opening.lost(pool.number()).await;
                // Opening it again says what is wrong, if it still is.
                self.pool(operation).await?.acquire().await
            }
            acquired => acquired,
        };
        let connection = acquired.map_err(|NoConnection { source, .. }| {
            self.failed(StoreError::Query { operation, source })
        })?;
        drop(waiting);
        let _in_flight = self.metrics.in_flight();
        Ok(Asking { store: self, operation, connection, moved: false, _in_flight, _timer: timer })
    }

    /// Gives an operation up for which a player would wait too long. Others go on: who looks after the
    /// database opens it, however long that takes.
    pub(super) async fn in_time<T>(
        &self,
        operation: Operation,
        asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if !operation.is_for_players() {
            return asking.await;
        }
        match timeout(PLAYERS_WAIT, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(self.gave_up(operation)),
        }
    }

    /// Whoever wanted a turn to be kept does not wait any longer, and has dropped what did it.
    pub fn gave_up_a_turn(&self) {
        self.gave_up(Operation::AddTurn);
    }

    fn gave_up(&self, operation: Operation) -> StoreError {
        let why = std::io::Error::new(ErrorKind::TimedOut, "it was not done in time");
        self.failed(StoreError::Query { operation, source: why.into() })
    }

    pub(super) async fn pool(&self, operation: Operation) -> Result<Pool, StoreError> {
        self.opening.pool().await.map_err(|source| {
            let database = &self.opening.database;
            let (database, advice) = (database.to_string(), database.advice());
            self.failed(StoreError::Open { operation, database, source, advice })
        })
    }

    /// Reports a failure where it belongs: what players lost is an error, and what only looks
    /// whether the database is there, or tidies up, is not.
    pub(super) fn failed(&self, error: StoreError) -> StoreError {
        let Some(operation) = error.operation() else { return error };
        self.metrics.failed(operation);
        if operation != Operation::Ping {
            self.doubt.failed();
        }
        if operation.is_for_players() {
            self.errors.count(ErrorType::Database);
            tracing::error!(%error, "database; the game goes on without it");
        } else {
            tracing::debug!(%error, "database");
        }
        error
    }
}

impl<'a> Asking<'a> {
    /// Reports what came of it. A connection over which something failed is closed.
    pub(super) async fn end<T>(
        self,
        answer: Result<Result<T, sqlx::Error>, Elapsed>,
    ) -> Ended<'a, T> {
        let Self { store, operation, connection, moved, .. } = self;
        let number = connection.number();
        let timed_out = |_| Err(std::io::Error::from(ErrorKind::TimedOut).into());
        let source = match answer.unwrap_or_else(timed_out) {
            Ok(answer) if !operation.writes() => {
                connection.release();
                return Ended::Answered(Ok(answer));
            }
            Ok(answer) if connection.is_in_place() => {
                connection.release();
                return Ended::Answered(Ok(answer));
            }
            Ok(_) => {
                drop(connection);
                store.opening.lost(number).await;
                return Ended::Answered(Err(store.failed(StoreError::FileLost { operation })));
            }
            Err(source) => source,
        };
        drop(connection);
        if postgres::is_not_the_one(&source) || sqlite::is_not_what_was_opened(&source) {
            store.opening.lost(number).await;
        }
        if postgres::is_read_only(&source) && !moved {
            return match store.begin(operation).await {
                Ok(elsewhere) => Ended::Moved(Asking { moved: true, ..elsewhere }),
                Err(error) => Ended::Answered(Err(error)),
            };
        }
        Ended::Answered(Err(store.failed(StoreError::Query { operation, source })))
    }
}
