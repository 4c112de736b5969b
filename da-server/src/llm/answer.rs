//! From the bytes of a response to the parts of an answer.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::{
    Completion, LlmError, LlmEvent, StopReason,
    event::Part,
    metrics::ModelMetrics,
    thought::{Said, ThoughtFilter, Unopened},
    wire::{Decoder, Step},
};
use crate::provider::{
    ErrorKind, ProviderName, ReportedError,
    events::{Event, EventError, events},
    exchange,
};

/// No protocol has lines or events this long.
const MAX_LINE_BYTES: usize = 256 * 1024;

/// The widest that a token of text is on average, with a margin: words of any language have
/// two to six bytes a token.
const MAX_TOKEN_BYTES: usize = 16;
/// What a short answer may have beyond that.
const SLACK_BYTES: usize = 4 * 1024;

/// How much text an answer of `max_tokens` can have. A server that sends more does not keep to the
/// limit: the answer ends there, with an error.
pub(super) fn max_text_bytes(max_tokens: u32) -> usize {
    usize::try_from(max_tokens).unwrap_or(usize::MAX).saturating_mul(MAX_TOKEN_BYTES) + SLACK_BYTES
}

/// A decoder whose tokens are counted when it is dropped, however the answer ends.
pub(super) struct CountingDecoder {
    inner: Box<dyn Decoder>,
    metrics: ModelMetrics,
}

impl CountingDecoder {
    pub(super) fn new(inner: Box<dyn Decoder>, metrics: ModelMetrics) -> Self {
        Self { inner, metrics }
    }
}

impl Drop for CountingDecoder {
    fn drop(&mut self) {
        self.metrics.count_tokens(&self.inner.usage());
    }
}

/// Why an answer has no more parts.
pub(super) enum Broken {
    /// The call failed.
    Failed(LlmError),
    /// The provider reported an error in place of an answer, in these words, which may quote the prompt.
    Refused { reported: ReportedError, words: String },
}

impl From<LlmError> for Broken {
    fn from(error: LlmError) -> Self {
        Self::Failed(error)
    }
}

/// How long an answer may pause after text that came with a reason to stop. A player waits this long for the
/// end where the server then keeps the connection open and sends nothing.
const TEXT_AFTER_STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// The parts of the answer in `body`, of a model whose thought may be `unopened`: thought and text,
/// [`LlmEvent::Complete`] if there was text, then [`LlmEvent::Done`] or an error.
///
/// It is complete when the protocol's own end comes, or the body ends after the model has said why
/// it stops. From that reason on nothing makes it incomplete. A reason that comes alone ends the text
/// at once, and the rest is waited for only for a while: the tokens are told in it. One that comes with
/// text ends nothing at once, since some servers write one into every chunk: more may come for a while.
/// Neither does one before the first word. A body that ends before any is an error, whatever came.
pub(super) fn answer(
    provider: ProviderName,
    body: impl Stream<Item = Result<Bytes, LlmError>> + Send,
    decoder: CountingDecoder,
    unopened: Unopened,
    max_text_bytes: usize,
) -> impl Stream<Item = Result<Part, Broken>> + Send {
    let reading = Reading {
        provider,
        events: Box::pin(events(body, MAX_LINE_BYTES).fuse()),
        decoder,
        filter: ThoughtFilter::new(unopened, max_text_bytes),
        has_text: false,
        text_sent: false,
        at_first_word: true,
        text_bytes_left: max_text_bytes,
        max_text_bytes,
        text: Text::Coming,
        more_until: Instant::now(),
        drain_deadline: None,
        end: None,
    };
    stream::unfold(Some(reading), Reading::next)
}

/// How far the text of an answer is.
#[derive(PartialEq)]
enum Text {
    Coming,
    /// All of it has come.
    Over,
    /// The caller knows that.
    Told,
}

struct Reading<S> {
    provider: ProviderName,
    events: S,
    decoder: CountingDecoder,
    filter: ThoughtFilter,
    /// The model sent text, if only of its thoughts.
    has_text: bool,
    /// The caller got text.
    text_sent: bool,
    /// The caller has no text, or it was taken back.
    at_first_word: bool,
    /// How much more text the answer may have.
    text_bytes_left: usize,
    max_text_bytes: usize,
    text: Text,
    /// Until when more text is waited for once the model has said with text why it stops.
    more_until: Instant,
    /// Until when a complete answer is read on for its tokens.
    drain_deadline: Option<Instant>,
    /// How the answer ends, once that is known.
    end: Option<Result<Completion, Broken>>,
}

impl<S: Stream<Item = Result<Event, EventError<LlmError>>> + Unpin> Reading<S> {
    async fn next(reading: Option<Self>) -> Option<(Result<Part, Broken>, Option<Self>)> {
        let mut reading = reading?;
        loop {
            if let Some(part) = reading.end_of_text() {
                return Some((Ok(part), Some(reading)));
            }
            if let Some(end) = reading.end.take() {
                return Some((reading.last(end).await, None));
            }
            let part = match reading.step().await {
                Ok(Step::Nothing) => None,
                Ok(Step::Stop) => {
                    if reading.text == Text::Coming && reading.has_text {
                        reading.text = Text::Over;
                    }
                    None
                }
                Ok(Step::Thought) => Some(Part::Thought),
                Ok(Step::Text(_)) if reading.text != Text::Coming => None,
                Ok(Step::Text(text)) => {
                    reading.has_text |= !text.trim().is_empty();
                    reading.more_until = Instant::now() + TEXT_AFTER_STOP_TIMEOUT;
                    let Said { taken_back, text } = reading.filter.said(&text);
                    let part = if taken_back {
                        Some(reading.say_instead(text))
                    } else {
                        reading.say(text)
                    };
                    Some(part.unwrap_or(Part::Thought))
                }
                Ok(Step::Done(completion)) => {
                    reading.finish(Ok(completion));
                    None
                }
                Err(broken) => {
                    let completion = reading.decoder.inner.completion();
                    reading.finish(completion.ok_or(broken));
                    None
                }
            };
            if let Some(part) = part {
                return Some((Ok(part), Some(reading)));
            }
        }
    }

    async fn step(&mut self) -> Result<Step, Broken> {
        let provider = self.provider.clone();
        let failed = |kind| Broken::Failed(LlmError::new(&provider, kind));
        let event = if !self.text_sent {
            self.events.next().await
        } else if self.text != Text::Coming {
            let until = self.drain_deadline();
            let rest = timeout_at(until, self.events.next()).await;
            rest.map_err(|_elapsed| failed(ErrorKind::Interrupted))?
        } else if self.decoder.inner.completion().is_some() {
            match timeout_at(self.more_until, self.events.next()).await {
                Ok(event) => event,
                Err(_elapsed) => return Ok(Step::Stop),
            }
        } else {
            self.events.next().await
        };
        let event = match event {
            Some(Ok(event)) => event,
            Some(Err(EventError::Body(error))) => return Err(error.into()),
            Some(Err(EventError::TooLong)) => return Err(failed(ErrorKind::Protocol)),
            None => return Err(failed(ErrorKind::Interrupted)),
        };
        self.decoder.inner.step(&event.data).map_err(|reported| match reported {
            // The end of the body cut this event, so it is no violation of the protocol.
            ReportedError::PROTOCOL if !event.whole => failed(ErrorKind::Interrupted),
            reported if self.text_sent || reported == ReportedError::PROTOCOL => {
                Broken::Failed(LlmError::in_stream(&provider, reported))
            }
            reported => Broken::Refused { reported, words: event.data },
        })
    }

    /// Until when a complete answer is read on for its tokens, and so that the connection can carry the
    /// next call.
    fn drain_deadline(&mut self) -> Instant {
        *self.drain_deadline.get_or_insert_with(|| Instant::now() + exchange::DRAIN_TIMEOUT)
    }

    /// Whether the answer ends where the model wanted it to.
    fn is_whole(&self) -> bool {
        let end = match &self.end {
            Some(end) => end.as_ref().ok().copied(),
            None => self.decoder.inner.completion(),
        };
        end.is_some_and(|end| end.stop_reason != StopReason::MaxTokens)
    }

    /// What is still to be handed over once all text has come: what the filter has held back, and that
    /// this is all of it.
    fn end_of_text(&mut self) -> Option<Part> {
        if self.text != Text::Over {
            return None;
        }
        let is_whole = self.is_whole();
        let rest = self.filter.end(is_whole);
        if let Some(rest) = self.say(rest) {
            return Some(rest);
        }
        self.text = Text::Told;
        let is_broken = matches!(self.end, Some(Err(_)));
        (self.text_sent && !is_broken).then_some(Part::Event(LlmEvent::Complete))
    }

    async fn last(&mut self, end: Result<Completion, Broken>) -> Result<Part, Broken> {
        let completion = end?;
        let until = self.drain_deadline();
        let reading_on = async { while self.events.next().await.is_some() {} };
        // A server that keeps it open loses the connection, not the answer.
        let _gave_up = timeout_at(until, reading_on).await;
        Ok(Part::Event(LlmEvent::Done(completion)))
    }

    /// Text for the caller.
    fn say(&mut self, text: String) -> Option<Part> {
        let text = self.bounded(text);
        (!text.is_empty()).then_some(Part::Event(LlmEvent::Text(text)))
    }

    /// Text that replaces what the caller has.
    fn say_instead(&mut self, text: String) -> Part {
        (self.at_first_word, self.text_bytes_left) = (true, self.max_text_bytes);
        Part::Event(LlmEvent::Instead(self.bounded(text)))
    }

    /// The text, cut to the limit. Blanks before the first word are left out, so that an answer of nothing
    /// else is empty.
    fn bounded(&mut self, mut text: String) -> String {
        if self.at_first_word {
            text = text.trim_start().to_owned();
        }
        if text.is_empty() {
            return text;
        }
        (self.text_sent, self.at_first_word) = (true, false);
        if text.len() > self.text_bytes_left {
            text.truncate(text.floor_char_boundary(self.text_bytes_left));
            self.end = Some(Err(LlmError::new(&self.provider, ErrorKind::Protocol).into()));
        }
        self.text_bytes_left -= text.len();
        text
    }

    /// The answer is over, and so is its text.
    fn finish(&mut self, end: Result<Completion, Broken>) {
        self.end = Some(end);
        if self.text == Text::Coming {
            self.text = Text::Over;
        }
    }
}

#[cfg(test)]
mod tests;
