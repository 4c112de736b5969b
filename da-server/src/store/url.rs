//! Where a PostgreSQL database is, and the secret that opens it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use tracing::subscriber::NoSubscriber;

use crate::secret_file::read_secret;

/// Why there is no usable [`DatabaseUrl`]. Neither form shows what was read: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseUrlError {
    /// The text is not the URL of a PostgreSQL database.
    #[error("{0}: use postgres://user:password@host:5432/database?sslmode=verify-full")]
    Malformed(String),
    /// The file that should hold it can't be read.
    #[error("can't read store.url_file {path}")]
    File {
        /// The file.
        path: String,
        /// Why it can't be read.
        source: std::io::Error,
    },
}

/// A PostgreSQL database's URL. `Debug` and `Display` leave the password out.
#[derive(Clone)]
pub struct DatabaseUrl(Box<PgConnectOptions>);

impl DatabaseUrl {
    /// The URL in a file; space and line breaks around it are dropped.
    ///
    /// # Errors
    /// See [`DatabaseUrlError`].
    pub fn read(path: &Path) -> Result<Self, DatabaseUrlError> {
        let text = read_secret(path, "store.url_file").map_err(|source| {
            DatabaseUrlError::File { path: path.display().to_string(), source }
        })?;
        text.parse()
    }

    /// The host and the port of the server; `None` if it is reached by a socket of this host.
    pub fn server(&self) -> Option<(String, u16)> {
        let Self(options) = self;
        let host = options.get_host();
        let is_remote = options.get_socket().is_none() && !host.starts_with('/');
        is_remote.then(|| (host.to_owned(), options.get_port()))
    }

    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let malformed = |why: &str| DatabaseUrlError::Malformed(why.to_owned());
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(malformed("not the URL of a PostgreSQL database"));
        }
        // What sqlx does not know it would log with its value, which may be a mistyped secret.
        let parsed = tracing::subscriber::with_default(NoSubscriber::default(), || text.parse());
        let options: PgConnectOptions =
            parsed.map_err(|error: sqlx::Error| malformed(&error.to_string()))?;
        let is_named = options.get_application_name().is_some();
        let options = if is_named { options } else { options.application_name("da-server") };
        Ok(Self(Box::new(options)))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(options) = self;
        let user = options.get_username();
        write!(f, "postgres://{user}@")?;
        match options.get_socket() {
            Some(folder) => write!(f, "{}", folder.display())?,
            None => write!(f, "{}", options.get_host())?,
        }
        write!(f, ":{}/{}", options.get_port(), options.get_database().unwrap_or(user))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const URL: &str = "postgres://da:very-secret@db.internal:5433/game?sslmode=require";

    #[test]
    fn it_is_told_without_its_password() {
        let url: DatabaseUrl = URL.parse().expect("URL");
        assert_eq!(url.to_string(), "postgres://da@db.internal:5433/game");
        assert_eq!(format!("{url:?}"), "DatabaseUrl(postgres://da@db.internal:5433/game)");
        let socket: DatabaseUrl =
            "postgres://da:very-secret@%2Frun%2Fpg:5433/game".parse().expect("URL");
        assert_eq!(socket.to_string(), "postgres://da@/run/pg:5433/game");
    }

    #[test]
    fn what_is_no_such_url_is_refused_without_being_shown() {
        for bad in [
            "very-secret",
            "mysql://da:very-secret@db/game",
            "postgres://da:very-secret@db:port/game",
            "postgres://da:very-secret@[/game",
            "",
        ] {
            let error = bad.parse::<DatabaseUrl>().expect_err(bad);
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
            assert!(error.to_string().contains("use postgres://"), "{error}");
        }
    }

    #[test]
    fn a_file_may_hold_it() {
        let mut file = tempfile::NamedTempFile::new().expect("file");
        writeln!(file, "{URL}").expect("written");
        let url = DatabaseUrl::read(file.path()).expect("URL");
        assert_eq!(url.options().get_port(), 5433);
        let error = DatabaseUrl::read(Path::new("/nonexistent/url")).expect_err("no file");
        let said = format!("{:#}", anyhow::Error::from(error));
        assert!(said.contains("/nonexistent/url"), "{said}");
        assert_eq!(said.matches("No such file").count(), 1, "{said}");
    }
}
