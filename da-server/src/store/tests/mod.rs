//! What holds for either database is in `shared` and `lease`, and tested on both.

mod failover;
mod full_disk;
mod lease;
mod lost_file;
mod on_postgres;
mod on_sqlite;
mod shared;

use da_testkit::postgres::Postgres;
use tempfile::TempDir;

use super::*;
use crate::metrics::Metrics;

/// A store, and what it has counted.
struct Opened {
    store: Store,
    metrics: Metrics,
    _folder: Option<TempDir>,
}

impl Opened {
    fn with(config: StoreConfig) -> Self {
        let metrics = Metrics::new().expect("metrics");
        let times = StoreMetrics::register(metrics.registry()).expect("registers");
        let errors = ErrorMetrics::register(metrics.registry()).expect("registers");
        let store = Store::new(config, times, errors).expect("store");
        Self { store, metrics, _folder: None }
    }

    fn in_sqlite() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.sqlite");
        let opened = Self::with(StoreConfig { path, ..StoreConfig::default() });
        Self { _folder: Some(folder), ..opened }
    }

    /// In a database of its own.
    fn in_postgres() -> Self {
        Self::at(&Postgres::shared().database())
    }

    fn at(url: &str) -> Self {
        let url = Some(url.parse().expect("URL"));
        Self::with(StoreConfig { url, max_connections: 4, ..StoreConfig::default() })
    }

    /// Another server's store, in the same database.
    fn other_server(&self) -> Self {
        Self::with(self.store.config.clone())
    }

    fn counted(&self, series: &str) -> f64 {
        let text = self.metrics.expose().expect("exposition");
        let line = text.lines().find(|line| line.starts_with(&format!("{series} ")));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect(series)
    }

    fn queries(&self, operation: Operation) -> f64 {
        let name = operation.as_str();
        self.counted(&format!("digital_actors_db_query_time_seconds_count{{operation=\"{name}\"}}"))
    }

    fn failures(&self, operation: Operation) -> f64 {
        let name = operation.as_str();
        self.counted(&format!("digital_actors_db_query_failures_total{{operation=\"{name}\"}}"))
    }

    fn database_errors(&self) -> f64 {
        self.counted("digital_actors_errors_total{error_type=\"database\"}")
    }
}

fn new_session(first_byte: u8) -> NewSession {
    let mut token_hash = [0; 32];
    token_hash[0] = first_byte;
    NewSession {
        token_hash,
        scene: "submarine".to_owned(),
        difficulty: "hard".to_owned(),
        world: "{}".to_owned(),
    }
}

fn turn(asked: &str) -> Turn {
    Turn {
        asked_by: AskedBy::Player,
        asked: asked.to_owned(),
        answer: format!("to {asked}"),
        status: TurnStatus::Cancelled,
    }
}

/// Makes two tests of each function: one on SQLite, one on PostgreSQL.
macro_rules! on_both {
    ($($test:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Opened::in_sqlite()).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                if super::Postgres::is_there() {
                    super::$test(super::Opened::in_postgres()).await;
                }
            })*
        }
    };
}
use on_both;
