//! What a player does.

use std::time::Instant;

use super::speech::reaction;
use super::{PlayerInput, Session};
use crate::game::job::{Job, Request, Task};
use crate::game::line;
use crate::game::player_texts::{self, PlayerText};
use crate::game::protocol::{PlayerMessage, ServerMessage};
use crate::game::queue::Priority;
use crate::metrics::{CloseReason, ErrorType, RequestStatus};
use crate::store::AskedBy;

/// A connection is closed after this many invalid messages.
const MAX_INVALID_MESSAGES: u32 = 10;

impl Session<'_> {
    /// Does what a message asks for.
    ///
    /// # Errors
    /// Why the connection is to be closed.
    pub(super) async fn act(&mut self, input: PlayerInput) -> Result<(), CloseReason> {
        let Ok(message) = serde_json::from_str(&input.text) else {
            return self.invalid(player_texts::invalid_message()).await;
        };
        self.last_action = Instant::now();
        match message {
            PlayerMessage::Start { .. } => self.invalid(player_texts::already_started()).await,
            PlayerMessage::Say { text } => self.say(&text, input.received).await,
            PlayerMessage::Press { control } => self.press(&control, input.received).await,
            PlayerMessage::Interrupt {} => {
                self.interrupt_for_nothing();
                Ok(())
            }
        }
    }

    async fn say(&mut self, text: &str, received: Instant) -> Result<(), CloseReason> {
        let request = Request::line(received, &self.metrics);
        let line = match line::checked(text, self.game.config.max_line_characters) {
            Ok(line) => line.to_owned(),
            Err(error) => return self.reject(request, player_texts::line(error)).await,
        };
        if let Err(text) = self.take_request(received) {
            return self.reject(request, text).await;
        }
        self.openings.clear();
        self.interrupt();
        let task = Task::Answer { asked_by: AskedBy::Player, asked: line };
        // The queue is never full for it: it supersedes everything that waits.
        self.enqueue(Priority::Critical, Job::requested(task, request));
        self.started.world.spoken_to();
        self.evaluate_rules();
        Ok(())
    }

    /// Takes a request from the player's budget and from that of their address, if both have one.
    pub(super) fn take_request(&mut self, now: Instant) -> Result<(), PlayerText> {
        if !self.budget.wait(now).is_zero() {
            return Err(player_texts::too_many_requests());
        }
        if !self.address_budget.take(now) {
            return Err(player_texts::too_many_requests_of_address());
        }
        self.budget.take(now);
        Ok(())
    }

    async fn press(&mut self, control: &str, received: Instant) -> Result<(), CloseReason> {
        let request = Request::press(received, &self.metrics);
        let pressed = match self.started.world.press(control, Instant::now()) {
            Ok(pressed) => pressed,
            Err(refusal) => return self.reject(request, player_texts::refusal(refusal)).await,
        };
        let unanswered = match pressed.noticed {
            // Nothing is asked of anybody, so there is no request to count.
            None => {
                request.discard();
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
        self.evaluate_rules();
        if unanswered {
            let name = &self.started.world.scene().character.name;
            let unanswered = player_texts::press_unanswered(name).notice();
            self.send(unanswered).await?;
        }
        if pressed.penalized {
            self.send(player_texts::haste().notice()).await?;
        }
        Ok(())
    }

    async fn invalid(&mut self, text: PlayerText) -> Result<(), CloseReason> {
        self.game.errors.count(ErrorType::InvalidMessage);
        self.error(text).await?;
        self.invalid_messages += 1;
        if self.invalid_messages < MAX_INVALID_MESSAGES {
            Ok(())
        } else {
            Err(CloseReason::InvalidMessages)
        }
    }

    async fn reject(&mut self, request: Request, text: PlayerText) -> Result<(), CloseReason> {
        request.end(RequestStatus::Rejected);
        self.error(text).await
    }

    async fn error(&mut self, text: PlayerText) -> Result<(), CloseReason> {
        self.send(text.error()).await
    }

    async fn send(&mut self, message: ServerMessage) -> Result<(), CloseReason> {
        self.outbound.send(message).await.map_err(|_| CloseReason::ConnectionLost)
    }
}
