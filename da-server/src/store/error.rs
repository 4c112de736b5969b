//! What goes wrong with a database.

use std::sync::Arc;

use super::Operation;

/// Why the database did not do what it was asked. Already counted and in the log, except for
/// [`Self::Replaced`], which is nobody's failure.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be opened or brought up to date.
    #[error("can't open {database}: {source}; {advice}")]
    Open {
        /// Which, without its password.
        database: String,
        /// What the database, the file system or the network said.
        source: Arc<sqlx::Error>,
        /// What to look at.
        advice: &'static str,
    },
    /// A query failed.
    #[error("{}: {source}", operation.as_str())]
    Query {
        /// Which.
        operation: Operation,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The session has another connection by now, perhaps at another server; what should have been
    /// kept was not.
    #[error("the session has been taken over by a newer connection")]
    Replaced,
}
