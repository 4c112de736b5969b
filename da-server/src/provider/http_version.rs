//! The version of HTTP that a provider answered in.

use reqwest::Version;
use serde::{Deserialize, Serialize};

/// The versions that the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    /// One answer, then the connection ends.
    Http10,
    /// One exchange at a time.
    Http11,
    /// Exchanges side by side on one connection.
    Http2,
}

impl HttpVersion {
    /// That of an answer; none if it is one that the client does not speak.
    pub fn of(version: Version) -> Option<Self> {
        match version {
            Version::HTTP_10 => Some(Self::Http10),
            Version::HTTP_11 => Some(Self::Http11),
            Version::HTTP_2 => Some(Self::Http2),
            _ => None,
        }
    }

    /// As people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }
}
