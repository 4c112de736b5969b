//! The game: scenes, their rules, and the sessions in which players and characters meet.
//!
//! Rules without clock or I/O are in [`scene`], [`world`], [`queue`]; what runs for each connection
//! is in `session`, and what one answer takes in `turn`. How bytes get to a player is not known
//! here: a connection puts what it reads into an inbox and writes what comes out of the outbound channel.

mod budget;
mod config;
mod failure;
mod job;
mod line;
mod metrics;
mod not_kept;
mod outbound;
mod persistence;
mod player_texts;
mod prompt;
pub mod protocol;
pub mod queue;
pub mod scene;
mod session;
mod session_registry;
mod stage;
mod token;
mod turn;
pub mod world;

pub use config::GameConfig;
pub use metrics::GameMetrics;
pub use outbound::{Outbound, OutboundSender, PlayerGone, QueuedMessage, outbound_channel};
pub use player_texts::not_let_in;
pub use session::{Limits, PlayerInput};

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::llm::LlmClient;
use crate::metrics::ErrorMetrics;
use crate::store::{LEASE_POLL_INTERVAL, Store};
use crate::tts::TtsClient;
use budget::RequestBudgets;
use scene::Scenes;
use session_registry::SessionRegistry;

/// How long a database that failed is not polled for sessions that other servers want.
const ERROR_BACKOFF: Duration = Duration::from_secs(5);

/// What all sessions share.
pub struct Game {
    scenes: Scenes,
    llm: LlmClient,
    tts: Option<TtsClient>,
    store: Store,
    metrics: GameMetrics,
    errors: ErrorMetrics,
    config: GameConfig,
    sessions: SessionRegistry,
    budgets: RequestBudgets,
    turns: AtomicU64,
}

/// What a [`Game`] is made of.
pub struct GameParts {
    /// The scenes that can be played.
    pub scenes: Scenes,
    /// The client of the language model.
    pub llm: LlmClient,
    /// The client of the speech provider; `None` disables speech.
    pub tts: Option<TtsClient>,
    /// The conversation store.
    pub store: Store,
    /// The game's families.
    pub metrics: GameMetrics,
    /// `errors_total`.
    pub errors: ErrorMetrics,
    /// `[game]`
    pub config: GameConfig,
}

impl Game {
    /// A game without players.
    pub fn new(parts: GameParts) -> Self {
        let GameParts { scenes, llm, tts, store, metrics, errors, config } = parts;
        let budgets = RequestBudgets::new(config.requests_per_minute);
        let sessions = SessionRegistry::default();
        Self {
            scenes,
            llm,
            tts,
            store,
            metrics,
            errors,
            config,
            sessions,
            budgets,
            turns: AtomicU64::new(0),
        }
    }

    /// The scenes that can be played.
    pub fn scenes(&self) -> &Scenes {
        &self.scenes
    }

    /// Where conversations are kept.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Evicts connections whose sessions another server wants, until this is dropped.
    pub async fn release_wanted_sessions(&self) {
        let mut poll = tokio::time::interval(LEASE_POLL_INTERVAL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            poll.tick().await;
            if self.sessions.is_empty() {
                continue;
            }
            match self.store.wanted_sessions().await {
                Ok(wanted) => wanted.iter().for_each(|hash| self.sessions.evict(hash)),
                // The store has logged it, which need not be repeated twice a second.
                Err(_) => tokio::time::sleep(ERROR_BACKOFF).await,
            }
        }
    }

    /// Numbers turns for the log, over all sessions of this process.
    fn next_turn_id(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether characters can be heard.
    pub fn has_voice(&self) -> bool {
        self.tts.is_some()
    }
}
