//! Whole answers where streamed ones were asked for: some servers and gateways have no other.

use bytes::Bytes;
use futures_util::Stream;
use serde_json::Value;

use super::{LlmError, answer::Broken, wire::Wire};
use crate::provider::{ErrorKind, ProviderName, ReportedError, exchange};

/// No answer of a character is as long in JSON.
pub(super) const MAX_WHOLE_BYTES: usize = 256 * 1024;

/// The `body` of JSON as that of a streamed answer, so that it is read like one.
pub(super) async fn streamed(
    provider: &ProviderName,
    wire: &dyn Wire,
    body: impl Stream<Item = Result<Bytes, LlmError>> + Send,
) -> Result<Bytes, Broken> {
    let (words, broken) = exchange::json_body(body).await;
    match (wire.parse_error(&words), broken) {
        (ReportedError::UNKNOWN, Some(error)) => return Err(error.into()),
        (ReportedError::UNKNOWN, None) => {}
        (reported, _) => {
            let words = String::from_utf8_lossy(&words).into_owned();
            return Err(Broken::Refused { reported, words });
        }
    }
    let whole: Value = serde_json::from_slice(&words).unwrap_or_default();
    match wire.events(whole) {
        Some(events) => {
            Ok(events.iter().map(|data| format!("data: {data}\n\n")).collect::<String>().into())
        }
        None => Err(LlmError::new(provider, ErrorKind::Protocol).into()),
    }
}
