//! What a wire protocol has to provide. Implementations are pure: bytes in, bytes out.

use reqwest::header::HeaderMap;
use serde_json::Value;

use super::{Completion, Prompt, Usage};
use crate::provider::{ApiKey, Fault, ProviderSetupError};

/// A provider's protocol: requests and errors.
pub(crate) trait Wire: Send + Sync {
    /// The path below the base URL, with its leading slash.
    fn path(&self) -> &'static str;

    /// The headers of every request, with the key if there is one.
    ///
    /// # Errors
    /// If the key cannot be sent in a header.
    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ProviderSetupError>;

    /// The JSON body that asks for a streamed answer.
    fn body(&self, model: &str, prompt: &Prompt) -> Value;

    /// What the body of an answer other than HTTP 200 says.
    fn fault(&self, body: &[u8]) -> Fault;

    /// A decoder for one answer.
    fn decoder(&self) -> Box<dyn Decoder>;
}

/// Turns the events of one answer into text and an end.
pub(crate) trait Decoder: Send {
    /// Takes the data of the next server-sent event.
    ///
    /// # Errors
    /// An error that the provider reports in the stream, or data outside the protocol. Events of
    /// unknown types are not errors.
    fn step(&mut self, data: &str) -> Result<Step, Fault>;

    /// The tokens told so far; right also for an answer that breaks off.
    fn usage(&self) -> Usage;
}

/// What one event meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing for the caller: a ping, a role marker, usage, an unknown type.
    Nothing,
    /// Text, not empty.
    Text(String),
    /// The answer is complete.
    Done(Completion),
}
