//! What a wire protocol has to provide. Implementations are pure: bytes in, bytes out.

use reqwest::{Url, header::HeaderMap};
use serde_json::Value;

use super::AudioFormat;
use crate::provider::{ApiKey, ProviderSetupError, ReportedError};

/// What is asked of a provider, whatever its protocol.
pub(crate) struct Request<'a> {
    pub model: &'a str,
    /// The voice as this provider knows it.
    pub voice: &'a str,
    pub text: &'a str,
    /// What was said right before; empty at the beginning.
    pub said_before: &'a str,
    pub format: AudioFormat,
}

/// A speech provider's protocol. Its answer is the audio itself, so there is nothing to decode.
pub(crate) trait Wire: Send + Sync {
    /// Whether the audio can be asked for in this format.
    ///
    /// # Errors
    /// [`ProviderSetupError::UnavailableFormat`], with what there is instead.
    fn check_format(&self, format: AudioFormat) -> Result<(), ProviderSetupError>;

    /// The headers of every request, with the key if there is one.
    ///
    /// # Errors
    /// If the key cannot be sent in a header.
    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ProviderSetupError>;

    /// The URL for one speech, below the configured base URL.
    fn url(&self, base: &Url, request: &Request<'_>) -> Url;

    /// The JSON body for one speech.
    fn body(&self, request: &Request<'_>) -> Value;

    /// What the body of an answer says that is no audio.
    fn parse_error(&self, body: &[u8]) -> ReportedError;
}
