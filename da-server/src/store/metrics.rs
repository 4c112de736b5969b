//! `db_*`: what is asked of the database, and `session_handovers_total`.

use prometheus::{HistogramOpts, HistogramTimer, HistogramVec, IntCounterVec, IntGauge, Opts};

use crate::metrics::{Registry, buckets};

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
    /// Ask whether the database answers.
    Ping,
}

impl Operation {
    /// Every value, for pre-creating series.
    pub const ALL: [Self; 10] = [
        Self::Open,
        Self::CreateSession,
        Self::ClaimSession,
        Self::AskForSession,
        Self::FindWanted,
        Self::ReadHistory,
        Self::AddTurn,
        Self::LeaveSession,
        Self::DeleteUnused,
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
            Self::Ping => "ping",
        }
    }
}

/// How a session that another server had came here: `session_handovers_total{result}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Handover {
    /// That one left it, with its state.
    Left,
    /// That one did not answer; what it had not stored is lost.
    Silent,
    /// That one answered, and did not leave in time.
    Late,
}

impl Handover {
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
    handovers: IntCounterVec,
}

impl StoreMetrics {
    /// Registers the families, with every [`Operation`] at 0.
    ///
    /// # Errors
    /// A family is already registered.
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

        let gauge = |name, help| -> prometheus::Result<IntGauge> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let handovers = IntCounterVec::new(
            Opts::new("session_handovers_total", "Sessions taken over from another server."),
            &["result"],
        )?;
        for result in Handover::ALL {
            handovers.with_label_values(&[result.as_str()]);
        }
        registry.register(Box::new(handovers.clone()))?;
        Ok(Self {
            query_time,
            waiting: gauge("db_queries_waiting", "Queries that wait for a connection.")?,
            in_flight: gauge("db_queries_in_flight", "Queries that have a connection.")?,
            connections_limit: gauge(
                "db_connections_limit",
                "Connections to the database that there may be; 0 before it could be opened.",
            )?,
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

    /// Begins to wait for a connection.
    pub(super) fn wait(&self) -> Waiting<'_> {
        Waiting { _counted: Counted::in_(&self.waiting), in_flight: &self.in_flight }
    }

    /// How many queries have a connection.
    pub(super) fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// A session that another server had is here now.
    pub(super) fn handed_over(&self, result: Handover) {
        self.handovers.with_label_values(&[result.as_str()]).inc();
    }
}

/// A query that waits for a connection.
pub(super) struct Waiting<'a> {
    _counted: Counted<'a>,
    in_flight: &'a IntGauge,
}

impl<'a> Waiting<'a> {
    /// It has one, until what is returned is dropped.
    pub(super) fn begin(self) -> Counted<'a> {
        Counted::in_(self.in_flight)
    }
}

/// One of those that a gauge counts.
pub(super) struct Counted<'a>(&'a IntGauge);

impl<'a> Counted<'a> {
    fn in_(gauge: &'a IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
