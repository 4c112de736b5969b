//! What every provider client shares, whatever its wire protocol: the HTTP client, the error
//! kinds, and the one place where retries and timeouts are decided.
//!
//! * [`HttpConfig`] and [`http_client`] build the one connection pool of the process.
//! * [`RetryPolicy`] and [`Timeouts`] say how long and how often a call is tried.
//! * [`ProviderError`] is how a call fails, [`ProviderSetupError`] how a configuration fails.
//! * `call` runs attempts, `report` tells the metrics of them, `exchange` is one request and its
//!   response body. They are used by `llm` and `tts` only.

pub(crate) mod call;
mod error;
pub(crate) mod exchange;
mod fault;
mod http;
mod key;
mod kind;
pub(crate) mod report;
mod retry;
pub(crate) mod seconds;
mod setup;
mod timeouts;

pub use error::ProviderError;
pub use fault::ErrorCode;
pub(crate) use fault::Fault;
pub(crate) use http::base_url;
pub use http::{HttpConfig, http_client};
pub use key::ApiKey;
pub use kind::ErrorKind;
pub use report::{CallKind, Outcome};
pub(crate) use retry::RetryAdvice;
pub use retry::RetryPolicy;
pub use setup::ProviderSetupError;
pub use timeouts::Timeouts;
