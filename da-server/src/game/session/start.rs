//! How a session begins: anew, or where an earlier connection left it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::PlayerInput;
use crate::game::Game;
use crate::game::outbound::OutboundSender;
use crate::game::player_texts::{self, PlayerText};
use crate::game::protocol::{Line, PlayerMessage, ServerMessage, Speaker};
use crate::game::scene::{Difficulty, Scene};
use crate::game::session_registry::SessionGuard;
use crate::game::token::Token;
use crate::game::world::World;
use crate::metrics::{CloseReason, ErrorType};
use crate::store::{AskedBy, Lease, NewSession, SavedSession, StoreError, Turn};

/// How long a client may take to start a scene.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A session that has begun.
pub(super) struct Started {
    pub(super) world: World,
    /// The right to write the session to the store.
    pub(super) lease: Lease,
    pub(super) guard: SessionGuard,
    pub(super) resumed: bool,
}

/// What the player's first message asks for.
struct StartRequest {
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
        outbound: &OutboundSender,
    ) -> Result<Started, CloseReason> {
        let first = timeout(START_TIMEOUT, inbox.recv()).await.map_err(|_| CloseReason::Idle)?;
        let request = match self.parse_start(&first.ok_or(CloseReason::PlayerLeft)?.text) {
            Ok(request) => request,
            Err(text) => {
                self.errors.count(ErrorType::InvalidMessage);
                let _ = outbound.send(text.error()).await;
                return Err(CloseReason::InvalidMessages);
            }
        };
        if let Some(token) = request.token.as_ref() {
            let guard = self.sessions.acquire(token.hash()).await;
            match self.resume(&request, token, guard, outbound).await {
                Ok(Some(started)) => return Ok(started),
                Ok(None) => {}
                // A new session would cost the player the old one, which is only out of reach.
                Err(_) => {
                    let _ = outbound.send(player_texts::store_unavailable()).await;
                    return Err(CloseReason::StoreUnavailable);
                }
            }
            let _ = outbound.send(player_texts::starts_afresh().notice()).await;
        }
        self.begin(request, outbound).await
    }

    fn parse_start(&self, text: &str) -> Result<StartRequest, PlayerText> {
        let Ok(PlayerMessage::Start { scene, difficulty, token }) = serde_json::from_str(text)
        else {
            return Err(player_texts::start_first());
        };
        let scene = self.scenes.get(&scene).ok_or_else(player_texts::unknown_scene)?.clone();
        Ok(StartRequest { scene, difficulty, token: token.map(Token::sent) })
    }

    async fn begin(
        &self,
        request: StartRequest,
        outbound: &OutboundSender,
    ) -> Result<Started, CloseReason> {
        let token = match Token::generate() {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(%error, "can't start a session: the system gives no random numbers");
                let _ = outbound.send(player_texts::no_session().error()).await;
                return Err(CloseReason::Busy);
            }
        };
        let world = World::new(request.scene, request.difficulty);
        let new = NewSession {
            token_hash: token.hash(),
            scene: world.scene().id.clone(),
            difficulty: request.difficulty.as_str().to_owned(),
            world: world.to_json(Instant::now()),
        };
        // If the database is not available, the session is stored with the first turn that can be.
        let created = self.store.create_session(&new).await;
        let lease = created.unwrap_or_else(|_| Lease::first(new.token_hash));
        let guard = self.sessions.acquire(token.hash()).await;
        greet(&token, &world, false, Vec::new(), outbound).await?;
        Ok(Started { world, lease, guard, resumed: false })
    }

    /// `None` if there is nothing to resume.
    ///
    /// # Errors
    /// The store failed.
    async fn resume(
        &self,
        request: &StartRequest,
        token: &Token,
        guard: SessionGuard,
        outbound: &OutboundSender,
    ) -> Result<Option<Started>, StoreError> {
        let Some(saved) = self.store.claim_session(&token.hash()).await? else { return Ok(None) };
        let lease = saved.lease;
        let resumed = async {
            let Some(world) = saved_world(request, &saved) else { return Ok(None) };
            let history = lines(self.store.history(lease, self.config.history_turns).await?);
            let greeted = greet(token, &world, true, history, outbound).await;
            Ok(greeted.ok().map(|()| world))
        };
        match resumed.await {
            Ok(Some(world)) => Ok(Some(Started { world, lease, guard, resumed: true })),
            nothing => {
                // With its state unchanged. The store counts and logs a failure.
                let _ = self.store.leave_session(lease, &saved.world).await;
                nothing.map(|_| None)
            }
        }
    }
}

/// How the scene stands in a session; `None` if that is of another scene, or of one that has changed
/// beyond recognition.
fn saved_world(request: &StartRequest, saved: &SavedSession) -> Option<World> {
    let is_wanted = saved.scene == request.scene.id;
    let difficulty = Difficulty::named(&saved.difficulty).filter(|_| is_wanted)?;
    World::from_json(request.scene.clone(), difficulty, &saved.world, Instant::now())
}

async fn greet(
    token: &Token,
    world: &World,
    resumed: bool,
    history: Vec<Line>,
    outbound: &OutboundSender,
) -> Result<(), CloseReason> {
    let scene = world.scene().id.clone();
    let token = token.reveal().to_owned();
    let greeting = ServerMessage::Session { token, scene, resumed, history };
    outbound.send(greeting).await.map_err(|_| CloseReason::ConnectionLost)
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
