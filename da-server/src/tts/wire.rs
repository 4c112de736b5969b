//! What a wire protocol has to provide. Implementations are pure: bytes in, bytes out.

use reqwest::{Url, header::HeaderMap};
use serde_json::Value;

use super::{AudioFormat, Speech};
use crate::provider::{ApiKey, Fault, ProviderSetupError};

/// A speech provider's protocol. Its answer is the audio itself, so there is nothing to decode.
pub(crate) trait Wire: Send + Sync {
    /// The headers of every request, with the key if there is one.
    ///
    /// # Errors
    /// If the key cannot be sent in a header.
    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ProviderSetupError>;

    /// The URL for one speech, below the configured base URL.
    fn url(&self, base: &Url, format: &AudioFormat, speech: &Speech) -> Url;

    /// The JSON body for one speech.
    fn body(&self, model: &str, speech: &Speech) -> Value;

    /// What the body of an answer other than HTTP 200 says.
    fn fault(&self, body: &[u8]) -> Fault;
}
