//! The voice of one turn: speaks what it is given in order, one utterance under way and one ahead.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt};

use crate::game::scene::Character;
use crate::tts::{AudioFormat, AudioStream, Speech, TtsClient, TtsError};

/// How much audio of the utterance ahead is read before it is its turn: 30 s of the usual MP3. What is not
/// read would sit in the socket and look as if this process was too slow for its provider.
const MAX_AHEAD_BYTES: usize = 512 * 1024;

/// How much of what was said before a provider is told.
const SAID_BEFORE_CHARACTERS: usize = 200;

/// Audio of the turn.
pub(super) enum VoiceEvent {
    /// An utterance begins, and its chunks are of this format.
    Begin(AudioFormat),
    Chunk(Bytes),
    /// The utterance is over.
    End,
}

/// A voice that speaks for one turn. Dropping it cancels its calls.
pub(super) struct Voice<'a> {
    tts: &'a TtsClient,
    /// Who spoke last: a character does not change its voice from one sentence to the next.
    provider_index: usize,
    character: &'a Character,
    said: String,
    current: Option<Utterance<'a>>,
    ahead: Option<Utterance<'a>>,
}

impl<'a> Voice<'a> {
    pub(super) fn new(tts: &'a TtsClient, character: &'a Character) -> Self {
        Self { tts, provider_index: 0, character, said: String::new(), current: None, ahead: None }
    }

    /// Whether it can be given more to say: one utterance while nothing is under way, and the next once that
    /// has begun. A provider that does not answer is not asked twice.
    pub(super) fn has_room(&self) -> bool {
        self.ahead.is_none() && self.current.as_ref().is_none_or(Utterance::has_begun)
    }

    /// Whether it has nothing left to say.
    pub(super) fn is_idle(&self) -> bool {
        self.current.is_none() && self.ahead.is_none()
    }

    /// Has it say `text`, which is the same in every session, and nothing else.
    pub(super) fn recite(&mut self, text: String) {
        let speech = self.speech(text);
        self.current = Some(Utterance::Asked(self.tts.recite(speech).boxed()));
    }

    /// Has it say `text` after what it has to say already.
    pub(super) fn say(&mut self, text: String) {
        let speech = self.speech(text);
        if !self.said.is_empty() {
            self.said.push(' ');
        }
        self.said.push_str(&speech.text);
        let utterance = Utterance::Asked(self.tts.speak_as(self.provider_index, speech).boxed());
        let place = if self.current.is_none() { &mut self.current } else { &mut self.ahead };
        *place = Some(utterance);
    }

    /// Stops what it says, as if nothing had been said.
    pub(super) fn stop(&mut self) {
        (self.current, self.ahead) = (None, None);
        self.said.clear();
    }

    fn speech(&self, text: String) -> Speech {
        Speech {
            said_before: last_characters(&self.said, SAID_BEFORE_CHARACTERS).to_owned(),
            text,
            character: self.character.id.clone(),
            voice_id: self.character.voice.clone(),
        }
    }
}

impl Stream for Voice<'_> {
    type Item = Result<VoiceEvent, TtsError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(ahead) = &mut self.ahead {
            ahead.read_ahead(context);
        }
        let Some(current) = &mut self.current else { return Poll::Ready(None) };
        let event = ready!(current.poll(context));
        if let Utterance::Speaking(speaking) = current {
            self.provider_index = speaking.audio.provider_index;
        }
        if !matches!(event, Ok(VoiceEvent::Begin(_) | VoiceEvent::Chunk(_))) {
            self.current = self.ahead.take();
        }
        Poll::Ready(Some(event))
    }
}

/// One call to the provider.
enum Utterance<'a> {
    /// Nothing has come yet.
    Asked(BoxFuture<'a, Result<AudioStream, TtsError>>),
    /// It failed before its audio, and nobody has been told yet.
    Failed(Option<TtsError>),
    Speaking(Speaking),
}

/// Audio that comes.
struct Speaking {
    audio: AudioStream,
    has_begun: bool,
    /// What was read ahead, and its bytes.
    held: VecDeque<Bytes>,
    held_bytes: usize,
    /// How it ended, if it was read ahead to its end.
    end: Option<Result<(), TtsError>>,
}

impl Utterance<'_> {
    fn has_begun(&self) -> bool {
        matches!(self, Self::Speaking(speaking) if speaking.has_begun)
    }

    /// Goes on without anybody to take the audio.
    fn read_ahead(&mut self, context: &mut Context<'_>) {
        if self.poll_answer(context).is_pending() {
            return;
        }
        if let Self::Speaking(speaking) = self {
            speaking.read_ahead(context);
        }
    }

    /// Waits until there is audio, or none to come.
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Asked(answer) = self {
            *self = match ready!(answer.poll_unpin(context)) {
                Ok(audio) => Self::Speaking(Speaking {
                    audio,
                    has_begun: false,
                    held: VecDeque::new(),
                    held_bytes: 0,
                    end: None,
                }),
                Err(error) => Self::Failed(Some(error)),
            };
        }
        Poll::Ready(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<VoiceEvent, TtsError>> {
        ready!(self.poll_answer(context));
        match self {
            Self::Asked(_) => Poll::Pending,
            Self::Failed(error) => Poll::Ready(error.take().map_or(Ok(VoiceEvent::End), Err)),
            Self::Speaking(speaking) => speaking.poll(context),
        }
    }
}

impl Speaking {
    fn read_ahead(&mut self, context: &mut Context<'_>) {
        while self.end.is_none() && self.held_bytes < MAX_AHEAD_BYTES {
            match self.audio.poll_next_unpin(context) {
                Poll::Pending => return,
                Poll::Ready(Some(Ok(chunk))) => {
                    self.held_bytes += chunk.len();
                    self.held.push_back(chunk);
                }
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(error)),
                Poll::Ready(None) => self.end = Some(Ok(())),
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<VoiceEvent, TtsError>> {
        if !std::mem::replace(&mut self.has_begun, true) {
            return Poll::Ready(Ok(VoiceEvent::Begin(self.audio.format)));
        }
        if let Some(chunk) = self.held.pop_front() {
            return Poll::Ready(Ok(VoiceEvent::Chunk(chunk)));
        }
        if let Some(end) = self.end.take() {
            return Poll::Ready(end.map(|()| VoiceEvent::End));
        }
        Poll::Ready(match ready!(self.audio.poll_next_unpin(context)) {
            Some(Ok(chunk)) => Ok(VoiceEvent::Chunk(chunk)),
            Some(Err(error)) => Err(error),
            None => Ok(VoiceEvent::End),
        })
    }
}

/// The last so many characters, at most.
fn last_characters(text: &str, characters: usize) -> &str {
    let from = text.char_indices().rev().nth(characters.saturating_sub(1)).map_or(0, |(at, _)| at);
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_characters_are_whole() {
        assert_eq!(last_characters("naïve", 3), "ïve");
        assert_eq!(last_characters("naïve", 9), "naïve");
        assert_eq!(last_characters("", 9), "");
    }
}
