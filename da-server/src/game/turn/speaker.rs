//! Has a turn's text spoken while more of it comes.

use futures_util::StreamExt;

use super::sentences::Sentences;
use super::voice::{Voice, VoiceEvent};
use crate::game::scene::Character;
use crate::game::stage::TurnStage;
use crate::tts::{TtsClient, TtsError};

/// Text goes in as it comes, and audio comes out.
pub(super) struct Speaker<'a> {
    /// `None`: nothing is spoken, or nothing any more.
    voice: Option<Voice<'a>>,
    sentences: Sentences,
    has_text: bool,
    has_asked: bool,
}

impl<'a> Speaker<'a> {
    /// Without `tts` nothing is spoken.
    pub(super) fn new(tts: Option<&'a TtsClient>, character: &'a Character) -> Self {
        Self {
            voice: tts.map(|tts| Voice::new(tts, character)),
            sentences: Sentences::default(),
            has_text: false,
            has_asked: false,
        }
    }

    /// More text has come: what is complete of it is spoken as soon as the voice is ready.
    pub(super) fn text(&mut self, text: &str) {
        self.has_text = true;
        if self.voice.is_some() {
            self.sentences.push(text);
            self.feed();
        }
    }

    /// No more text comes.
    pub(super) fn end_of_text(&mut self) {
        self.sentences.end();
        self.feed();
    }

    /// The text of a whole turn, which is the same in every session.
    pub(super) fn recite(&mut self, text: &str) {
        self.has_text = true;
        if let Some(voice) = self.voice.as_mut().filter(|_| !text.trim().is_empty()) {
            voice.recite(text.trim().to_owned());
            self.has_asked = true;
        }
    }

    /// No more text comes, and it broke off: what is complete of it is spoken.
    pub(super) fn break_off_text(&mut self) {
        self.sentences.break_off();
        self.feed();
    }

    /// All text so far was none: what is being spoken of it stops.
    pub(super) fn take_back(&mut self) {
        self.sentences.clear();
        self.has_asked = false;
        if let Some(voice) = &mut self.voice {
            voice.stop();
        }
    }

    /// Whether nothing is being spoken.
    pub(super) fn is_idle(&self) -> bool {
        self.voice.as_ref().is_none_or(Voice::is_idle)
    }

    /// What a turn waits for whose player has heard nothing yet.
    pub(super) fn waits_for(&self) -> TurnStage {
        match (&self.voice, self.has_text, self.has_asked) {
            (_, false, _) => TurnStage::LlmFirstToken,
            (None, ..) => TurnStage::Rest,
            (Some(_), _, false) => TurnStage::LlmFirstSentence,
            (Some(_), _, true) => TurnStage::TtsFirstByte,
        }
    }

    /// The next audio; `None` if nothing is being spoken. Cancelling it loses nothing.
    ///
    /// # Errors
    /// The voice has failed. Nothing more is spoken.
    pub(super) async fn next(&mut self) -> Result<Option<VoiceEvent>, TtsError> {
        let Some(voice) = &mut self.voice else { return Ok(None) };
        let event = voice.next().await.transpose();
        match &event {
            Ok(Some(VoiceEvent::Begin(_) | VoiceEvent::End)) => self.feed(),
            Ok(_) => {}
            Err(_) => self.voice = None,
        }
        event
    }

    fn feed(&mut self) {
        while self.voice.as_ref().is_some_and(Voice::has_room) {
            let Some(text) = self.sentences.take() else { break };
            self.say(text);
        }
    }

    fn say(&mut self, text: String) {
        if let Some(voice) = self.voice.as_mut().filter(|_| !text.is_empty()) {
            voice.say(text);
            self.has_asked = true;
        }
    }
}
