//! What goes on at once in a turn: text comes and is sent, and audio is made of it and sent.

use futures_util::StreamExt;

use super::player_audio::PlayerAudio;
use super::speaker::Speaker;
use super::{Stop, TurnRunner};
use crate::game::stage::TurnStage;
use crate::llm::{LlmError, LlmEvent, LlmStream};

impl TurnRunner<'_> {
    /// Sends text as it comes and audio as it is made of it, until there is no more of either.
    pub(super) async fn speak(
        &mut self,
        mut stream: Option<LlmStream>,
        speaker: &mut Speaker<'_>,
        audio: &mut PlayerAudio,
        said: &mut String,
    ) -> Result<(), Stop> {
        let is_answer = stream.is_some();
        let mut told = Ok(());
        loop {
            self.enter(match (audio.is_under_way(), audio.is_heard()) {
                (true, _) => TurnStage::Delivery,
                (_, true) => TurnStage::Rest,
                (false, false) => speaker.waits_for(),
            });
            tokio::select! {
                at = audio.first_written(), if audio.is_under_way() => self.heard(at),
                sound = speaker.next(), if !speaker.is_idle() => match sound {
                    Ok(Some(sound)) => self.play(audio, sound).await?,
                    Ok(None) => {}
                    Err(error) => {
                        audio.broke_off();
                        self.close(audio).await?;
                        self.tts_failed(&error).await?;
                    }
                },
                event = next_of(&mut stream), if stream.is_some() => {
                    match self.hear(event, speaker, said).await {
                        Ok(IsOver::No) => {}
                        Ok(IsOver::Yes) => {
                            if let Some(stream) = stream.take() {
                                stream.read_on();
                            }
                            speaker.end_of_text();
                            if is_answer && said.trim().is_empty() {
                                told = Err(self.answer_was_empty().await);
                            }
                        }
                        Err(Stop::PlayerGone) => return Err(Stop::PlayerGone),
                        Err(Stop::Failed) => {
                            stream = None;
                            // What is being spoken was said; half a sentence is not begun.
                            speaker.give_up_text();
                            told = Err(Stop::Failed);
                        }
                    }
                },
                else => break,
            }
        }
        self.close(audio).await?;
        told
    }

    /// The next of an answer.
    async fn hear(
        &mut self,
        event: Option<Result<LlmEvent, LlmError>>,
        speaker: &mut Speaker<'_>,
        said: &mut String,
    ) -> Result<IsOver, Stop> {
        match event {
            Some(Ok(LlmEvent::Text(text))) => {
                speaker.text(&text);
                self.send_text(&text, said).await?;
            }
            Some(Ok(LlmEvent::Instead(text))) => {
                // The player has seen the other, and may have heard the beginning of it; it is not kept.
                said.clear();
                speaker.take_back();
                if !text.is_empty() {
                    speaker.text(&text);
                    self.send_text(&text, said).await?;
                }
            }
            Some(Ok(LlmEvent::Complete | LlmEvent::Done(_))) | None => return Ok(IsOver::Yes),
            Some(Err(error)) => return Err(self.llm_failed(&error).await),
        }
        Ok(IsOver::No)
    }
}

/// Whether an answer's text has come to its end.
enum IsOver {
    Yes,
    No,
}

/// The next event of a stream that is there.
async fn next_of(stream: &mut Option<LlmStream>) -> Option<Result<LlmEvent, LlmError>> {
    match stream {
        Some(stream) => stream.next().await,
        None => None,
    }
}
