//! The game: scenes, their rules, and the sessions in which players and characters meet.
//!
//! Rules without clock or I/O are in [`scene`], [`world`], [`queue`]; what runs for each connection
//! is in `session`, and what one answer takes in `turn`. How bytes get to a player is not known
//! here: a connection puts what it reads into an inbox and sends what comes out of an outbox.

mod budget;
mod config;
mod failure;
mod job;
mod keeping;
mod line;
mod metrics;
mod not_kept;
mod outbox;
mod prompt;
pub mod protocol;
pub mod queue;
pub mod scene;
mod seats;
mod sentences;
mod session;
mod stage;
mod token;
mod turn;
pub mod world;

pub use config::GameConfig;
pub use metrics::GameMetrics;
pub use outbox::{Outbound, Outbox, PlayerGone, Queued, outbox};
pub use sentences::not_let_in;
pub use session::{Limits, PlayerInput};

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::llm::LlmClient;
use crate::metrics::ErrorMetrics;
use crate::store::{LOOKED_FOR_EVERY, Store};
use crate::tts::TtsClient;
use budget::RequestBudgets;
use scene::Scenes;
use seats::Seats;

/// How long a database that failed is not asked whether sessions are wanted elsewhere.
const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

/// What all sessions share.
pub struct Game {
    scenes: Scenes,
    llm: LlmClient,
    tts: Option<TtsClient>,
    store: Store,
    metrics: GameMetrics,
    errors: ErrorMetrics,
    config: GameConfig,
    seats: Seats,
    budgets: RequestBudgets,
}

/// What a [`Game`] is made of.
pub struct GameParts {
    /// What can be played.
    pub scenes: Scenes,
    /// Who thinks.
    pub llm: LlmClient,
    /// Who speaks; `None` for a silent game.
    pub tts: Option<TtsClient>,
    /// Who remembers.
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
        let seats = Seats::default();
        Self { scenes, llm, tts, store, metrics, errors, config, seats, budgets }
    }

    /// What can be played.
    pub fn scenes(&self) -> &Scenes {
        &self.scenes
    }

    /// Where conversations are kept.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Has players leave whose sessions are wanted at another server, until this is dropped.
    pub async fn hand_over(&self) {
        let mut looks = tokio::time::interval(LOOKED_FOR_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if self.seats.are_empty() {
                continue;
            }
            match self.store.wanted_sessions().await {
                Ok(wanted) => wanted.iter().for_each(|hash| self.seats.ask_to_leave(hash)),
                // It is in the log, which need not have it twice a second.
                Err(_) => tokio::time::sleep(AFTER_A_FAILURE).await,
            }
        }
    }

    /// Whether characters can be heard.
    pub fn has_voice(&self) -> bool {
        self.tts.is_some()
    }
}
