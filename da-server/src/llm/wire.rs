//! What a wire protocol has to provide. Implementations are pure: bytes in, bytes out.

use reqwest::{Url, header::HeaderMap};
use serde_json::Value;

use super::{
    Completion, Message, Usage,
    parameter::{Parameter, Refused},
};
use crate::provider::{ApiKey, ProviderSetupError, ReportedError};

/// A provider's protocol: requests and errors.
pub(crate) trait Wire: Send + Sync {
    /// Where answers of `model` are asked for.
    fn url(&self, base: &Url, model: &str) -> Url;

    /// The headers of every request, with the key if there is one.
    ///
    /// # Errors
    /// If the key cannot be sent in a header.
    fn headers(&self, key: Option<&ApiKey>) -> Result<HeaderMap, ProviderSetupError>;

    /// The JSON body that asks for a streamed answer.
    fn body(&self, request: &Request<'_>) -> Value;

    /// The parameters that a request can do without, where a server refuses them.
    fn optional(&self) -> &'static [Parameter];

    /// What the body of an answer other than HTTP 200 says.
    fn parse_error(&self, body: &[u8]) -> ReportedError;

    /// The data of the events that a streamed answer would have had in place of this `whole` one; `None`
    /// if it is no answer.
    fn events(&self, whole: Value) -> Option<Vec<String>>;

    /// A decoder for one answer.
    fn decoder(&self) -> Box<dyn Decoder>;
}

/// The URL of a path below another one's. No segment can leave its place.
pub(super) fn below<'a>(base: &Url, segments: impl IntoIterator<Item = &'a str>) -> Url {
    let mut url = base.clone();
    // Fails only for URLs such as `mailto:`, which are no base URLs.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// What is asked, and what must be left out of it.
pub(crate) struct Request<'a> {
    pub model: &'a str,
    /// Left out if empty.
    pub system: &'a str,
    pub messages: &'a [Message],
    /// Left out unless somebody asked for it.
    pub temperature: Option<f64>,
    pub max_tokens: u32,
    pub refused: Refused,
}

/// Turns the events of one answer into text and an end.
pub(crate) trait Decoder: Send {
    /// Takes the data of the next server-sent event.
    ///
    /// # Errors
    /// An error that the provider reports in the stream, or data outside the protocol. Events of
    /// unknown types are not errors.
    fn step(&mut self, data: &str) -> Result<Step, ReportedError>;

    /// How the answer ended, once the model has said that it does: what comes after that can't make
    /// it incomplete any more.
    fn completion(&self) -> Option<Completion>;

    /// The tokens told so far; right also for an answer that breaks off.
    fn usage(&self) -> Usage;
}

/// What one event meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing for the caller: a ping, a role marker, usage, an unknown type.
    Nothing,
    /// The model has said why it stops, and nothing else.
    Stop,
    /// The model thinks: a sign of life, and nothing that anybody is shown.
    Thought,
    /// Text, not empty.
    Text(String),
    /// The answer is complete.
    Done(Completion),
}
