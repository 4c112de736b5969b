//! From the bytes of a response to the pieces of an answer.

use bytes::Bytes;
use eventsource_stream::{EventStreamError, Eventsource};
use futures_util::{Stream, StreamExt, stream};

use super::{
    LlmError, LlmEvent,
    metrics::ModelMetrics,
    wire::{Decoder, Step},
};
use crate::provider::{ErrorKind, exchange};

/// No protocol has lines this long. Without a limit, a line that never ends would be scanned anew
/// with every chunk.
const MAX_LINE_BYTES: usize = 256 * 1024;

/// A decoder whose tokens are counted when the answer is over, however it ends.
pub(super) struct Tally {
    decoder: Box<dyn Decoder>,
    metrics: ModelMetrics,
}

impl Tally {
    pub(super) fn new(decoder: Box<dyn Decoder>, metrics: ModelMetrics) -> Self {
        Self { decoder, metrics }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.metrics.count_tokens(&self.decoder.usage());
    }
}

/// The pieces of the answer in `body`: text, then [`LlmEvent::Done`] or an error. A body that ends
/// before the protocol's own end is an error, whatever came before.
pub(super) fn answer(
    provider: &'static str,
    body: impl Stream<Item = Result<Bytes, LlmError>> + Send,
    tally: Tally,
) -> impl Stream<Item = Result<LlmEvent, LlmError>> + Send {
    // eventsource-stream 0.2.3 panics on a byte-order mark at the very start of a stream. An
    // empty line in front means nothing and keeps the mark out of that place.
    let start = stream::iter([Ok(Bytes::from_static(b"\n"))]);
    let body = with_line_limit(provider, body);
    let events = Box::pin(start.chain(body).eventsource());
    stream::unfold(Some((events, tally)), move |state| async move {
        let (mut events, mut tally) = state?;
        let failed = |error| Some((Err(error), None));
        loop {
            let event = match events.next().await {
                Some(Ok(event)) => event,
                Some(Err(EventStreamError::Transport(error))) => return failed(error),
                Some(Err(EventStreamError::Parser(_))) => {
                    return failed(LlmError::new(provider, ErrorKind::Protocol));
                }
                // `Utf8` comes only at the end of the body: it was cut inside a character.
                Some(Err(EventStreamError::Utf8(_))) | None => {
                    return failed(LlmError::new(provider, ErrorKind::Interrupted));
                }
            };
            match tally.decoder.step(&event.data) {
                Ok(Step::Nothing) => {}
                Ok(Step::Text(text)) => {
                    return Some((Ok(LlmEvent::Text(text)), Some((events, tally))));
                }
                Ok(Step::Done(completion)) => {
                    exchange::drain(&mut events).await;
                    return Some((Ok(LlmEvent::Done(completion)), None));
                }
                Err(fault) => return failed(LlmError::in_stream(provider, fault)),
            }
        }
    })
}

/// The same body, but an error in place of the chunk that makes a line too long.
fn with_line_limit(
    provider: &'static str,
    body: impl Stream<Item = Result<Bytes, LlmError>> + Send,
) -> impl Stream<Item = Result<Bytes, LlmError>> + Send {
    let mut line_bytes = 0;
    body.map(move |chunk| {
        let chunk = chunk?;
        line_bytes = match chunk.iter().rposition(|byte| matches!(byte, b'\n' | b'\r')) {
            Some(end) => chunk.len() - end - 1,
            None => line_bytes + chunk.len(),
        };
        if line_bytes > MAX_LINE_BYTES {
            return Err(LlmError::new(provider, ErrorKind::Protocol));
        }
        Ok(chunk)
    })
}

#[cfg(test)]
mod tests;
