//! How calls to providers fail.
//!
//! A provider's error *message* is never kept: it may quote the prompt or the key. Its error
//! *code* (`rate_limit_error`, `quota_exceeded`) is, once it looks like one.

use std::{error::Error, fmt};

use reqwest::StatusCode;

use super::RetryAdvice;

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
    /// HTTP 401 or 403: the key is wrong or may not do this.
    Authentication,
    /// HTTP 402, or a code that says so: credit or quota is used up.
    Quota,
    /// Other 4xx: the request itself was refused.
    InvalidRequest,
    /// An answer outside the wire protocol.
    Protocol,
    /// The connection ended before the answer did.
    Interrupted,
    /// Speech was asked for and something else, or nothing, came.
    NotAudio,
    /// The caller dropped the call or its stream.
    Cancelled,
}

impl ErrorKind {
    /// Every kind, for pre-creating series.
    pub const ALL: [Self; 13] = [
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::RateLimited,
        Self::Overloaded,
        Self::Server,
        Self::Authentication,
        Self::Quota,
        Self::InvalidRequest,
        Self::Protocol,
        Self::Interrupted,
        Self::NotAudio,
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
            Self::Protocol => "protocol",
            Self::Interrupted => "interrupted",
            Self::NotAudio => "not_audio",
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
        )
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
            Self::Connect => "no connection; check base_url, name resolution and the firewall",
            Self::Tls => {
                "TLS failed; check ca_file, this machine's clock and the host name in base_url"
            }
            Self::Timeout => "no answer in time; raise the timeouts of its section if this lasts",
            Self::RateLimited => "rate limit reached; lower the load or ask for a higher limit",
            Self::Overloaded => "the provider is overloaded; see its status page if this lasts",
            Self::Server => "the provider failed inside; see its status page if this lasts",
            Self::Authentication => "key refused; check the API key and what it may be used for",
            Self::Quota => "credit or quota is used up; top up the account",
            Self::InvalidRequest => "request refused; check the model, the voice and base_url",
            Self::Protocol => "not an answer of this protocol; check provider and base_url",
            Self::Interrupted => "the connection ended before the answer did",
            Self::NotAudio => "the answer was not audio; check output_format and base_url",
            Self::Cancelled => "the caller gave up waiting",
        })
    }
}

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

/// What a wire protocol makes of an error that the provider described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `None`: the code is missing or unknown.
    pub kind: Option<ErrorKind>,
    pub code: Option<ErrorCode>,
}

impl Fault {
    /// Nothing that this protocol knows.
    pub(crate) const UNKNOWN: Self = Self {
        kind: None,
        code: None,
    };
    /// An answer that the protocol does not allow.
    pub(crate) const PROTOCOL: Self = Self {
        kind: Some(ErrorKind::Protocol),
        code: None,
    };
}

/// A failed call to a provider.
#[derive(Debug, Clone)]
pub struct ProviderError {
    /// Label value of the provider.
    pub provider: &'static str,
    /// Why, as a closed set.
    pub kind: ErrorKind,
    /// The HTTP status, if there was an answer with one other than 200.
    pub status: Option<u16>,
    /// The provider's own name for the error.
    pub code: Option<ErrorCode>,
    /// What the network or TLS library said, if they failed.
    pub cause: Option<String>,
    pub(crate) advice: RetryAdvice,
}

impl ProviderError {
    pub(crate) fn new(provider: &'static str, kind: ErrorKind) -> Self {
        Self {
            provider,
            kind,
            status: None,
            code: None,
            cause: None,
            advice: RetryAdvice::default(),
        }
    }

    /// An error that the provider put into a stream it had begun with HTTP 200.
    pub(crate) fn in_stream(provider: &'static str, fault: Fault) -> Self {
        Self {
            code: fault.code,
            ..Self::new(provider, fault.kind.unwrap_or(ErrorKind::Server))
        }
    }

    /// An answer with a status other than 200. The status says what kind of error it is, except
    /// that a used-up quota hides behind several.
    pub(crate) fn from_answer(
        provider: &'static str,
        status: StatusCode,
        fault: Fault,
        advice: RetryAdvice,
    ) -> Self {
        let kind = match fault.kind {
            Some(ErrorKind::Quota) => ErrorKind::Quota,
            _ => ErrorKind::from_status(status),
        };
        Self {
            status: Some(status.as_u16()),
            code: fault.code,
            advice,
            ..Self::new(provider, kind)
        }
    }

    /// A request that got no answer, or an answer that stopped.
    pub(crate) fn from_transport(provider: &'static str, error: &reqwest::Error) -> Self {
        let kind = if is_tls(error) {
            ErrorKind::Tls
        } else if error.is_connect() {
            ErrorKind::Connect
        } else if error.is_timeout() {
            ErrorKind::Timeout
        } else if error.is_builder() {
            ErrorKind::InvalidRequest
        } else {
            ErrorKind::Interrupted
        };
        Self {
            cause: Some(root_cause(error)),
            ..Self::new(provider, kind)
        }
    }

    /// Whether another attempt is allowed: the provider's word first, then the kind's.
    pub(crate) fn may_retry(&self) -> bool {
        self.advice.should_retry.unwrap_or(self.kind.is_transient())
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.provider, self.kind)?;
        match (self.status, &self.code) {
            (Some(status), Some(code)) => write!(f, " (HTTP {status}, {})", code.as_str())?,
            (Some(status), None) => write!(f, " (HTTP {status})")?,
            (None, Some(code)) => write!(f, " ({})", code.as_str())?,
            (None, None) => {}
        }
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl Error for ProviderError {}

/// The causes below `error`, outermost first. `io::Error` hides the error it wraps from
/// `source()`, so it is opened here.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn is_tls(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.is::<rustls::Error>())
}

fn root_cause(error: &reqwest::Error) -> String {
    // The outermost text is reqwest's own and names the URL.
    causes(error)
        .skip(1)
        .last()
        .map_or_else(|| "no cause given".to_owned(), ToString::to_string)
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
        assert_eq!(
            ErrorKind::from_status(StatusCode::FOUND),
            ErrorKind::Protocol
        );
    }

    #[test]
    fn only_plain_codes_are_kept() {
        assert!(ErrorCode::new("rate_limit_error").is_some());
        assert!(ErrorCode::new("Incorrect API key provided: sk-123").is_none());
        assert!(ErrorCode::new(&"a".repeat(65)).is_none());
        assert!(ErrorCode::new("").is_none());
    }

    #[test]
    fn the_sentence_names_provider_status_and_code() {
        let error = ProviderError::from_answer(
            "anthropic",
            StatusCode::TOO_MANY_REQUESTS,
            Fault {
                kind: None,
                code: ErrorCode::new("rate_limit_error"),
            },
            RetryAdvice::default(),
        );
        assert_eq!(
            error.to_string(),
            "anthropic: rate limit reached; lower the load or ask for a higher limit \
             (HTTP 429, rate_limit_error)"
        );
    }

    #[tokio::test]
    async fn refused_connection_is_connect_and_says_so() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        drop(listener);
        let client = crate::provider::http_client(&Default::default()).unwrap();
        let error = client.get(url).send().await.unwrap_err();
        let error = ProviderError::from_transport("openai", &error);
        assert_eq!(error.kind, ErrorKind::Connect);
        assert!(error.to_string().contains("refused"), "{error}");
        assert!(error.may_retry());
    }
}
