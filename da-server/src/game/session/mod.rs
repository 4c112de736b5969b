//! One connection's session: what the player does, what time does, and what the character says
//! meet here, one after the other.

mod actions;
mod speech;
mod start;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::OptionFuture;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::Game;
use super::job::Job;
use super::metrics::SceneMetrics;
use super::outbound::OutboundSender;
use super::protocol::ServerMessage;
use super::queue::Queue;
use super::scene::OpeningLine;
use crate::metrics::CloseReason;
use crate::store::StoreError;
use crate::token_bucket::{SharedTokenBucket, TokenBucket};
use speech::RunningTurn;
use start::Started;

/// The scene's clock.
const TICK: Duration = Duration::from_secs(1);

/// How long an interrupted turn may take to be stored and to report its end. Less than a newer connection
/// waits for the eviction of this one.
const TURN_CANCEL_TIMEOUT: Duration = Duration::from_secs(3);

/// A text message as it came from a player. `Debug` is left out: these are people's words.
pub struct PlayerInput {
    /// The message.
    pub text: String,
    /// When it had been read.
    pub received: Instant,
}

/// How long a session may go on, and what it shares with others.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Without the player doing anything.
    pub idle: Duration,
    /// After the server was told to stop.
    pub grace: Duration,
    /// The server was told to stop.
    pub shutdown: CancellationToken,
    /// What all sessions of its player's address may ask together.
    pub(crate) address_requests: SharedTokenBucket,
}

impl Game {
    /// Plays with one player until either side ends it, and returns why.
    pub async fn play(
        &self,
        mut inbox: mpsc::Receiver<PlayerInput>,
        outbound: OutboundSender,
        limits: Limits,
    ) -> CloseReason {
        let started = {
            let mut starting = std::pin::pin!(self.start(&mut inbox, &outbound));
            let given_up = async {
                tokio::select! {
                    () = outbound.closed() => CloseReason::ConnectionLost,
                    () = limits.shutdown.cancelled() => CloseReason::ServerShutdown,
                }
            };
            tokio::select! {
                started = &mut starting => started.map(|started| (started, None)),
                // It may have acquired a session, which others would wait for: then it is released.
                reason = given_up => match timeout(TURN_CANCEL_TIMEOUT, starting).await {
                    Ok(Ok(started)) => Ok((started, Some(reason))),
                    Ok(Err(_)) | Err(_) => Err(reason),
                },
            }
        };
        match started {
            Ok((started, None)) => {
                Session::new(self, &outbound, started, &limits).play(inbox, limits).await
            }
            Ok((started, Some(reason))) => {
                Session::new(self, &outbound, started, &limits).leave().await;
                reason
            }
            Err(reason) => reason,
        }
    }
}

struct Session<'a> {
    game: &'a Game,
    outbound: &'a OutboundSender,
    metrics: Arc<SceneMetrics>,
    started: Started,
    queue: Queue<Job>,
    /// What the character says unasked, and when, until the player speaks.
    openings: VecDeque<(Instant, OpeningLine)>,
    budget: TokenBucket,
    /// Of the player's address; other sessions take from it as well.
    address_budget: SharedTokenBucket,
    turn: Option<RunningTurn<'a>>,
    turns: u64,
    /// When the last line ended by itself; `None` after an interruption, which nobody waits out.
    line_ended: Option<Instant>,
    last_action: Instant,
    invalid_messages: u32,
    /// The state of the scene as the player knows it.
    shown: Option<ServerMessage>,
}

impl<'a> Session<'a> {
    fn new(
        game: &'a Game,
        outbound: &'a OutboundSender,
        started: Started,
        limits: &Limits,
    ) -> Self {
        let now = Instant::now();
        let scene = started.world.scene();
        let due = |opening: &OpeningLine| now + Duration::from_secs_f64(opening.delay_seconds);
        let openings = scene.openings.iter().filter(|_| !started.resumed);
        Self {
            game,
            outbound,
            metrics: game.metrics.scene(scene),
            openings: openings.map(|opening| (due(opening), opening.clone())).collect(),
            budget: game.budgets.take(&started.guard.hash(), now),
            address_budget: limits.address_requests.clone(),
            started,
            queue: Queue::new(game.config.queue_entries),
            turn: None,
            turns: 0,
            line_ended: None,
            last_action: now,
            invalid_messages: 0,
            shown: None,
        }
    }

    async fn play(mut self, mut inbox: mpsc::Receiver<PlayerInput>, limits: Limits) -> CloseReason {
        let mut clock = interval_at(tokio::time::Instant::now() + TICK, TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticked = Instant::now();
        let mut stop_by: Option<Instant> = None;
        let reason = loop {
            let wake = if stop_by.is_none() { self.speak_next() } else { stop_by };
            self.show();
            let happened = tokio::select! {
                input = inbox.recv(), if stop_by.is_none() => match input {
                    Some(input) => self.act(input).await,
                    None => Err(CloseReason::PlayerLeft),
                },
                Some(ended) = OptionFuture::from(self.turn.as_mut().map(|turn| &mut turn.ends)) => {
                    self.turn_ended(ended);
                    Ok(())
                }
                _ = clock.tick() => {
                    self.started.world.tick(ticked.elapsed());
                    ticked = Instant::now();
                    self.evaluate_rules();
                    if self.last_action.elapsed() < limits.idle { Ok(()) } else { Err(CloseReason::Idle) }
                }
                Some(()) = OptionFuture::from(wake.map(|at| tokio::time::sleep_until(at.into()))) => Ok(()),
                () = self.outbound.closed() => Err(CloseReason::ConnectionLost),
                () = self.started.guard.evicted() => Err(CloseReason::Replaced),
                () = limits.shutdown.cancelled(), if stop_by.is_none() => {
                    stop_by = Some(Instant::now() + limits.grace);
                    // What waits is dropped, and counted by that; what is being said goes on.
                    self.queue.clear();
                    Ok(())
                }
            };
            if let Err(reason) = happened {
                break reason;
            }
            let out_of_time = stop_by.is_some_and(|by| by <= Instant::now());
            if out_of_time || (stop_by.is_some() && self.turn.is_none()) {
                break CloseReason::ServerShutdown;
            }
        };
        self.leave().await;
        reason
    }

    /// Sends the state of the scene to the player, if it has changed. If the channel is full, it is sent with
    /// the next change or tick.
    fn show(&mut self) {
        let world = &self.started.world;
        let rounded = world
            .variables()
            .iter()
            .map(|(name, value)| (name.clone(), (value * 10.0).round() / 10.0));
        let state = ServerMessage::State {
            variables: rounded.collect(),
            controls: world.control_views(Instant::now()),
            outcome: world.outcome().cloned(),
        };
        if self.shown.as_ref() != Some(&state) && self.outbound.send_if_room(state.clone()) {
            self.shown = Some(state);
        }
    }

    /// Cancels the running turn, drops the queued ones, and stores the state of the scene.
    async fn leave(mut self) {
        self.queue.clear();
        if let Some(turn) = &mut self.turn {
            turn.cancel.cancel();
            // A connection that does not read any more must not delay a newer one.
            match timeout(TURN_CANCEL_TIMEOUT, &mut turn.ends).await {
                Ok(ended) => self.turn_ended(ended),
                // Dropped here, and with it its transaction: others wait for what that has locked.
                Err(_) => self.turn = None,
            }
        }
        let now = Instant::now();
        self.game.budgets.keep(self.started.guard.hash(), self.budget, now);
        let Started { lease, world, .. } = &self.started;
        let world_json = world.to_json(now);
        // The store counts and logs a failure.
        let left = self.game.store.leave_session(*lease, &world_json).await;
        if let Err(StoreError::Unknown) = left
            && self.game.restore(*lease, world, &world_json).await.is_ok()
        {
            let _ = self.game.store.leave_session(*lease, &world_json).await;
        }
    }
}
