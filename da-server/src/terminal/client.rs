//! Asking a server for its calls.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{Stream, StreamExt, stream};
use reqwest::{Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::CallsArgs;
use super::credentials::Credentials;
use super::under_way::Listed;
use crate::calls::Call;
use crate::provider::events::{EventError, events};
use crate::provider::{HttpConfig, http_client};

/// The server sends a keep-alive three times as often.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
/// A call has a bounded number of attempts and reads, and is much shorter.
const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// Why the server's calls can't be shown.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody answered, or the answer broke off.
    #[error("{url} can't be reached: {reason}")]
    Unreachable { url: String, reason: String },
    /// The server refused the request.
    #[error("{url} answered {status}: {message}")]
    Refused { url: String, status: u16, message: String },
    /// The answer is not that of a da-server, or of one of another version.
    #[error("{url} is not a da-server, or one of another version: {reason}")]
    Foreign { url: String, reason: String },
}

impl ClientError {
    /// Whether asking again may help.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            // A proxy whose server is away, or a server with too many followers.
            Self::Refused { status, .. } => *status >= 500,
            Self::Foreign { .. } => false,
        }
    }
}

/// An update that a follower receives.
pub(super) enum Update {
    Call(Box<Call>),
    /// The number of calls that came faster than they were read.
    Missed(u64),
}

#[derive(Deserialize)]
struct CallList {
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Missed {
    calls: u64,
}

/// A server, and which of its calls are wanted.
pub(super) struct Client {
    http: reqwest::Client,
    calls: Url,
    credentials: Credentials,
    order: &'static str,
    filters: Vec<(&'static str, String)>,
}

impl Client {
    /// # Errors
    /// The URL or a file can't be used.
    pub(super) fn new(args: &CallsArgs) -> anyhow::Result<Self> {
        let url = Url::parse(&format!("{}/api/calls", args.url.trim_end_matches('/')))
            .with_context(|| format!("{:?} is not a URL", args.url))?;
        // What is in an address stays in the shell's history, and would be in our messages.
        ensure!(
            url.username().is_empty() && url.password().is_none(),
            "no user and password in the URL: give --user and --password-file"
        );
        ensure!(
            ["http", "https"].contains(&url.scheme()),
            "{:?} is not a URL of HTTP: write http://… or https://…",
            args.url
        );
        let config = HttpConfig { ca_file: args.ca_file.clone(), ..HttpConfig::default() };
        let filters = [
            ("kind", args.kind.map(|kind| kind.as_str().to_owned())),
            ("provider", args.provider.clone()),
            ("of", args.own.then(|| "own".to_owned())),
            ("process", args.process.clone()),
            ("workload", args.workload.clone()),
            ("outcome", args.outcome.clone()),
            ("min_ms", args.min_ms.map(|ms| ms.to_string())),
        ];
        Ok(Self {
            http: http_client(&config)?,
            calls: url,
            credentials: Credentials::of(args)?,
            order: if args.slowest { "slowest" } else { "latest" },
            filters: filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        })
    }

    /// At most `limit` calls, in the requested order.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub(super) async fn list(&self, limit: u32) -> Result<Vec<Call>, ClientError> {
        let mut url = self.calls.clone();
        let limit = limit.to_string();
        url.query_pairs_mut().extend_pairs([("order", self.order), ("limit", limit.as_str())]);
        self.get_json::<CallList>(url).await.map(|list| list.calls)
    }

    /// The requests that have not ended.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub(super) async fn under_way(&self, limit: u32) -> Result<Listed, ClientError> {
        let mut url = self.calls.clone();
        url.set_path(&format!("{}/under_way", url.path()));
        url.query_pairs_mut().append_pair("limit", &limit.to_string());
        self.get_json(url).await
    }

    /// Every call from now on.
    ///
    /// # Errors
    /// As [`ClientError`] says, now or later.
    pub(super) async fn follow(
        &self,
    ) -> Result<impl Stream<Item = Result<Update, ClientError>>, ClientError> {
        let mut url = self.calls.clone();
        url.set_path(&format!("{}/live", url.path()));
        let events = events(self.get(url).await?.bytes_stream(), MAX_EVENT_BYTES);
        Ok(stream::unfold(Box::pin(events), move |mut events| async move {
            loop {
                let update = match timeout(IDLE_TIMEOUT, events.next()).await {
                    Err(_) => Err(self.silent()),
                    Ok(None) => return None,
                    Ok(Some(Err(EventError::Body(error)))) => Err(self.unreachable(&error)),
                    Ok(Some(Err(error @ EventError::TooLong))) => Err(self.foreign(&error)),
                    // Cut off: what follows is that the server has ended.
                    Ok(Some(Ok(event))) if !event.whole => continue,
                    Ok(Some(Ok(event))) => match event.name.as_str() {
                        "call" => self.read(event.data.as_bytes()).map(Update::Call),
                        "missed" => self
                            .read::<Missed>(event.data.as_bytes())
                            .map(|missed| Update::Missed(missed.calls)),
                        // A keep-alive, or an event of a newer version.
                        _ => continue,
                    },
                };
                return Some((update, events));
            }
        }))
    }

    async fn get_json<T: DeserializeOwned>(&self, url: Url) -> Result<T, ClientError> {
        let response = self.get(url).await?;
        let body = timeout(RESPONSE_TIMEOUT, response.bytes()).await;
        let body = body.map_err(|_| self.silent())?.map_err(|error| self.unreachable(&error))?;
        self.read(&body)
    }

    async fn get(&self, mut url: Url) -> Result<Response, ClientError> {
        if !self.filters.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.filters);
        }
        let request = self.credentials.shown_in(self.http.get(url));
        let answer = timeout(RESPONSE_TIMEOUT, request.send()).await.map_err(|_| self.silent())?;
        let response = answer.map_err(|error| self.unreachable(&error))?;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(self.refused(status, response).await),
        }
    }

    async fn refused(&self, status: u16, response: Response) -> ClientError {
        let body: Option<Value> = match timeout(RESPONSE_TIMEOUT, response.bytes()).await {
            Ok(Ok(body)) => serde_json::from_slice(&body).ok(),
            _ => None,
        };
        let message = body.as_ref().and_then(|body| body["error"]["message"].as_str());
        let message = match (status, message) {
            (401, _) => {
                "the server needs the metrics token or a user: give --token-file, or set METRICS_TOKEN, \
                 or give --user and --password-file"
            }
            (_, Some(message)) => message,
            (_, None) => "no reason was given; is this a da-server?",
        };
        ClientError::Refused { url: self.url(), status, message: message.to_owned() }
    }

    fn read<T: DeserializeOwned>(&self, json: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(json).map_err(|error| self.foreign(&error))
    }

    fn foreign(&self, error: &dyn std::error::Error) -> ClientError {
        ClientError::Foreign { url: self.url(), reason: error.to_string() }
    }

    fn silent(&self) -> ClientError {
        ClientError::Unreachable {
            url: self.url(),
            reason: "the server stopped sending".to_owned(),
        }
    }

    /// The innermost reason: the outer ones say no more than that a request failed.
    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> ClientError {
        let mut reason = error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        ClientError::Unreachable { url: self.url(), reason: reason.to_string() }
    }

    fn url(&self) -> String {
        self.calls.to_string()
    }
}
