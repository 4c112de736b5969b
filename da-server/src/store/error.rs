//! What goes wrong with a database.

use std::sync::Arc;

use super::Operation;

/// Why the database did not do what it was asked. Already counted and in the log, except for
/// [`Self::Replaced`] and [`Self::Unknown`], which are nobody's failure.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It can't be opened or brought up to date.
    #[error("can't open {database}: {source}; {advice}")]
    Open {
        /// For what.
        operation: Operation,
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
    /// It was written, but the file was deleted, moved or replaced meanwhile, or its log was.
    #[error("{}: the database file, or its log, was deleted or replaced meanwhile", operation.as_str())]
    FileLost {
        /// Which.
        operation: Operation,
    },
    /// The database knows no such session (any more): it was restored, replaced, or has failed over to
    /// a standby that had not heard of it. Nobody's failure here, too.
    #[error("the database does not know the session")]
    Unknown,
    /// The session has another connection by now, perhaps at another server; what should have been
    /// kept was not.
    #[error("the session has been taken over by a newer connection")]
    Replaced,
}

impl StoreError {
    /// What failed; none where nothing has.
    pub(super) fn operation(&self) -> Option<Operation> {
        match self {
            Self::Open { operation, .. }
            | Self::Query { operation, .. }
            | Self::FileLost { operation } => Some(*operation),
            Self::Unknown | Self::Replaced => None,
        }
    }
}
