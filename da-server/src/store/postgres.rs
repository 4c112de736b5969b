//! PostgreSQL: how the database is reached and brought up to date.

use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use super::DatabaseUrl;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");

/// How long a query waits for a connection. A database in the same data centre takes milliseconds;
/// a turn must not wait long for one that is gone.
const WAIT: Duration = Duration::from_secs(2);

/// How long another replica may take to bring the tables up to date before this one gives up.
const MIGRATING: Duration = Duration::from_secs(60);

/// The first connection is made here and not by the pool: that one would try again and again, and
/// then not say what was wrong.
pub(super) async fn open(url: &DatabaseUrl, max_connections: u32) -> Result<PgPool, sqlx::Error> {
    let options = url.options().clone().disable_statement_logging();
    let connecting = PgConnection::connect_with(&options);
    let first = within(WAIT, "it did not answer", connecting).await?;
    // It has shown what it was for; a farewell that gets lost changes nothing.
    let _ = first.close().await;
    let pool = PgPoolOptions::new().max_connections(max_connections).acquire_timeout(WAIT);
    let pool = pool.connect_lazy_with(options);
    // Replicas that start at once wait for each other: sqlx holds an advisory lock meanwhile.
    let migrating = async { MIGRATIONS.run(&pool).await.map_err(sqlx::Error::from) };
    within(MIGRATING, "its tables could not be brought up to date in time", migrating).await?;
    Ok(pool)
}

async fn within<T>(
    time: Duration,
    otherwise: &'static str,
    what: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let timed_out = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, otherwise);
    tokio::time::timeout(time, what).await.map_err(timed_out)?
}
