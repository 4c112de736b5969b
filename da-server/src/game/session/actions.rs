//! What a player does.

use std::time::Instant;

use super::{PlayerInput, Session};
use crate::game::job::{Request, Task};
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
                self.interrupt();
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
        if !self.budget.take(received) {
            return self.reject(request, sentences::too_many_requests()).await;
        }
        self.openings.clear();
        self.interrupt();
        let task = Task::Answer { asked_by: AskedBy::Player, asked: line };
        if !self.enqueue(Priority::Critical, task, Some(request)) {
            let full = sentences::queue_full(&self.started.world.scene().character.name);
            return self.error(full).await;
        }
        self.started.world.spoken_to();
        self.settle();
        Ok(())
    }

    async fn press(&mut self, control: &str, received: Instant) -> Result<(), CloseReason> {
        let request = Request::new(received, &self.metrics);
        let pressed = match self.started.world.press(control, Instant::now()) {
            Ok(pressed) => pressed,
            Err(refusal) => return self.reject(request, sentences::refusal(refusal)).await,
        };
        match pressed.noticed {
            // Nothing is asked of anybody, so there is no request to count.
            None => request.forget(),
            // The press has worked; there are only no words about it.
            Some(_) if !self.budget.take(received) => request.end(RequestStatus::Rejected),
            Some(noticed) => {
                self.react(Priority::Urgent, &noticed, Some(request));
            }
        }
        self.settle();
        if pressed.hasty {
            let Sentence { code, message } = sentences::haste();
            self.send(ServerMessage::Notice { code, message }).await?;
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

    async fn error(&mut self, Sentence { code, message }: Sentence) -> Result<(), CloseReason> {
        self.send(ServerMessage::Error { code, message }).await
    }

    async fn send(&mut self, message: ServerMessage) -> Result<(), CloseReason> {
        self.outbox.send(message).await.map_err(|_| CloseReason::ConnectionLost)
    }
}
