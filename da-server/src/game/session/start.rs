//! How a session begins: anew, or where an earlier connection left it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::PlayerInput;
use crate::game::Game;
use crate::game::outbox::Outbox;
use crate::game::protocol::{Line, PlayerMessage, ServerMessage, Speaker};
use crate::game::scene::{Difficulty, Scene};
use crate::game::seats::Seat;
use crate::game::sentences::{self, Sentence};
use crate::game::token::Token;
use crate::game::world::World;
use crate::metrics::{CloseReason, ErrorType};
use crate::store::{AskedBy, Claim, NewSession, SavedSession, StoreError, Turn};

/// Who connects and does not start a scene by then is sent away.
const START_WITHIN: Duration = Duration::from_secs(30);

/// A session that has begun.
pub(super) struct Started {
    pub(super) world: World,
    /// Where the conversation is kept.
    pub(super) claim: Claim,
    pub(super) seat: Seat,
    pub(super) resumed: bool,
}

struct Wish {
    scene: Arc<Scene>,
    difficulty: Difficulty,
    token: Option<Token>,
}

impl Game {
    /// Waits for the player's first message and begins or resumes what it asks for.
    ///
    /// # Errors
    /// Why the connection is to be closed instead.
    pub(super) async fn start(
        &self,
        inbox: &mut mpsc::Receiver<PlayerInput>,
        outbox: &Outbox,
    ) -> Result<Started, CloseReason> {
        let first = timeout(START_WITHIN, inbox.recv()).await.map_err(|_| CloseReason::Idle)?;
        let wish = match self.wish(&first.ok_or(CloseReason::PlayerLeft)?.text) {
            Ok(wish) => wish,
            Err(sentence) => {
                self.errors.count(ErrorType::InvalidMessage);
                let _ = outbox.send(sentence.error()).await;
                return Err(CloseReason::InvalidMessages);
            }
        };
        if let Some(token) = wish.token.as_ref() {
            let seat = self.seats.take(token.hash()).await;
            match self.resume(&wish, token, seat, outbox).await {
                Ok(Some(started)) => return Ok(started),
                Ok(None) => {}
                // To begin afresh would cost them what is only out of reach.
                Err(_) => {
                    let _ = outbox.send(sentences::store_unavailable()).await;
                    return Err(CloseReason::StoreUnavailable);
                }
            }
            let _ = outbox.send(sentences::starts_afresh().notice()).await;
        }
        self.begin(wish, outbox).await
    }

    fn wish(&self, text: &str) -> Result<Wish, Sentence> {
        let Ok(PlayerMessage::Start { scene, difficulty, token }) = serde_json::from_str(text)
        else {
            return Err(sentences::start_first());
        };
        let scene = self.scenes.get(&scene).ok_or_else(sentences::unknown_scene)?.clone();
        Ok(Wish { scene, difficulty, token: token.map(Token::sent) })
    }

    async fn begin(&self, wish: Wish, outbox: &Outbox) -> Result<Started, CloseReason> {
        let token = match Token::generate() {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(%error, "no random numbers, so no session can begin");
                let _ = outbox.send(sentences::no_session().error()).await;
                return Err(CloseReason::Busy);
            }
        };
        let world = World::new(wish.scene, wish.difficulty);
        let new = NewSession {
            token_hash: token.hash(),
            scene: world.scene().id.clone(),
            difficulty: wish.difficulty.as_str().to_owned(),
            world: world.to_json(Instant::now()),
        };
        // Where the database is away, the session is kept with the first turn that can be.
        let created = self.store.create_session(&new).await;
        let claim = created.unwrap_or_else(|_| Claim::first(new.token_hash));
        let seat = self.seats.take(token.hash()).await;
        greet(&token, &world, false, Vec::new(), outbox).await?;
        Ok(Started { world, claim, seat, resumed: false })
    }

    /// `None` if there is nothing to resume.
    ///
    /// # Errors
    /// The store can't say.
    async fn resume(
        &self,
        wish: &Wish,
        token: &Token,
        seat: Seat,
        outbox: &Outbox,
    ) -> Result<Option<Started>, StoreError> {
        let Some(saved) = self.store.claim_session(&token.hash()).await? else { return Ok(None) };
        let claim = saved.claim;
        let resumed = async {
            let Some(world) = saved_world(wish, &saved) else { return Ok(None) };
            let history = lines(self.store.history(claim, self.config.history_turns).await?);
            let greeted = greet(token, &world, true, history, outbox).await;
            Ok(greeted.ok().map(|()| world))
        };
        match resumed.await {
            Ok(Some(world)) => Ok(Some(Started { world, claim, seat, resumed: true })),
            nothing => {
                // As it was; what goes wrong is counted and in the log.
                let _ = self.store.leave_session(claim, &saved.world).await;
                nothing.map(|_| None)
            }
        }
    }
}

/// How the scene stands in a session; `None` if that is of another scene, or of one that has changed
/// beyond recognition.
fn saved_world(wish: &Wish, saved: &SavedSession) -> Option<World> {
    let is_wanted = saved.scene == wish.scene.id;
    let difficulty = Difficulty::named(&saved.difficulty).filter(|_| is_wanted)?;
    World::from_json(wish.scene.clone(), difficulty, &saved.world, Instant::now())
}

async fn greet(
    token: &Token,
    world: &World,
    resumed: bool,
    history: Vec<Line>,
    outbox: &Outbox,
) -> Result<(), CloseReason> {
    let scene = world.scene().id.clone();
    let token = token.reveal().to_owned();
    let greeting = ServerMessage::Session { token, scene, resumed, history };
    outbox.send(greeting).await.map_err(|_| CloseReason::ConnectionLost)
}

/// What the player saw: their own lines and the character's, not the directions between.
fn lines(history: Vec<Turn>) -> Vec<Line> {
    let both = history.into_iter().flat_map(|turn| {
        let player = (turn.asked_by == AskedBy::Player)
            .then_some(Line { speaker: Speaker::Player, text: turn.asked });
        [player, Some(Line { speaker: Speaker::Character, text: turn.answer })]
    });
    both.flatten().collect()
}
