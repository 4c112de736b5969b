//! A database that somebody else holds.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Executor};

use crate::server::Server;

/// Nobody can write until it is dropped or rolled back.
pub async fn lock(server: &Server) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(server.database());
    let mut connection = options.connect().await.expect("opened");
    connection.execute("BEGIN IMMEDIATE").await.expect("locked");
    connection
}
