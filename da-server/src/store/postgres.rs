//! PostgreSQL: how the database is reached and brought up to date.

use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection};

use super::DatabaseUrl;
use super::foreign::refuse_foreign;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");

/// How long a query waits for a connection. A database in the same data centre takes milliseconds;
/// a turn must not wait long for one that is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long another replica may take to bring the tables up to date before this one gives up.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60);

/// What a server says that is not, or no longer, the one to write to
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>). All of its connections are left:
/// behind the same address another one may have taken its place.
const NOT_THE_ONE: [&str; 4] = [
    READ_ONLY, // what was the primary is a standby, or was set to read only
    "57P01",   // admin_shutdown
    "57P02",   // crash_shutdown
    "57P03",   // cannot_connect_now
];

/// `read_only_sql_transaction`. Whatever was asked for has certainly not been done.
const READ_ONLY: &str = "25006";

/// The first connection is made here and not by the pool: that one would try again and again, and
/// then not say what was wrong.
pub(super) async fn open(url: &DatabaseUrl, max_connections: u32) -> Result<PgPool, sqlx::Error> {
    let options = url.options().clone().disable_statement_logging();
    let connecting = PgConnection::connect_with(&options);
    let mut first = within(CONNECT_TIMEOUT, "it did not answer", connecting).await?;
    let tables = "SELECT tablename::TEXT FROM pg_tables WHERE schemaname = current_schema() \
                  ORDER BY tablename";
    let looking = sqlx::query_scalar(tables).fetch_all(&mut first);
    let looked = refuse_foreign(within(CONNECT_TIMEOUT, "it did not answer", looking).await?);
    // It has shown what it was for; a farewell that gets lost changes nothing.
    let _ = first.close().await;
    looked?;
    let pool =
        PgPoolOptions::new().max_connections(max_connections).acquire_timeout(CONNECT_TIMEOUT);
    let pool = pool.connect_lazy_with(options);
    // Replicas that start at once wait for each other: sqlx holds an advisory lock meanwhile.
    let migrating = async { MIGRATIONS.run(&pool).await.map_err(sqlx::Error::from) };
    within(MIGRATION_TIMEOUT, "its tables could not be brought up to date in time", migrating)
        .await?;
    Ok(pool)
}

/// Whether the server says that it is not the one to write to.
pub(super) fn is_not_the_one(error: &sqlx::Error) -> bool {
    code_of(error).is_some_and(|code| NOT_THE_ONE.contains(&code.as_ref()))
}

/// Whether it was refused as a write to a server that takes none: it can be asked of another.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    code_of(error).is_some_and(|code| code == READ_ONLY)
}

fn code_of(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    error.as_database_error().and_then(DatabaseError::code)
}

async fn within<T>(
    time: Duration,
    otherwise: &'static str,
    what: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let timed_out = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, otherwise);
    tokio::time::timeout(time, what).await.map_err(timed_out)?
}
