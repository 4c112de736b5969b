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

    /// The key from an environment variable, or else from a file. `Ok(None)` if neither is set.
    ///
    /// # Errors
    /// [`ProviderSetupError::File`] if the file cannot be read.
    pub fn load(variable: &str, file: Option<&Path>) -> Result<Option<Self>, ProviderSetupError> {
        if let Some(key) = std::env::var(variable).ok().as_deref().and_then(Self::new) {
            return Ok(Some(key));
        }
        file.map_or(Ok(None), Self::read)
    }

    /// The key in a file; `Ok(None)` if that is blank.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, ProviderSetupError> {
        let text = read_secret(path, "the key file")
            .map_err(|source| ProviderSetupError::File { path: path.to_owned(), source })?;
        Ok(Self::new(&text))
    }

    /// The key in force: the one `given`, or else as [`Self::load`] finds it. `wanted_by` names the
    /// protocol whose own service can't do without; servers of one's own can.
    pub(crate) fn in_force(
        given: Option<&Self>,
        variable: &'static str,
        file: Option<&Path>,
        wanted_by: Option<&'static str>,
    ) -> Result<Option<Self>, ProviderSetupError> {
        let key = match given {
            Some(key) => Some(key.clone()),
            None => Self::load(variable, file)?,
        };
        match (key, wanted_by) {
            (None, Some(protocol)) => Err(ProviderSetupError::MissingKey { protocol, variable }),
            (key, _) => Ok(key),
        }
    }

    /// The same where a key file wins: the variable is that of all providers of one protocol, and
    /// must not be sent to the wrong one of them.
    pub(crate) fn of_ones_own(
        given: Option<&Self>,
        variable: &'static str,
        file: Option<&Path>,
        wanted_by: Option<&'static str>,
    ) -> Result<Option<Self>, ProviderSetupError> {
        let Some(file) = file.filter(|_| given.is_none()) else {
            return Self::in_force(given, variable, None, wanted_by);
        };
        match (Self::read(file)?, wanted_by) {
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

    const UNSET: &str = "DA_TEST_KEY_THAT_NOBODY_SETS";

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
    fn file_is_read_and_trimmed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"sk-from-file\n").unwrap();
        let key = ApiKey::load(UNSET, Some(file.path())).unwrap();
        assert_eq!(key, ApiKey::new("sk-from-file"));
    }

    #[test]
    fn missing_file_is_named() {
        let error = ApiKey::load(UNSET, Some(Path::new("/nonexistent/key"))).unwrap_err();
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
