//! One attempt of a call.

use serde::{Deserialize, Serialize};

use super::{Ended, Join, Phases, Socket};

/// One request to a provider and what came of it. Times are ns from the attempt's beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began, ns after its call did.
    pub after_ns: u64,
    /// Where its time went; they sum to what it took.
    pub phases: Phases,
    /// How it ended.
    pub outcome: Ended,
    /// How its phases were found.
    pub join: Join,
    /// Whose connection it used.
    pub reuse: Reuse,
    /// HTTP status, once there was an answer.
    pub status: Option<u16>,
    /// `HTTP/1.1` or `HTTP/2.0`, once there was an answer.
    pub http: Option<String>,
    /// The provider's own name for the request (`request-id`, `x-request-id`), for its support.
    pub request_id: Option<String>,
    /// What the network or TLS library said, if they failed.
    pub error: Option<String>,
    /// When its first content came; also of attempts that failed later.
    pub first_content_ns: Option<u64>,
    /// The first reads of the response's body by the application, up to a bound; none where only the kernel saw it.
    pub reads: Vec<Read>,
    /// How many reads there were.
    pub reads_total: u64,
    /// Bytes of body they took.
    pub body_bytes: u64,
    /// What the kernel saw; none where it saw nothing, or can't say of whom.
    pub socket: Option<Socket>,
}

impl Attempt {
    /// What it took, ns.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        self.phases.sum_ns()
    }
}

/// A piece of the response's body handed to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// When, ns from the attempt's beginning.
    pub at_ns: u64,
    /// How long it was.
    pub bytes: u64,
}

/// Whether an attempt paid for its connection: label value of `call_connections_total{reuse}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// It was the first on a connection that was begun during it.
    Fresh,
    /// The connection had been there before: its dns, connect and tls are 0.
    Reused,
    /// Not known, or no connection.
    Unknown,
}

impl Reuse {
    /// Every value, for pre-creating series.
    pub const ALL: [Self; 3] = [Self::Fresh, Self::Reused, Self::Unknown];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Reused => "reused",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_and_json_are_one_word() {
        for reuse in Reuse::ALL {
            assert_eq!(serde_json::to_value(reuse).expect("JSON"), reuse.as_str());
        }
    }
}
