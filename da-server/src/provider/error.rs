//! How calls to providers fail.

use std::{error::Error, fmt, num::NonZeroU64};

use reqwest::StatusCode;

use super::{ErrorCode, ErrorKind, ProviderName, ReportedError, RetryAdvice};

/// A failed call to a provider.
#[derive(Debug, Clone)]
pub struct ProviderError {
    /// Which provider.
    pub provider: ProviderName,
    /// Why the call failed, as a closed set.
    pub kind: ErrorKind,
    /// The HTTP status, if there was an answer with one other than 200.
    pub status: Option<u16>,
    /// The provider's own name for the error.
    pub code: Option<ErrorCode>,
    /// What the network or TLS library said, if they failed.
    pub cause: Option<String>,
    /// The number of the call in `/calls`, for the log; `None` if calls are not reported.
    pub call_id: Option<NonZeroU64>,
    pub(crate) advice: RetryAdvice,
    /// The next request leaves out what was refused, so the call is made again at once.
    pub(crate) amended: bool,
}

impl ProviderError {
    pub(crate) fn new(provider: &ProviderName, kind: ErrorKind) -> Self {
        Self {
            provider: provider.clone(),
            kind,
            status: None,
            code: None,
            cause: None,
            call_id: None,
            advice: RetryAdvice::default(),
            amended: false,
        }
    }

    /// An error that the provider put into a stream it had begun with HTTP 200.
    pub(crate) fn in_stream(provider: &ProviderName, reported: ReportedError) -> Self {
        Self {
            code: reported.code,
            ..Self::new(provider, reported.kind.unwrap_or(ErrorKind::Server))
        }
    }

    /// An answer with a status other than 200. The status says what kind of error it is, except
    /// that a used-up quota, a refused key and a filter have several statuses.
    pub(crate) fn from_answer(
        provider: &ProviderName,
        status: StatusCode,
        reported: ReportedError,
        advice: RetryAdvice,
    ) -> Self {
        let kind = match reported.kind {
            Some(kind @ (ErrorKind::Quota | ErrorKind::Authentication | ErrorKind::Refusal)) => {
                kind
            }
            _ => ErrorKind::from_status(status),
        };
        Self {
            status: Some(status.as_u16()),
            code: reported.code,
            advice,
            ..Self::new(provider, kind)
        }
    }

    /// A request that got no answer, or an answer that stopped.
    pub(crate) fn from_transport(provider: &ProviderName, error: &reqwest::Error) -> Self {
        let kind = if error.is_connect() {
            if is_tls(error) { ErrorKind::Tls } else { ErrorKind::Connect }
        } else if error.is_timeout() {
            ErrorKind::Timeout
        } else if error.is_builder() {
            ErrorKind::InvalidRequest
        } else {
            ErrorKind::Interrupted
        };
        Self { cause: Some(root_cause(error)), ..Self::new(provider, kind) }
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
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    })
}

fn is_tls(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.is::<rustls::Error>())
}

fn root_cause(error: &reqwest::Error) -> String {
    // The outermost text is reqwest's own and names the URL.
    causes(error).skip(1).last().map_or_else(|| "no cause given".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_provider_status_and_code() {
        let error = ProviderError::from_answer(
            &"anthropic".into(),
            StatusCode::TOO_MANY_REQUESTS,
            ReportedError { kind: None, code: ErrorCode::new("rate_limit_error") },
            RetryAdvice::default(),
        );
        assert_eq!(
            error.to_string(),
            "anthropic: the rate limit was reached; lower the load or ask for a higher limit \
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
        let error = ProviderError::from_transport(&"openai".into(), &error);
        assert_eq!(error.kind, ErrorKind::Connect);
        assert!(error.to_string().contains("refused"), "{error}");
        assert!(error.may_retry());
    }
}
