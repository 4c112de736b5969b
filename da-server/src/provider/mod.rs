//! What every provider client shares, whatever its wire protocol: the HTTP client, the error
//! kinds, and the one place where retries and timeouts are decided.
//!
//! * [`HttpConfig`] and [`http_client`] build the one connection pool of the process.
//! * `gate` limits the calls in flight and leaves a provider alone that fails again and again:
//!   [`BreakerConfig`].
//! * [`RetryPolicy`] and [`Timeouts`] say how long and how often a call is tried.
//! * [`ProviderName`] is what a provider is called everywhere.
//! * [`ProviderError`] is how a call fails, [`ProviderSetupError`] how a configuration fails.
//! * `call` runs attempts, `report` tells the metrics of them, `exchange` is one request and its
//!   response body, `events` are the server-sent events in one. They are used by `llm` and `tts` only,
//!   but for `events`, which `terminal` reads too.
//! * `fallback` says what a list of providers to ask one after the other may look like; `openai` is
//!   what the protocols of OpenAI have in common.
//! * `span` notes when things happen in an attempt, also in the client's depths (`connecting`,
//!   `request_body`); `reporter` hands finished calls on to whoever looks into them.

mod advice;
mod breaker;
pub(crate) mod call;
mod connecting;
mod error;
pub(crate) mod events;
pub(crate) mod exchange;
pub(crate) mod fallback;
mod fault;
pub(crate) mod gate;
mod http;
mod http_version;
mod key;
mod kind;
mod name;
pub(crate) mod openai;
pub(crate) mod outcome;
mod pace;
pub(crate) mod rate_limit;
pub(crate) mod report;
mod reporter;
pub(crate) mod request_body;
mod retry;
pub(crate) mod seconds;
mod setup;
pub(crate) mod span;
mod timeouts;

pub(crate) use advice::RetryAdvice;
pub use breaker::BreakerConfig;
pub use error::ProviderError;
pub use fallback::BadFallback;
pub use fault::ErrorCode;
pub(crate) use fault::Fault;
pub use gate::GateMetrics;
pub(crate) use http::base_url;
pub use http::{HttpConfig, http_client};
pub use http_version::HttpVersion;
pub use key::ApiKey;
pub use kind::ErrorKind;
pub use name::ProviderName;
pub use outcome::{CallKind, Outcome};
pub(crate) use reporter::Reporter;
pub use reporter::{CallReport, CallReports};
pub use retry::RetryPolicy;
pub use setup::ProviderSetupError;
pub use span::{ConnectPoll, MAX_READS, Marks};
pub use timeouts::Timeouts;
