//! What every provider client shares, whatever its wire protocol: the HTTP client, the error
//! kinds, and the one place where retries and timeouts are decided.
//!
//! * [`HttpConfig`] and [`http_client`] build the one connection pool of the process.
//! * `admission` limits the calls in flight and has a circuit breaker: [`BreakerConfig`].
//! * [`RetryPolicy`] and [`Timeouts`] say how long and how often a call is tried.
//! * [`ProviderName`] is what a provider is called everywhere.
//! * [`ProviderError`] is how a call fails, [`ProviderSetupError`] how a configuration fails.
//! * `call` runs attempts, `report` tells the metrics of them, `exchange` is one request and its
//!   response body, `events` are the server-sent events in one. They are used by `llm` and `tts` only,
//!   but for `events`, which `terminal` reads too.
//! * `fallback` says what a list of providers to ask one after the other may look like; `openai` is
//!   what the protocols of OpenAI have in common.
//! * `attempt_timings` records when things happen in an attempt, also inside the HTTP client
//!   (`connecting`, `request_body`); `reporter` sends finished calls to the module `calls`.

pub(crate) mod admission;
mod advice;
pub(crate) mod attempt_timings;
mod breaker;
pub(crate) mod call;
mod connecting;
mod error;
pub(crate) mod events;
pub(crate) mod exchange;
pub(crate) mod fallback;
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
mod reported_error;
mod reporter;
pub(crate) mod request_body;
mod retry;
pub(crate) mod seconds;
mod setup;
mod timeouts;

pub use admission::AdmissionMetrics;
pub(crate) use advice::RetryAdvice;
pub use attempt_timings::{AttemptTimings, ConnectPoll, MAX_READS};
pub use breaker::BreakerConfig;
pub use error::ProviderError;
pub use fallback::BadFallback;
pub(crate) use http::base_url;
pub use http::{HttpConfig, http_client};
pub use http_version::HttpVersion;
pub use key::ApiKey;
pub use kind::ErrorKind;
pub use name::ProviderName;
pub use outcome::{CallKind, Outcome};
pub use reported_error::ErrorCode;
pub(crate) use reported_error::ReportedError;
pub(crate) use reporter::Reporter;
pub use reporter::{CallIds, CallReport, CallReports};
pub use retry::RetryPolicy;
pub use setup::ProviderSetupError;
pub use timeouts::Timeouts;
