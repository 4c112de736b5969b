//! What a player does.

use std::time::Instant;

use super::speech::reaction;
use super::{PlayerInput, Session};
use crate::game::job::{Job, Request, Task};
use crate::game::line;
use crate::game::protocol::{PlayerMessage, ServerMessage};
use crate::game::queue::Priority;
use crate::game::sentences::{self, Sentence};
use crate::metrics::{CloseReason, ErrorType, RequestStatus};
use crate::store::AskedBy;

/// A connection that sends so many messages that are none is closed.
const MAX_INVALID_MESSAGES: u32 = 10;

impl Session<'_> {
    /// Does what a message asks for.
    ///
    /// # Errors
    /// Why the connection is to be closed.
    pub(super) async fn act(&mut self, input: PlayerInput) -> Result<(), CloseReason> {
        let Ok(message) = serde_json::from_str(&input.text) else {
            return self.invalid(sentences::invalid_message()).await;
        };
        self.last_action = Instant::now();
        match message {
            PlayerMessage::Start { .. } => self.invalid(sentences::already_started()).await,
            PlayerMessage::Say { text } => self.say(&text, input.received).await,
            PlayerMessage::Press { control } => self.press(&control, input.received).await,
            PlayerMessage::Interrupt {} => {
                self.interrupt_for_nothing();
                Ok(())
            }
        }
    }

    async fn say(&mut self, text: &str, received: Instant) -> Result<(), CloseReason> {
        let request = Request::new(received, &self.metrics);
        let line = match line::checked(text, self.game.config.max_line_characters) {
            Ok(line) => line.to_owned(),
            Err(error) => return self.reject(request, sentences::line(error)).await,
        };
        if let Err(sentence) = self.take_request(received) {
            return self.reject(request, sentence).await;
        }
        self.openings.clear();
        self.interrupt();
        let task = Task::Answer { asked_by: AskedBy::Player, asked: line };
        // There is always room: it takes the place of everything else that waits.
        self.enqueue(Priority::Critical, Job::requested(task, request));
        self.started.world.spoken_to();
        self.settle();
        Ok(())
    }

    /// One of what the player may ask, and of what all at their address may, if there is one of both.
    pub(super) fn take_request(&mut self, now: Instant) -> Result<(), Sentence> {
        if !self.budget.wait(now).is_zero() {
            return Err(sentences::too_many_requests());
        }
        if !self.address_budget.take(now) {
            return Err(sentences::too_many_requests_of_address());
        }
        self.budget.take(now);
        Ok(())
    }

    async fn press(&mut self, control: &str, received: Instant) -> Result<(), CloseReason> {
        let request = Request::new(received, &self.metrics);
        let pressed = match self.started.world.press(control, Instant::now()) {
            Ok(pressed) => pressed,
            Err(refusal) => return self.reject(request, sentences::refusal(refusal)).await,
        };
        let unanswered = match pressed.noticed {
            // Nothing is asked of anybody, so there is no request to count.
            None => {
                request.forget();
                false
            }
            Some(_) if self.take_request(received).is_err() => {
                request.end(RequestStatus::Rejected);
                true
            }
            Some(noticed) => {
                let job = Job::requested(reaction(&noticed), request);
                !self.enqueue(Priority::Urgent, job)
            }
        };
        self.settle();
        if unanswered {
            let name = &self.started.world.scene().character.name;
            let unanswered = sentences::press_unanswered(name).notice();
            self.send(unanswered).await?;
        }
        if pressed.hasty {
            self.send(sentences::haste().notice()).await?;
        }
        Ok(())
    }

    async fn invalid(&mut self, sentence: Sentence) -> Result<(), CloseReason> {
        self.game.errors.count(ErrorType::InvalidMessage);
        self.error(sentence).await?;
        self.invalid_messages += 1;
        if self.invalid_messages < MAX_INVALID_MESSAGES {
            Ok(())
        } else {
            Err(CloseReason::InvalidMessages)
        }
    }

    async fn reject(&mut self, request: Request, sentence: Sentence) -> Result<(), CloseReason> {
        request.end(RequestStatus::Rejected);
        self.error(sentence).await
    }

    async fn error(&mut self, sentence: Sentence) -> Result<(), CloseReason> {
        self.send(sentence.error()).await
    }

    async fn send(&mut self, message: ServerMessage) -> Result<(), CloseReason> {
        self.outbox.send(message).await.map_err(|_| CloseReason::ConnectionLost)
    }
}
