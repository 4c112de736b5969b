//! Errors that a provider reports.
//!
//! A provider's error *message* is never kept: it may quote the prompt or the key. Its error
//! *code* (`rate_limit_error`, `quota_exceeded`) is, once it looks like one.

use super::ErrorKind;

/// A provider's own name for an error: lower-case letters, digits, `_`, `-` and `.`, at most 64
/// bytes. Anything else a provider sends in its place is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorCode(String);

impl ErrorCode {
    pub(crate) fn new(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.".contains(&b);
        let fits = !text.is_empty() && text.len() <= 64 && text.bytes().all(plain);
        fits.then(|| Self(text.to_owned()))
    }

    /// The code as the provider wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An error that the provider reported, as its wire protocol defines it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportedError {
    /// `None`: the code is missing or unknown.
    pub kind: Option<ErrorKind>,
    pub code: Option<ErrorCode>,
}

impl ReportedError {
    /// The protocol does not know this error.
    pub(crate) const UNKNOWN: Self = Self { kind: None, code: None };
    /// An answer that the protocol does not allow.
    pub(crate) const PROTOCOL: Self = Self { kind: Some(ErrorKind::Protocol), code: None };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_codes_are_kept() {
        assert!(ErrorCode::new("rate_limit_error").is_some());
        assert!(ErrorCode::new("Incorrect API key provided: sk-123").is_none());
        assert!(ErrorCode::new(&"a".repeat(65)).is_none());
        assert!(ErrorCode::new("").is_none());
    }
}
