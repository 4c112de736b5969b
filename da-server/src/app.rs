//! Everything one server holds, handed to each room instead of globals.

use anyhow::Context;

use crate::calls::{Calls, KernelView};
use crate::config::Config;
use crate::game::scene::Scenes;
use crate::game::{Game, GameMetrics, GameParts};
use crate::kernel::Reason;
use crate::llm::{LlmClient, LlmMetrics, Prices};
use crate::metrics::{ErrorMetrics, Metrics};
use crate::provider::{GateMetrics, ProviderSetupError, http_client};
use crate::store::{Store, StoreMetrics};
use crate::tts::{TtsClient, TtsMetrics};

/// One server's parts.
pub struct App {
    /// What the operator said.
    pub config: Config,
    /// The registry and its exposition.
    pub metrics: Metrics,
    /// `errors_total`.
    pub errors: ErrorMetrics,
    /// Scenes, providers and the store.
    pub game: Game,
    /// Every call to a provider, with its time accounted for.
    pub calls: Calls,
    /// Why there is no kernel view, if so.
    pub kernel_missing: Option<Reason>,
}

impl App {
    /// Builds every part. Nothing is connected yet.
    ///
    /// # Errors
    /// A part can't be built from `config`: a scene file has a mistake, or the language model no
    /// key. Without a key for speech the game is silent, and says so in the log.
    pub fn new(
        config: Config,
        metrics: Metrics,
        kernel: Result<KernelView, Reason>,
    ) -> anyhow::Result<Self> {
        let registry = metrics.registry();
        let errors = ErrorMetrics::register(registry)?;
        let scenes = Scenes::load(config.game.scenes_dir.as_deref()).context("scene")?;
        let kernel_missing = kernel.as_ref().err().copied();
        let calls = Calls::start(&config.calls, registry, kernel.ok()).context("calls")?;
        let reports = Some(calls.reports.clone());
        let http = http_client(&config.http_client).context("http_client")?;
        let gates = GateMetrics::register(registry)?;
        let prices = Prices::with(&config.price).context("price")?;
        let llm_metrics = LlmMetrics::register(registry, prices)?;
        let llm = LlmClient::new(&config.llm, http.clone(), &gates, &llm_metrics, reports.clone())
            .context("llm")?;
        let tts_metrics = TtsMetrics::register(registry, config.tts.provider)?;
        let tts = match TtsClient::new(&config.tts, http, &gates, tts_metrics, reports) {
            Ok(tts) => Some(tts),
            Err(error @ ProviderSetupError::MissingKey { .. }) => {
                tracing::warn!("characters will not speak: {error}");
                None
            }
            Err(error) => return Err(error).context("tts"),
        };
        let store_metrics = StoreMetrics::register(registry)?;
        let store = Store::new(config.store.clone(), store_metrics, errors.clone());
        let game = Game::new(GameParts {
            metrics: GameMetrics::register(registry, &scenes)?,
            scenes,
            llm,
            tts,
            store: store.context("store")?,
            errors: errors.clone(),
            config: config.game.clone(),
        });
        Ok(Self { config, metrics, errors, game, calls, kernel_missing })
    }
}
