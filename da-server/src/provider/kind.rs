//! Why calls to providers fail, as a closed set.

use std::fmt;

use reqwest::StatusCode;

/// Why a call to a provider failed. Closed, because it becomes label values.
///
/// `Display` is a sentence that tells the operator what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No connection: DNS, refused, unreachable, or too slow to come up.
    Connect,
    /// The connection came up, TLS did not.
    Tls,
    /// A limit of [`Timeouts`](super::Timeouts) passed, or HTTP 408.
    Timeout,
    /// HTTP 429: too many requests for this account.
    RateLimited,
    /// HTTP 503 or 529: too many requests for the provider.
    Overloaded,
    /// HTTP 409 and other 5xx: the provider failed inside.
    Server,
    /// HTTP 401 or 403, or a code that says so: the key is wrong or may not do this.
    Authentication,
    /// HTTP 402, or a code that says so: credit or quota is used up.
    Quota,
    /// Other 4xx: the request itself was refused.
    InvalidRequest,
    /// The provider declined to answer: its model, or a filter for what was asked or said.
    Refusal,
    /// An answer outside the wire protocol.
    Protocol,
    /// The connection ended before the answer did.
    Interrupted,
    /// Speech was asked for and something else came.
    NotAudio,
    /// The answer was complete, and there was nothing in it to say.
    EmptyAnswer,
    /// As many calls as allowed were in flight until this one's time was over.
    Saturated,
    /// The circuit breaker was open after repeated failures.
    CircuitOpen,
    /// The caller dropped the call or its stream.
    Cancelled,
}

impl ErrorKind {
    /// Every kind, for pre-creating series.
    pub const ALL: [Self; 17] = [
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::RateLimited,
        Self::Overloaded,
        Self::Server,
        Self::Authentication,
        Self::Quota,
        Self::InvalidRequest,
        Self::Refusal,
        Self::Protocol,
        Self::Interrupted,
        Self::NotAudio,
        Self::EmptyAnswer,
        Self::Saturated,
        Self::CircuitOpen,
        Self::Cancelled,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Server => "server",
            Self::Authentication => "authentication",
            Self::Quota => "quota",
            Self::InvalidRequest => "invalid_request",
            Self::Refusal => "refusal",
            Self::Protocol => "protocol",
            Self::Interrupted => "interrupted",
            Self::NotAudio => "not_audio",
            Self::EmptyAnswer => "empty_answer",
            Self::Saturated => "saturated",
            Self::CircuitOpen => "circuit_open",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the same request may well succeed a moment later.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::Timeout
                | Self::RateLimited
                | Self::Overloaded
                | Self::Server
                | Self::Interrupted
                | Self::EmptyAnswer
        )
    }

    /// Whether another provider may answer the very same request. A refused one too: most are for a
    /// model that is gone, a parameter, or an account, which another provider has nothing to do with.
    /// Not if nobody waits for the answer any more.
    #[must_use]
    pub const fn is_fallback_eligible(self) -> bool {
        !matches!(self, Self::Cancelled)
    }

    /// The kind of an HTTP answer that is not 200. The transient ones are what the official
    /// SDKs retry: 408, 409, 429 and every 5xx.
    pub(crate) fn from_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 | 403 => Self::Authentication,
            402 => Self::Quota,
            408 => Self::Timeout,
            429 => Self::RateLimited,
            503 | 529 => Self::Overloaded,
            409 | 500.. => Self::Server,
            400..=499 => Self::InvalidRequest,
            _ => Self::Protocol,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the connection failed; check base_url, name resolution and the firewall",
            Self::Tls => {
                "TLS failed; check ca_file, this machine's clock and the host name in base_url"
            }
            Self::Timeout => "the answer did not come in time; raise the timeouts of its section if this lasts",
            Self::RateLimited => "the rate limit was reached; lower the load or ask for a higher limit",
            Self::Overloaded => "the provider is overloaded; see its status page if this lasts",
            Self::Server => "the provider had an internal error; see its status page if this lasts",
            Self::Authentication => "the API key was refused; check the API key and its permissions",
            Self::Quota => "the account's credit or quota is used up; top up the account",
            Self::InvalidRequest => "the request was refused; check the model, the voice and base_url",
            Self::Refusal => {
                "the provider declined to answer; if this lasts, check its content filters and the scene"
            }
            Self::Protocol => "the answer does not follow the protocol; check protocol and base_url",
            Self::Interrupted => "the connection ended before the answer did",
            Self::NotAudio => "the answer was not audio; check output_format and base_url",
            Self::EmptyAnswer => {
                "the answer was empty; if this lasts, check the model, and max_tokens if it thinks"
            }
            Self::Saturated => {
                "too many calls in flight; raise max_concurrent of its section, or lower the load"
            }
            Self::CircuitOpen => {
                "circuit breaker is open after repeated failures; see earlier log lines"
            }
            Self::Cancelled => "the caller gave up waiting",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn labels_are_distinct_and_all_listed() {
        let labels: HashSet<_> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(labels.len(), ErrorKind::ALL.len());
        for (index, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
        assert_eq!(ErrorKind::Cancelled as usize + 1, ErrorKind::ALL.len());
    }

    #[test]
    fn transient_statuses_are_those_of_the_sdks() {
        for status in 400..600 {
            let kind = ErrorKind::from_status(StatusCode::from_u16(status).unwrap());
            let retried = matches!(status, 408 | 409 | 429) || status >= 500;
            assert_eq!(kind.is_transient(), retried, "{status} is {kind:?}");
        }
    }

    #[test]
    fn redirects_are_a_protocol_error() {
        assert_eq!(ErrorKind::from_status(StatusCode::FOUND), ErrorKind::Protocol);
    }
}
