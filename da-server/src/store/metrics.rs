//! `db_query_time_seconds`.

use prometheus::{HistogramOpts, HistogramTimer, HistogramVec, Registry};

use crate::metrics::buckets;

/// What is asked of the database: `db_query_time_seconds{operation}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Open the file and bring its tables up to date.
    Open,
    /// Begin a session.
    CreateSession,
    /// Find a session by its token.
    FindSession,
    /// Keep the state of a session's scene.
    SaveWorld,
    /// Read the last turns of a session.
    ReadHistory,
    /// Keep a turn.
    AddTurn,
    /// Delete sessions that nobody came back to.
    DeleteUnused,
    /// Ask whether the database answers.
    Ping,
}

impl Operation {
    /// Every value, for pre-creating series.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::CreateSession,
        Self::FindSession,
        Self::SaveWorld,
        Self::ReadHistory,
        Self::AddTurn,
        Self::DeleteUnused,
        Self::Ping,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::CreateSession => "create_session",
            Self::FindSession => "find_session",
            Self::SaveWorld => "save_world",
            Self::ReadHistory => "read_history",
            Self::AddTurn => "add_turn",
            Self::DeleteUnused => "delete_unused",
            Self::Ping => "ping",
        }
    }
}

/// Times queries.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    query_time: HistogramVec,
}

impl StoreMetrics {
    /// Registers the family with every [`Operation`] at 0.
    ///
    /// # Errors
    /// The family is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help =
            "Database queries by operation, the wait for a connection and failures included.";
        let opts =
            HistogramOpts::new("db_query_time_seconds", help).buckets(buckets::DB_SECONDS.to_vec());
        let query_time = HistogramVec::new(opts, &["operation"])?;
        for operation in Operation::ALL {
            query_time.with_label_values(&[operation.as_str()]);
        }
        registry.register(Box::new(query_time.clone()))?;
        Ok(Self { query_time })
    }

    /// Times an operation until this is dropped, so that one which nobody waits for any more counts
    /// too.
    pub(super) fn timer(&self, operation: Operation) -> HistogramTimer {
        self.query_time.with_label_values(&[operation.as_str()]).start_timer()
    }
}
