//! From the bytes of a response to the pieces of an answer.

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
    ErrorKind, Fault, ProviderName,
    events::{Event, EventError, events},
    exchange,
};

/// No protocol has lines or events this long.
const MAX_LINE_BYTES: usize = 256 * 1024;

/// The widest that a token of text is on average, with room to spare: words of any language have
/// two to six bytes a token.
const TOKEN_BYTES: usize = 16;
/// What an answer may have beyond that, for those of few tokens.
const SLACK_BYTES: usize = 4 * 1024;

/// How much text an answer of so many tokens can have. One that has more comes from a server that
/// does not keep to what was asked: it ends there, as an error.
pub(super) fn max_text_bytes(max_tokens: u32) -> usize {
    usize::try_from(max_tokens).unwrap_or(usize::MAX).saturating_mul(TOKEN_BYTES) + SLACK_BYTES
}

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

/// Why an answer has no more parts.
pub(super) enum Broken {
    /// It failed like this.
    Failed(LlmError),
    /// The provider reported an error in place of an answer, in these words, which may quote the prompt.
    Refused { fault: Fault, words: String },
}

impl From<LlmError> for Broken {
    fn from(error: LlmError) -> Self {
        Self::Failed(error)
    }
}

/// How long an answer may pause after text that came with a reason to stop. A player waits so long for its end
/// where the server then keeps the connection open and says nothing.
const MORE_TEXT_WITHIN: Duration = Duration::from_secs(3);

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
    tally: Tally,
    unopened: Unopened,
    max_text_bytes: usize,
) -> impl Stream<Item = Result<Part, Broken>> + Send {
    let reading = Reading {
        provider,
        events: Box::pin(events(body, MAX_LINE_BYTES).fuse()),
        tally,
        filter: ThoughtFilter::new(unopened, max_text_bytes),
        heard: false,
        begun: false,
        at_first_word: true,
        room: max_text_bytes,
        max_text_bytes,
        text: Text::Coming,
        more_until: Instant::now(),
        patience: None,
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
    /// And the caller knows.
    Told,
}

struct Reading<S> {
    provider: ProviderName,
    events: S,
    tally: Tally,
    filter: ThoughtFilter,
    /// There was text from the model, if only of its thoughts.
    heard: bool,
    /// There was text for the caller.
    begun: bool,
    /// Nothing was said, or it was taken back.
    at_first_word: bool,
    /// How much more text there may be.
    room: usize,
    max_text_bytes: usize,
    text: Text,
    /// Until when more text is waited for once the model has said with text why it stops.
    more_until: Instant,
    /// Until when the rest of an answer is waited for that is complete but for its tokens.
    patience: Option<Instant>,
    /// What comes next is the end.
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
                    if reading.text == Text::Coming && reading.heard {
                        reading.text = Text::Over;
                    }
                    None
                }
                Ok(Step::Thought) => Some(Part::Thought),
                Ok(Step::Text(_)) if reading.text != Text::Coming => None,
                Ok(Step::Text(text)) => {
                    reading.heard |= !text.trim().is_empty();
                    reading.more_until = Instant::now() + MORE_TEXT_WITHIN;
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
                    let completion = reading.tally.decoder.completion();
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
        let event = if !self.begun {
            self.events.next().await
        } else if self.text != Text::Coming {
            let until = self.until();
            let rest = timeout_at(until, self.events.next()).await;
            rest.map_err(|_elapsed| failed(ErrorKind::Interrupted))?
        } else if self.tally.decoder.completion().is_some() {
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
        self.tally.decoder.step(&event.data).map_err(|fault| match fault {
            // What the end of the body has torn is not to be blamed for making no sense.
            Fault::PROTOCOL if !event.whole => failed(ErrorKind::Interrupted),
            fault if self.begun || fault == Fault::PROTOCOL => {
                Broken::Failed(LlmError::in_stream(&provider, fault))
            }
            fault => Broken::Refused { fault, words: event.data },
        })
    }

    /// Until when a complete answer is read on for its tokens, and so that the connection can carry the
    /// next call.
    fn until(&mut self) -> Instant {
        *self.patience.get_or_insert_with(|| Instant::now() + exchange::TAIL)
    }

    /// Whether the answer ends where the model wanted it to.
    fn is_whole(&self) -> bool {
        let end = match &self.end {
            Some(end) => end.as_ref().ok().copied(),
            None => self.tally.decoder.completion(),
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
        (self.begun && !is_broken).then_some(Part::Event(LlmEvent::Complete))
    }

    async fn last(&mut self, end: Result<Completion, Broken>) -> Result<Part, Broken> {
        let completion = end?;
        let until = self.until();
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

    /// Text in place of what the caller has.
    fn say_instead(&mut self, text: String) -> Part {
        (self.at_first_word, self.room) = (true, self.max_text_bytes);
        Part::Event(LlmEvent::Instead(self.bounded(text)))
    }

    /// As much of it as there may be. An answer begins with its first word: what is blank before that is
    /// left out, so that one of nothing else is empty.
    fn bounded(&mut self, mut text: String) -> String {
        if self.at_first_word {
            text = text.trim_start().to_owned();
        }
        if text.is_empty() {
            return text;
        }
        (self.begun, self.at_first_word) = (true, false);
        if text.len() > self.room {
            text.truncate(text.floor_char_boundary(self.room));
            self.end = Some(Err(LlmError::new(&self.provider, ErrorKind::Protocol).into()));
        }
        self.room -= text.len();
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
