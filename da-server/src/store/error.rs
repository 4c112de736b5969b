//! What goes wrong with a database.

use std::sync::Arc;

use super::Operation;

/// Why a query failed. Already counted and logged, except for [`Self::Replaced`] and [`Self::Unknown`], which
/// are no failures of the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be opened or brought up to date.
    #[error("can't open {database}: {source}; {advice}")]
    Open {
        /// The operation that needs it.
        operation: Operation,
        /// The database, without its password.
        database: String,
        /// What the database, the file system or the network said.
        source: Arc<sqlx::Error>,
        /// What to look at.
        advice: &'static str,
    },
    /// A query failed.
    #[error("{}: {source}", operation.as_str())]
    Query {
        /// The operation that failed.
        operation: Operation,
        /// What the database said.
        source: sqlx::Error,
    },
    /// The write succeeded, but the file or its write-ahead log was deleted, moved or replaced meanwhile.
    #[error("{}: the database file, or its log, was deleted or replaced meanwhile", operation.as_str())]
    FileLost {
        /// The operation that failed.
        operation: Operation,
    },
    /// The database does not have the session (any more): it was restored, replaced, or has failed over to a
    /// standby that did not have it. Not counted as a failure either.
    #[error("the database does not know the session")]
    Unknown,
    /// The session has a newer connection by now, perhaps at another server; nothing was written.
    #[error("the session has been taken over by a newer connection")]
    Replaced,
}

impl StoreError {
    /// The operation that failed; `None` for what is no failure.
    pub(super) fn operation(&self) -> Option<Operation> {
        match self {
            Self::Open { operation, .. }
            | Self::Query { operation, .. }
            | Self::FileLost { operation } => Some(*operation),
            Self::Unknown | Self::Replaced => None,
        }
    }
}
