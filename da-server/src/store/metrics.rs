//! `db_*`: what is asked of the database, and `session_handovers_total`.

use prometheus::{
    HistogramOpts, HistogramTimer, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
};

use crate::metrics::{GaugeGuard, Registry, buckets};

/// What is asked of the database: `db_query_time_seconds{operation}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Open it and bring its tables up to date.
    Open,
    /// Begin a session.
    CreateSession,
    /// Find a session by its token and take it over.
    ClaimSession,
    /// Ask another server for a session.
    AskForSession,
    /// Look whether others ask for a session.
    FindWanted,
    /// Read the last turns of a session.
    ReadHistory,
    /// Keep a turn, and how its scene stands.
    AddTurn,
    /// Keep how a scene stands, and give the session up.
    LeaveSession,
    /// Delete sessions that nobody came back to.
    DeleteUnused,
    /// Keep a session again that the database has lost, or whose last claim it has.
    RestoreSession,
    /// Ask whether the database answers, and takes what is written.
    Ping,
}

impl Operation {
    /// Every value, for pre-creating series.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::CreateSession,
        Self::ClaimSession,
        Self::AskForSession,
        Self::FindWanted,
        Self::ReadHistory,
        Self::AddTurn,
        Self::LeaveSession,
        Self::DeleteUnused,
        Self::RestoreSession,
        Self::Ping,
    ];

    /// The label value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::CreateSession => "create_session",
            Self::ClaimSession => "claim_session",
            Self::AskForSession => "ask_for_session",
            Self::FindWanted => "find_wanted",
            Self::ReadHistory => "read_history",
            Self::AddTurn => "add_turn",
            Self::LeaveSession => "leave_session",
            Self::DeleteUnused => "delete_unused",
            Self::RestoreSession => "restore_session",
            Self::Ping => "ping",
        }
    }

    /// Whether a player loses something when it fails. What looks again by itself counts apart.
    pub(super) fn is_for_players(self) -> bool {
        !matches!(self, Self::Open | Self::FindWanted | Self::DeleteUnused | Self::Ping)
    }

    /// Whether its success is that something was changed.
    pub(super) fn writes(self) -> bool {
        matches!(
            self,
            Self::CreateSession
                | Self::ClaimSession
                | Self::AddTurn
                | Self::LeaveSession
                | Self::RestoreSession
        )
    }
}

/// How a session was taken over from another server: `session_handovers_total{result}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LeaseTransfer {
    /// The other server released it, with its state.
    Left,
    /// The other server did not acknowledge; what it had not stored is lost.
    Silent,
    /// The other server acknowledged, and did not release it in time.
    Late,
}

impl LeaseTransfer {
    const ALL: [Self; 3] = [Self::Left, Self::Silent, Self::Late];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Silent => "silent",
            Self::Late => "late",
        }
    }
}

/// Times queries, and counts those that run or wait.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    query_time: HistogramVec,
    waiting: IntGauge,
    in_flight: IntGauge,
    connections_limit: IntGauge,
    available: IntGauge,
    failures: IntCounterVec,
    files_lost: IntCounter,
    handovers: IntCounterVec,
}

impl StoreMetrics {
    /// Registers the families, with every [`Operation`] at 0.
    ///
    /// # Errors
    /// A family is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Duration of database queries by operation, including the wait for a connection, and \
             failed queries.";
        let opts =
            HistogramOpts::new("db_query_time_seconds", help).buckets(buckets::DB_SECONDS.to_vec());
        let query_time = HistogramVec::new(opts, &["operation"])?;
        for operation in Operation::ALL {
            query_time.with_label_values(&[operation.as_str()]);
        }
        registry.register(Box::new(query_time.clone()))?;

        let gauge = |name, help| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let handovers = IntCounterVec::new(
            Opts::new(
                "session_handovers_total",
                "Sessions taken over from another server, by whether that server released them.",
            ),
            &["result"],
        )?;
        for result in LeaseTransfer::ALL {
            handovers.with_label_values(&[result.as_str()]);
        }
        registry.register(Box::new(handovers.clone()))?;
        let help = "Failed database queries, by operation; those by which players lost something are \
                 also in errors_total.";
        let failures =
            IntCounterVec::new(Opts::new("db_query_failures_total", help), &["operation"])?;
        for operation in Operation::ALL.into_iter().filter(|each| *each != Operation::Open) {
            failures.with_label_values(&[operation.as_str()]);
        }
        registry.register(Box::new(failures.clone()))?;
        let help = "Times the SQLite file was found deleted, moved or replaced while it was open; the \
                 file at its path was then opened, or created.";
        let files_lost = IntCounter::new("db_files_lost_total", help)?;
        registry.register(Box::new(files_lost.clone()))?;
        Ok(Self {
            query_time,
            waiting: gauge("db_queries_waiting", "Queries that wait for a connection.")?,
            in_flight: gauge("db_queries_in_flight", "Queries that have a connection.")?,
            connections_limit: gauge(
                "db_connections_limit",
                "Limit of connections to the database; 0 before it could be opened.",
            )?,
            available: gauge(
                "db_available",
                "1 if the database answered the last health check, made once a second, and accepts \
                 writes; else 0.",
            )?,
            failures,
            files_lost,
            handovers,
        })
    }

    /// Times an operation until this is dropped, so that one which nobody waits for any more counts
    /// too.
    pub(super) fn timer(&self, operation: Operation) -> HistogramTimer {
        self.query_time.with_label_values(&[operation.as_str()]).start_timer()
    }

    /// How many connections there may be.
    pub(super) fn may_have(&self, connections: u32) {
        self.connections_limit.set(connections.into());
    }

    /// Counts a query that waits for a connection until the guard is dropped.
    pub(super) fn waiting(&self) -> GaugeGuard {
        GaugeGuard::new(&self.waiting)
    }

    /// Counts a query that has a connection until the guard is dropped.
    pub(super) fn in_flight(&self) -> GaugeGuard {
        GaugeGuard::new(&self.in_flight)
    }

    /// The result of the last health check.
    pub(super) fn available(&self, is_available: bool) {
        self.available.set(is_available.into());
    }

    /// A query failed, or could not be asked.
    pub(super) fn failed(&self, operation: Operation) {
        self.failures.with_label_values(&[operation.as_str()]).inc();
    }

    /// The file is not at its path any more.
    pub(super) fn file_lost(&self) {
        self.files_lost.inc();
    }

    /// How often that was so.
    pub(super) fn files_lost(&self) -> u64 {
        self.files_lost.get()
    }

    /// A session was taken over from another server.
    pub(super) fn lease_transferred(&self, result: LeaseTransfer) {
        self.handovers.with_label_values(&[result.as_str()]).inc();
    }
}
