//! API keys: read once, sent in one header, never shown.

use std::{fmt, path::Path};

use reqwest::header::HeaderValue;

use super::ProviderSetupError;
use crate::secret_file::read_secret;

/// An API key. Its `Debug` form hides it, and its header value is marked sensitive.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Wraps a key; space and line breaks around it are dropped. `None` if nothing is left, so
    /// that a variable set to the empty string counts as unset.
    #[must_use]
    pub fn new(key: &str) -> Option<Self> {
        let key = key.trim();
        (!key.is_empty()).then(|| Self(key.to_owned()))
    }

    /// The key in a file; `Ok(None)` if that is blank.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, ProviderSetupError> {
        let text = read_secret(path, "the key file")
            .map_err(|source| ProviderSetupError::File { path: path.to_owned(), source })?;
        Ok(Self::new(&text))
    }

    /// The key in force: the one `given`, or else the one in `file`, or else that of the environment
    /// `variable`. A file wins, even a blank one: the variable is that of all providers of one protocol, and
    /// must not be sent to the wrong one of them. `wanted_by` names the protocol whose own service can't do
    /// without; servers of one's own can.
    pub(crate) fn in_force(
        given: Option<&Self>,
        variable: &'static str,
        file: Option<&Path>,
        wanted_by: Option<&'static str>,
    ) -> Result<Option<Self>, ProviderSetupError> {
        let key = match (given, file) {
            (Some(key), _) => Some(key.clone()),
            (None, Some(file)) => Self::read(file)?,
            (None, None) => std::env::var(variable).ok().as_deref().and_then(Self::new),
        };
        match (key, wanted_by) {
            (None, Some(protocol)) => Err(ProviderSetupError::MissingKey { protocol, variable }),
            (key, _) => Ok(key),
        }
    }

    /// The header value `prefix` + key, which HTTP libraries will not print.
    pub(crate) fn header(
        &self,
        prefix: &str,
        protocol: &'static str,
    ) -> Result<HeaderValue, ProviderSetupError> {
        let mut value = HeaderValue::try_from(format!("{prefix}{}", self.0))
            .map_err(|_| ProviderSetupError::UnusableKey { protocol })?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// Set everywhere, and no key.
    const SET: &str = "PATH";

    #[test]
    fn never_shows_itself() {
        let key = ApiKey::new("sk-very-secret").unwrap();
        assert!(!format!("{key:?}").contains("secret"));
        let header = key.header("Bearer ", "openai").unwrap();
        assert!(!format!("{header:?}").contains("secret"));
        assert_eq!(header.as_bytes(), b"Bearer sk-very-secret");
    }

    #[test]
    fn blank_is_absent() {
        assert_eq!(ApiKey::new(" \n"), None);
    }

    #[test]
    fn a_file_is_read_and_trimmed_and_wins_over_the_variable() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let in_force = |given: Option<&ApiKey>, file: Option<&Path>, wanted_by| {
            ApiKey::in_force(given, SET, file, wanted_by)
        };
        let of_variable = std::env::var(SET).ok().as_deref().and_then(ApiKey::new);
        assert!(of_variable.is_some());
        assert_eq!(in_force(None, None, None).unwrap(), of_variable);
        let blank = in_force(None, Some(file.path()), Some("openai"));
        assert!(blank.is_err(), "a blank one is no licence to take it");
        assert_eq!(in_force(None, Some(file.path()), None).unwrap(), None);
        file.write_all(b"sk-from-file\n").unwrap();
        let key = in_force(None, Some(file.path()), Some("openai")).unwrap();
        assert_eq!(key, ApiKey::new("sk-from-file"));
        let given = ApiKey::new("sk-given");
        assert_eq!(in_force(given.as_ref(), Some(file.path()), None).unwrap(), given);
    }

    #[test]
    fn missing_file_is_named() {
        let missing = Path::new("/nonexistent/key");
        let error = ApiKey::in_force(None, SET, Some(missing), None).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/key"));
    }

    #[test]
    fn key_with_line_break_inside_is_refused() {
        let key = ApiKey::new("sk-a\nb").unwrap();
        assert!(matches!(
            key.header("", "anthropic"),
            Err(ProviderSetupError::UnusableKey { protocol: "anthropic" })
        ));
    }
}
