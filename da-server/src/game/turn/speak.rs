//! What goes on at once in a turn: text comes, audio is made of it, and the player gets both.

use std::time::Instant;

use futures_util::StreamExt;

use super::outbox::{Outbox, Taken};
use super::player_audio::PlayerAudio;
use super::speaker::Speaker;
use super::{Stop, TurnRunner};
use crate::game::failure::{Cause, Failure};
use crate::game::stage::TurnStage;
use crate::llm::{LlmError, LlmEvent, LlmStream};
use crate::tts::TtsError;

/// The text of a turn, its voice, and what of both is on its way to the player.
pub(super) struct TurnSpeech<'a> {
    /// The model's answer, until its text has come.
    pub(super) answer: Option<LlmStream>,
    pub(super) speaker: Speaker<'a>,
    pub(super) audio: PlayerAudio,
    pub(super) outbox: Outbox,
    /// Whether there was any word in the text.
    pub(super) has_words: bool,
}

impl TurnSpeech<'_> {
    fn take_text(&mut self, text: &str) {
        self.has_words |= !text.trim().is_empty();
        if !text.is_empty() {
            self.speaker.text(text);
            self.outbox.text(text);
        }
    }
}

impl TurnRunner<'_> {
    /// Sends text as it comes and audio as it is made of it, until there is no more of either. `said` is the
    /// text that was sent and not taken back.
    pub(super) async fn speak(
        &mut self,
        speech: &mut TurnSpeech<'_>,
        said: &mut String,
    ) -> Result<(), Stop> {
        let mut outcome = Ok(());
        loop {
            self.enter(self.waits_for(speech));
            let TurnSpeech { answer, speaker, audio, outbox, .. } = &mut *speech;
            tokio::select! {
                biased;
                at = audio.first_written(), if audio.is_under_way() => self.heard(at?),
                taken = outbox.send_first(self.outbound), if !outbox.is_empty() => match taken? {
                    Taken::Text(text) => said.push_str(&text),
                    Taken::Audio(lasts, written) => audio.sent(lasts, written),
                    Taken::Other => {}
                },
                event = next_of(answer), if answer.is_some() => {
                    if let Err(failure) = self.take_event(event, speech, said) {
                        self.fail(failure, &mut speech.outbox);
                        outcome = Err(Stop::Failed);
                    }
                }
                spoken = speaker.next(), if !speaker.is_idle() && outbox.takes_audio() => match spoken {
                    Ok(Some(event)) => audio.play(event, outbox),
                    Ok(None) => {}
                    Err(error) => self.voice_failed(&error, audio, outbox),
                },
                else => {
                    audio.close(outbox);
                    if outbox.is_empty() {
                        return outcome;
                    }
                }
            }
        }
    }

    fn waits_for(&self, speech: &TurnSpeech<'_>) -> TurnStage {
        let TurnSpeech { speaker, audio, outbox, .. } = speech;
        if audio.is_under_way() {
            TurnStage::Delivery
        } else if !outbox.is_empty() {
            self.delivery()
        } else if audio.is_heard() {
            TurnStage::Rest
        } else {
            speaker.waits_for()
        }
    }

    /// The first audio was written to the player's socket then.
    fn heard(&mut self, at: Instant) {
        self.in_rest = true;
        if let Some(request) = &mut self.request {
            request.heard(at);
        }
    }

    /// Takes the next of an answer.
    ///
    /// # Errors
    /// The answer failed, or had no text.
    fn take_event(
        &self,
        event: Option<Result<LlmEvent, LlmError>>,
        speech: &mut TurnSpeech<'_>,
        said: &mut String,
    ) -> Result<(), Failure> {
        match event {
            Some(Ok(LlmEvent::Text(text))) => speech.take_text(&text),
            Some(Ok(LlmEvent::Instead(text))) => {
                // The player may have seen and heard the beginning of the other; it is not kept.
                said.clear();
                speech.has_words = false;
                speech.speaker.take_back();
                speech.audio.take_back(&mut speech.outbox);
                speech.take_text(&text);
            }
            Some(Ok(LlmEvent::Complete | LlmEvent::Done(_))) | None => {
                if let Some(answer) = speech.answer.take() {
                    answer.read_on();
                }
                speech.speaker.end_of_text();
                if !speech.has_words {
                    let scene = &self.world.scene().id;
                    tracing::warn!(turn_id = self.id, scene, "the model's answer was empty");
                    return Err(Failure::Llm(Cause::Protocol));
                }
            }
            Some(Err(error)) => {
                speech.answer = None;
                // What was said to the end of a sentence is heard as well.
                speech.speaker.break_off_text();
                return Err(self.llm_failure(&error));
            }
        }
        Ok(())
    }

    /// A failure of the voice costs the player the audio, not the text: the turn goes on.
    fn voice_failed(&self, error: &TtsError, audio: &mut PlayerAudio, outbox: &mut Outbox) {
        let (turn_id, scene) = (self.id, &self.world.scene().id);
        tracing::warn!(%error, turn_id, call_id = error.call_id, scene, "the TTS call failed");
        audio.break_off(outbox);
        self.fail(Failure::Tts(error.kind.into()), outbox);
    }
}

/// The next event of an answer that is under way.
async fn next_of(answer: &mut Option<LlmStream>) -> Option<Result<LlmEvent, LlmError>> {
    match answer {
        Some(answer) => answer.next().await,
        None => None,
    }
}
