//! When things happened in an attempt, as the application records it for the module `calls`.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::{Response, Url, header::HeaderMap};
use serde::{Deserialize, Serialize};

use super::http_version::HttpVersion;
use super::outcome::Outcome;
use super::{ErrorKind, ProviderError};
use crate::clock::{monotonic_ns, thread_id};

/// Reads of a body that are kept one by one; all of them are counted.
pub const MAX_READS: usize = 128;
/// Polls of a connect that are kept: the SYN goes out in one of the first.
const MAX_POLLS: usize = 16;
/// Addresses of one name that are kept.
const MAX_ADDRESSES: usize = 16;
/// A longer request id is left out.
const MAX_REQUEST_ID_BYTES: usize = 128;
/// Headers by which providers name a request.
const REQUEST_IDS: [&str; 2] = ["request-id", "x-request-id"];

/// When things happened in one attempt, as the application saw them: ns of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttemptTimings {
    /// When the attempt began.
    pub asked_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What the network or TLS library said, if they failed.
    pub error: Option<String>,
    /// Port that it is sent to; behind a proxy not that of the socket.
    pub port: Option<u16>,
    /// Whether over TLS.
    pub tls: bool,
    /// Addresses that the name stands for, or the address in the URL. Empty before they are known.
    pub addresses: Vec<IpAddr>,
    /// The name was being resolved: from, and to unless that failed.
    pub dns_ns: Option<(u64, Option<u64>)>,
    /// A connection was asked for.
    pub connecting_ns: Option<u64>,
    /// Asking for it ended; with a connection, an error, or by being dropped.
    pub connected_ns: Option<u64>,
    /// The first polls of the connect: its system calls happen in these alone.
    pub connect_polls: Vec<ConnectPoll>,
    /// A connection took the request's body, to write it at once.
    pub body_taken_ns: Option<u64>,
    /// The thread on which it did.
    pub body_taken_by: u32,
    /// The response's head was read.
    pub answered_ns: Option<u64>,
    /// Local and remote address, once it was.
    pub sockets: Option<(SocketAddr, SocketAddr)>,
    /// HTTP status, once it was.
    pub status: Option<u16>,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub http: Option<HttpVersion>,
    /// The provider's own name for the request.
    pub request_id: Option<String>,
    /// The first reads of the body, with their lengths: [`MAX_READS`] at most.
    pub reads: Vec<(u64, u64)>,
    /// How many there were.
    pub reads_total: u64,
    /// How much they took.
    pub body_bytes: u64,
    /// The last of them.
    pub last_read_ns: Option<u64>,
    /// The body was read to its end: nothing more can come of this exchange.
    pub body_ended: bool,
    /// First content.
    pub first_content_ns: Option<u64>,
}

/// One turn of connecting, on one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectPoll {
    /// When it began.
    pub from_ns: u64,
    /// When it ended.
    pub to_ns: u64,
    /// On which thread.
    pub thread: u32,
}

impl AttemptTimings {
    /// The timings of an attempt that began then; nothing else is known yet.
    pub(crate) fn at(asked_ns: u64) -> Self {
        Self {
            asked_ns,
            ended_ns: 0,
            outcome: Outcome::Failed(ErrorKind::Cancelled),
            error: None,
            port: None,
            tls: false,
            addresses: Vec::new(),
            dns_ns: None,
            connecting_ns: None,
            connected_ns: None,
            connect_polls: Vec::new(),
            body_taken_ns: None,
            body_taken_by: 0,
            answered_ns: None,
            sockets: None,
            status: None,
            http: None,
            request_id: None,
            reads: Vec::new(),
            reads_total: 0,
            body_bytes: 0,
            last_read_ns: None,
            body_ended: false,
            first_content_ns: None,
        }
    }
}

tokio::task_local! {
    /// The attempt that the current poll works for. The HTTP client hands nothing of a request on to
    /// its resolver and connector but the name, so this is how they find it.
    static CURRENT: AttemptRecorder;
}

/// Records one attempt's [`AttemptTimings`] from wherever they are taken. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct AttemptRecorder {
    call_id: Option<NonZeroU64>,
    timings: Arc<Mutex<AttemptTimings>>,
}

impl AttemptRecorder {
    /// An attempt of this call that begins now.
    pub fn begin(call_id: Option<NonZeroU64>) -> Self {
        let timings = Arc::new(Mutex::new(AttemptTimings::at(monotonic_ns())));
        Self { call_id, timings }
    }

    /// The number of the attempt's call, for the log; `None` if calls are not reported.
    pub fn call_id(&self) -> Option<NonZeroU64> {
        self.call_id
    }

    /// The attempt that the current poll works for.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs `work` so that within it this is [`AttemptRecorder::current`].
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), work)
    }

    /// Where the request will go.
    pub fn sent_to(&self, url: &Url) {
        self.record(|timings, _| {
            timings.port = url.port_or_known_default();
            timings.tls = url.scheme() == "https";
            let host = url.host_str().unwrap_or_default();
            timings.addresses.extend(host.trim_matches(['[', ']']).parse::<IpAddr>());
        });
    }

    pub fn resolving(&self) {
        self.record(|timings, now_ns| timings.dns_ns = Some((now_ns, None)));
    }

    pub fn resolved(&self, addresses: impl Iterator<Item = SocketAddr>) {
        self.record(|timings, now_ns| {
            if let Some((_, to_ns)) = &mut timings.dns_ns {
                *to_ns = Some(now_ns);
            }
            timings.addresses = addresses.map(|address| address.ip()).take(MAX_ADDRESSES).collect();
        });
    }

    /// Records the polls that make a connection, and when that ends.
    pub fn connecting<F: Future>(&self, connect: F) -> impl Future<Output = F::Output> + use<F> {
        self.record(|timings, now_ns| timings.connecting_ns = Some(now_ns));
        let connecting = Connecting(self.clone());
        let recorder = self.clone();
        let mut connect = Box::pin(self.scope(connect));
        std::future::poll_fn(move |context| {
            let _ends_when_dropped = &connecting;
            let from_ns = monotonic_ns();
            let polled: std::task::Poll<F::Output> = Pin::new(&mut connect).poll(context);
            recorder.record(|timings, to_ns| {
                if timings.connect_polls.len() < MAX_POLLS {
                    let thread = thread_id();
                    timings.connect_polls.push(ConnectPoll { from_ns, to_ns, thread });
                }
                if polled.is_ready() {
                    timings.connected_ns.get_or_insert(to_ns);
                }
            });
            polled
        })
    }

    pub fn body_taken(&self) {
        self.record(|timings, now_ns| {
            timings.body_taken_ns = Some(now_ns);
            timings.body_taken_by = thread_id();
        });
    }

    pub fn answered(&self, response: &Response) {
        self.record(|timings, now_ns| {
            timings.answered_ns = Some(now_ns);
            timings.status = Some(response.status().as_u16());
            timings.http = HttpVersion::of(response.version());
            timings.request_id = request_id(response.headers());
            let socket = response.extensions().get::<HttpInfo>();
            timings.sockets = socket.map(|socket| (socket.local_addr(), socket.remote_addr()));
        });
    }

    pub fn read(&self, bytes: usize) {
        self.record(|timings, now_ns| {
            if timings.reads.len() < MAX_READS {
                timings.reads.push((now_ns, bytes as u64));
            }
            timings.reads_total += 1;
            timings.body_bytes += bytes as u64;
            timings.last_read_ns = Some(now_ns);
        });
    }

    pub fn body_ended(&self) {
        self.record(|timings, now_ns| {
            timings.last_read_ns = Some(now_ns);
            timings.body_ended = true;
        });
    }

    pub fn first_content(&self) {
        self.record(|timings, now_ns| timings.first_content_ns = Some(now_ns));
    }

    pub fn failed(&self, error: &ProviderError) {
        self.record(|timings, _| timings.error.clone_from(&error.cause));
    }

    pub fn ended(&self, outcome: Outcome) {
        self.record(|timings, now_ns| {
            timings.ended_ns = now_ns;
            timings.outcome = outcome;
        });
    }

    /// What is recorded so far.
    pub fn timings(&self) -> AttemptTimings {
        self.timings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lock is never held across an await, and only by this attempt's own tasks.
    fn record(&self, set: impl FnOnce(&mut AttemptTimings, u64)) {
        let now_ns = monotonic_ns();
        set(&mut self.timings.lock().unwrap_or_else(PoisonError::into_inner), now_ns);
    }
}

/// A connect under way; a timeout ends it by dropping it.
struct Connecting(AttemptRecorder);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.record(|timings, now_ns| {
            timings.connected_ns.get_or_insert(now_ns);
        });
    }
}

/// The provider's request id, if it is printable ASCII of bounded length, since it is shown to people.
fn request_id(headers: &HeaderMap) -> Option<String> {
    let value = REQUEST_IDS.iter().find_map(|name| headers.get(*name))?.to_str().ok()?;
    let fits = value.len() <= MAX_REQUEST_ID_BYTES && value.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| value.to_owned())
}
